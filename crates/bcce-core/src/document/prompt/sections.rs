//! Renders the sections of a prompt: the texts before, between and after the ends of its cached prefixes.
//!
//! The service caches a prefix only if it is the same in every call. So the tag around the data of a prefix must depend
//! on the data of that prefix alone, and not on the rest of the prompt. The templates are therefore rendered twice:
//! first to collect the data of each prefix, then with the tags. The tag of a section contains a digest of the data of
//! this section and of all sections before it, and the tag of the last section one of all data of the step. So no data
//! can contain its own tag. It may contain the tag of an earlier section, but only inside its own tags.
//!
//! The ends are offsets that are recorded while the text is written. No sequence of characters marks an end, so no data
//! can create one.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, Output, State, UndefinedBehavior, Value};

use super::limited::counted;
use super::marks::{CACHED, marked, static_length};
use super::{BLANK, DIGITS, PREFIX, Prompt, Templates, apart, cause, compile};
use super::{data_rule, plain_environment, tag};
use crate::base::digest::Digest;
use crate::base::error::Problem;
use crate::base::limits::MAX_PROMPT_BYTES;

/// A rendered template, with the offsets of the ends of its cached prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Text {
    text: String,
    ends: Vec<usize>,
}

/// Renders the templates of a step over `context`.
///
/// # Errors
/// Returns a problem of the field `prompt` or `system`.
pub(super) fn render(
    templates: &Templates<'_>,
    context: &serde_json::Value,
) -> Result<Prompt, Problem> {
    let whole = tag(context);
    let has_marks = !marked(templates.user).is_empty();
    let length = if templates.caches_static_text { static_length(templates.user) } else { 0 };
    let has_prefix = has_marks || length > 0;
    let in_system = templates.system.is_some_and(|system| !marked(system).is_empty());
    let mut pass = Pass { has_prefix, ..Pass::default() };
    let mut tags = Vec::new();
    if has_prefix || in_system {
        let (_, _, found) = pass.run(templates, context, vec![whole.clone()])?;
        tags = found;
        pass = Pass { has_prefix, ..Pass::default() };
    }
    // A section without data writes no tag, and must have none that a sender could know.
    tags.iter_mut().filter(|tag| tag.is_empty()).for_each(|tag| tag.clone_from(&whole));
    tags.push(whole);
    let (mut system, mut user, _) = pass.run(templates, context, tags.clone())?;
    if let Some(system) = system.as_mut().filter(|_| templates.is_cached && !in_system) {
        system.ends = vec![system.text.len()];
    }
    if !has_marks && length > 0 {
        user.ends = vec![length];
    }
    let (system, user) = (system.map(Text::without_blanks), user.without_blanks());
    // Several sections may have the same tag.
    let mut known = BTreeSet::new();
    tags.retain(|tag| known.insert(tag.clone()));
    let prompt =
        if has_prefix { with_rules(system, &user, &tags) } else { ruled(system, user, &tags) };
    if prompt.user.len() > MAX_PROMPT_BYTES {
        let cause = format!("renders to more than {MAX_PROMPT_BYTES} bytes");
        return Err(Problem { field: "prompt".to_owned(), cause });
    }
    Ok(prompt)
}

/// Returns a prompt whose data rule is in the system prompt as a whole.
fn ruled(system: Option<Text>, user: Text, tags: &[String]) -> Prompt {
    let texts: Vec<&str> = system.iter().map(|s| &*s.text).chain([&*user.text]).collect();
    let rule = rules(tags, |opening| texts.iter().any(|text| text.contains(opening)));
    let (system, system_ends) = system.map(|text| (text.text, text.ends)).unzip();
    let system_ends = system_ends.unwrap_or_default();
    Prompt { system, data_rule: rule, user: user.text, system_ends, user_ends: user.ends }
}

/// Returns a prompt in which each section of the user message begins with the data rule of its own tags. A data rule in
/// the system prompt would differ from run to run, and no prefix of the message would stay the same.
fn with_rules(system: Option<Text>, user: &Text, tags: &[String]) -> Prompt {
    let in_system = |tag: &str| system.as_ref().is_some_and(|s| s.text.contains(&opening(tag)));
    let (known, mut left): (Vec<String>, Vec<String>) =
        tags.iter().cloned().partition(|tag| in_system(tag));
    let mut ruled = Text::default();
    let ends = user.ends.iter().copied().chain([user.text.len()]);
    let mut from = 0;
    for end in ends {
        let section = &user.text[from..end];
        let is_new = |tag: &String| section.contains(&opening(tag));
        let (new, later) = left.into_iter().partition::<Vec<_>, _>(is_new);
        left = later;
        if let Some(rule) = rules(&new, |_| true) {
            ruled.text.push_str(&rule);
            ruled.text.push_str("\n\n");
        }
        ruled.text.push_str(section);
        ruled.ends.push(ruled.text.len());
        from = end;
    }
    // The last section ends with the text. It is cached only if an end was recorded there, and is then empty.
    ruled.ends.pop();
    Prompt {
        data_rule: rules(&known, |_| true),
        user: ruled.text,
        user_ends: ruled.ends,
        system_ends: system.as_ref().map(|text| text.ends.clone()).unwrap_or_default(),
        system: system.map(|text| text.text),
    }
}

