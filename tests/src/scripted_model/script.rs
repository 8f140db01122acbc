//! Parses the script in a prompt: lines that begin with `@model`, or with `@bulk` for batch inference (see
//! [`super::jobs`]).
//!
//! ```text
//! @model us-east-1: throttle(2), answer     this region's 1st call, then all later ones
//! @model *: slow(200)                       every region that no other line names
//! @model us-west-2/verdict: cut, answer     in this step only
//! @model says: first line\nsecond line      the answer, word for word
//! @model says/verdict: {"ok": true}
//! ```
//!
//! A script line begins in the first column, or directly after an opening `<data>`, the product's delimiter around an
//! input. Lines of a diff are ignored, because the diffs of this repository contain scripts.
//!
//! The prompt of a step may contain only answers of other steps. Such a step is scripted through one of these answers:
//! `@model says/summarise: Fine.\n@model us-east-1/verdict: cut`.

use super::action::Action;
use super::outcome::Outcome;
use super::prompt::Prompt;

#[derive(Debug, Default)]
pub struct Script {
    behaviours: Vec<Behaviour>,
    says: Vec<Says>,
    /// The outcomes that the `@bulk` lines set.
    pub outcomes: Vec<Outcome>,
}

#[derive(Debug)]
struct Behaviour {
    /// The region. `None` stands for every region.
    region: Option<String>,
    step: Option<String>,
    /// The actions of successive calls. The last one repeats. Never empty.
    actions: Vec<Action>,
}

#[derive(Debug)]
struct Says {
    step: Option<String>,
    text: String,
}

impl Script {
    /// Removes the script from the prompt and returns it, so that the answer does not depend on it.
    ///
    /// # Errors
    /// A sentence that names the line and the mistake.
    pub fn take(prompt: &mut Prompt) -> Result<Self, String> {
        let mut script = Self::default();
        for text in [&mut prompt.system, &mut prompt.user] {
            let mut rest = Vec::new();
            for line in text.lines() {
                let Some(found) = script_in(line) else {
                    rest.push(line.to_owned());
                    continue;
                };
                script.read(found).map_err(|error| format!("{found}: {error}"))?;
                rest.extend(Some(line.replacen(found, "", 1)).filter(|line| !line.is_empty()));
            }
            *text = rest.join("\n");
        }
        Ok(script)
    }

    /// Returns the action of `region` in its call number `call` (from 0) of `step`. A line that names the step takes
    /// precedence, then a line that names the region, then the earlier line.
    pub fn action(&self, region: &str, step: Option<&str>, call: usize) -> Action {
        self.behaviours
            .iter()
            .rev()
            .filter(|line| line.region.as_deref().is_none_or(|named| named == region))
            .filter(|line| line.step.is_none() || line.step.as_deref() == step)
            .max_by_key(|line| (line.step.is_some(), line.region.is_some()))
            .and_then(|line| line.actions.get(call).or(line.actions.last()))
            .map_or_else(Action::answer, Action::clone)
    }

    /// Returns the scripted answer of a step, if there is one.
    pub fn says(&self, step: Option<&str>) -> Option<&str> {
        let own = self.says.iter().find(|says| says.step.is_some() && says.step.as_deref() == step);
        let any = || self.says.iter().find(|says| says.step.is_none());
        own.or_else(any).map(|says| says.text.as_str())
    }

    fn read(&mut self, line: &str) -> Result<(), String> {
        if let Some(words) = line.strip_prefix("@bulk") {
            self.outcomes.extend(Outcome::parse_all(words)?);
            return Ok(());
        }
        let rest = line.strip_prefix("@model ");
        let (selector, what) = rest
            .and_then(|rest| rest.split_once(':'))
            .ok_or("invalid script line: expected `@model <region, * or says>[/<step>]: …`")?;
        let (who, step) = match selector.trim().split_once('/') {
            Some((who, step)) => (who, Some(step.to_owned())),
            None => (selector.trim(), None),
        };
        if who == "says" {
            let text = unescape(what.strip_prefix(' ').unwrap_or(what));
            self.says.push(Says { step, text });
            return Ok(());
        }
        let actions = what.split(',').map(|action| Action::parse(action.trim()));
        self.behaviours.push(Behaviour {
            region: region(who)?,
            step,
            actions: actions.collect::<Result<_, _>>()?,
        });
        Ok(())
    }
}

const WORDS: [&str; 2] = ["@model", "@bulk"];

/// Returns the part of the line that belongs to the script, or `None`.
fn script_in(line: &str) -> Option<&str> {
    if line.starts_with(['+', '-', ' ', '\\']) || line.starts_with("@@") {
        return None;
    }
    let starts_it = WORDS.iter().any(|word| line.starts_with(word));
    let tag = line.rfind("<data").filter(|_| !starts_it);
    let behind_tag = |at: usize| Some(&line[at + line[at..].find('>')? + 1..]);
    let inside = tag.and_then(behind_tag).unwrap_or(line);
    let inside = inside.split("</data").next().unwrap_or(inside).trim_end();
    let next = WORDS.iter().find_map(|word| inside.strip_prefix(word))?.chars().next();
    next.is_none_or(|next| !next.is_alphanumeric()).then_some(inside)
}