fn opening(tag: &str) -> String {
    format!("<{tag}>")
}

/// Returns the data rules of the tags that are used, or `None` if none is.
fn rules(tags: &[String], is_used: impl Fn(&str) -> bool) -> Option<String> {
    let used = tags.iter().filter(|tag| is_used(&opening(tag)));
    let rules: Vec<String> = used.map(|tag| data_rule(tag)).collect();
    (!rules.is_empty()).then(|| rules.join(" "))
}

impl Text {
    /// Removes the ends that would leave a blank section, because the service refuses blank texts.
    fn without_blanks(mut self) -> Self {
        let mut from = 0;
        self.ends.retain(|end| {
            let is_blank = self.text[from..*end].trim().is_empty();
            from = if is_blank { from } else { *end };
            !is_blank
        });
        let whole = self.text.len();
        if let Some(last) =
            self.ends.last_mut().filter(|last| self.text[**last..].trim().is_empty())
        {
            *last = whole;
        }
        self
    }
}

/// One rendering of the templates of a step.
#[derive(Default)]
struct Pass {
    /// True if a prefix of the user message is cached. The whole system prompt is then a part of it.
    has_prefix: bool,
    shared: Arc<Shared>,
}

/// The state of a pass that the renderer updates.
#[derive(Default)]
struct Shared {
    /// The bytes of the current template that are written.
    written: AtomicUsize,
    /// True between the filter `cached` and the text that it was applied to.
    is_marked: AtomicBool,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// The data so far.
    data: Digest,
    has_data: bool,
    /// The tags of the sections that have ended. Empty before the first data.
    tags: Vec<String>,
    /// The ends of the prefixes of the current template.
    ends: Vec<usize>,
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a value, enclosed in the tag of the current section if it is data. Ends the section if the value is
    /// marked.
    fn put(&self, out: &mut Output, tags: &[String], value: &Value) -> Result<(), Error> {
        let is_marked = self.is_marked.swap(false, Ordering::Relaxed);
        let mut progress = self.progress();
        let tag = &tags[progress.tags.len().min(tags.len() - 1)];
        let is_place = is_marked && value.as_str() == Some("");
        if !is_place && let Some(text) = apart(out, tag, value)? {
            progress.data.add(text.as_bytes());
            progress.has_data = true;
        }
        if is_marked {
            progress.ends.push(self.written.load(Ordering::Relaxed));
            progress.end_section();
        }
        Ok(())
    }
}

impl Progress {
    fn end_section(&mut self) {
        let digest = self.data.clone().hex();
        let tag = || format!("{PREFIX}{}", &digest[..DIGITS]);
        self.tags.push(if self.has_data { tag() } else { String::new() });
    }
}

impl Pass {
    /// Renders the templates with `tags`, one for each section. The last one is that of all further sections. Returns
    /// the texts, and the tags that the data of the sections requires.
    fn run(
        &self,
        templates: &Templates<'_>,
        context: &serde_json::Value,
        tags: Vec<String>,
    ) -> Result<(Option<Text>, Text, Vec<String>), Problem> {
        let environment = environment(self.shared.clone(), tags);
        let values = Value::from(Serde(context));
        let text = |field: &str, source| {
            let text = self.text(&environment, source, &values);
            text.map_err(|cause| Problem { field: field.to_owned(), cause })
        };
        let system = templates.system.map(|source| text("system", source)).transpose()?;
        if self.has_prefix {
            self.shared.progress().end_section();
        }
        let user = text("prompt", templates.user)?;
        Ok((system, user, std::mem::take(&mut self.shared.progress().tags)))
    }

    fn text(
        &self,
        environment: &Environment<'_>,
        source: &str,
        values: &Value,
    ) -> Result<Text, String> {
        self.shared.written.store(0, Ordering::Relaxed);
        let template = compile(environment, source)?;
        let text =
            counted(&template, values, &self.shared.written).map_err(|error| cause(&error))?;
        if text.trim().is_empty() {
            return Err(BLANK.into());
        }
        Ok(Text { text, ends: std::mem::take(&mut self.shared.progress().ends) })
    }
}

fn environment(shared: Arc<Shared>, tags: Vec<String>) -> Environment<'static> {
    let mut environment = plain_environment(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("data".into()));
    let marks = shared.clone();
    environment.add_filter(CACHED, move |value: Value| {
        marks.is_marked.store(true, Ordering::Relaxed);
        value
    });
    environment.set_formatter(move |out, _: &mut State, value| shared.put(out, &tags, value));
    environment
}

#[cfg(test)]
mod tests;