/// Parses `*` or the name of a region. The form of the name is checked, because a mistyped one would never match.
fn region(name: &str) -> Result<Option<String>, String> {
    if name == "*" {
        return Ok(None);
    }
    let parts: Vec<&str> = name.split('-').collect();
    let word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let number = |part: &&str| part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty();
    match &parts[..] {
        [words @ .., last] if words.len() >= 2 && words.iter().all(word) && number(last) => {
            Ok(Some(name.to_owned()))
        }
        _ => Err(format!("`{name}` is not a region: expected a region, `*` or `says`")),
    }
}

/// Replaces `\n` by a line break and `\\` by a backslash. Any other backslash stays unchanged.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('\\')) => out.push('\\'),
            _ => {
                out.push(c);
                continue;
            }
        }
        chars.next();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted_model::prompt::tests::body;

    fn take(text: &str) -> Result<(Script, String), String> {
        let mut prompt = Prompt::parse(body("w", "s", text).to_string().as_bytes()).unwrap();
        let script = Script::take(&mut prompt)?;
        Ok((script, prompt.user))
    }

    fn actions(script: &Script, region: &str, step: &str) -> Vec<String> {
        let action = |call| script.action(region, Some(step), call).written;
        (0..3).map(action).collect()
    }

    #[test]
    fn actions_come_call_after_call_and_the_last_repeats() {
        let (script, rest) =
            take("Explain this.\n@model us-east-1: throttle(2), cut\nPlease.").unwrap();
        assert_eq!(actions(&script, "us-east-1", "s"), ["throttle(2)", "cut", "cut"]);
        assert_eq!(actions(&script, "us-west-2", "s"), ["answer", "answer", "answer"]);
        assert_eq!(rest, "Explain this.\nPlease.");
    }

    #[test]
    fn the_most_specific_line_applies_in_any_order() {
        let lines =
            "@model *: cut\n@model us-east-1: reset\n@model */b: stall\n@model us-east-1/b: silent";
        let reversed: Vec<&str> = lines.lines().rev().collect();
        for text in [lines, &reversed.join("\n")] {
            let (script, _) = take(text).unwrap();
            let first = |region, step| script.action(region, Some(step), 0).written;
            assert_eq!(first("us-west-2", "a"), "cut");
            assert_eq!(first("us-east-1", "a"), "reset");
            assert_eq!(first("us-west-2", "b"), "stall");
            assert_eq!(first("us-east-1", "b"), "silent");
        }
        let (script, _) = take("@model us-east-1: reset\n@model */b: stall").unwrap();
        assert_eq!(script.action("us-east-1", Some("b"), 0).written, "stall");
    }

    #[test]
    fn a_scripted_answer_is_used_word_for_word() {
        let (script, _) =
            take("@model says: a, (b)\\n  c \\\\n\n@model says/x: {\"a\": 1}").unwrap();
        assert_eq!(script.says(Some("s")), Some("a, (b)\n  c \\n"));
        assert_eq!(script.says(Some("x")), Some("{\"a\": 1}"));
        assert_eq!(take("nothing here").unwrap().0.says(None), None);
    }

    #[test]
    fn an_input_inside_its_delimiters_can_be_a_script() {
        let text = "Explain: <data-7f id=\"text\">@model us-east-1: cut</data-7f>\nto me";
        let (script, rest) = take(text).unwrap();
        assert_eq!(script.action("us-east-1", None, 0).written, "cut");
        assert_eq!(rest, "Explain: <data-7f id=\"text\"></data-7f>\nto me");
        let text = "A <data>b</data>: <data>@model *: slow(1), stall\n@model says: <data> c</data>";
        let (script, rest) = take(text).unwrap();
        assert_eq!(script.action("us-east-1", None, 1).written, "stall");
        assert_eq!(script.says(None), Some("<data> c"));
        assert_eq!(rest, "A <data>b</data>: <data>\n</data>");
    }

    #[test]
    fn a_job_and_a_call_are_scripted_in_one_prompt() {
        let (script, rest) = take("<data>@bulk lost</data>\n@model *: cut\nPlease.").unwrap();
        assert!(matches!(script.outcomes[..], [Outcome::Lost]));
        assert_eq!(script.action("us-east-1", None, 0).written, "cut");
        assert_eq!(rest, "<data></data>\nPlease.");
    }

    #[test]
    fn a_script_inside_a_diff_is_not_one() {
        let diff = "+@model us-east-1: cut\n @model *: cut\n-@model x\n@@ -1 +1 @@ <data>@model *: cut\n+<data>@model *: cut";
        let (script, rest) = take(diff).unwrap();
        assert_eq!(script.action("us-east-1", None, 0).written, "answer");
        assert_eq!(rest, diff);
    }

    #[test]
    fn a_mistake_names_the_line_and_the_word() {
        for (text, named) in [
            ("@model us-east-1: throtle", "@model us-east-1: throtle: unknown action `throtle`"),
            ("@model us-east1: throttle", "`us-east1` is not a region"),
            ("@model useast-1: throttle", "`useast-1` is not a region"),
            ("@model us-east-1 throttle", "invalid script line: expected `@model"),
            ("@model: throttle", "invalid script line: expected `@model"),
            ("@model *:", "unknown action ``"),
            ("@model *: cut,", "unknown action ``"),
            ("@bulk lots", "@bulk lots: unknown outcome `lots`"),
        ] {
            let error = take(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn a_word_that_only_begins_like_a_script_is_ignored() {
        assert_eq!(take("@models are nice").unwrap().1, "@models are nice");
    }
}
