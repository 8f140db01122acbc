//! Adapts the settings of a step to the target of a call.
//!
//! An alias may mix generations of a model that accept different settings. A failover to such a target changes the
//! settings instead of failing, and the attempt records the changes.

use serde_json::Value;

use crate::base::figures::count;
use crate::call::cache_points::Blocks;
use crate::config::cache::{CacheTtl, dense_tokens};
use crate::config::models::{EFFORTS, Takes, Thinks};
use crate::config::output::{OutputSpec, OutputType};
use crate::config::template::{ANSWER_TOKENS, Step, THINKING_EFFORTS, Thinking};
use crate::document::prompt::Prompt;
use crate::document::schema::subset::subset;

/// The parameters of a call, and their differences from the settings of the step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters<'a> {
    pub max_tokens: u32,
    pub temperature: Option<f32>,
    pub effort: Option<&'a str>,
    /// The thinking of the model. `None` leaves it to the model.
    pub thinking: Option<Thinking>,
    /// The part of the step's schema that the service enforces. `None` if the service enforces none.
    pub schema: Option<Value>,
    /// The lifetime of the cached prefixes. `None` if the call has no cache points.
    pub cache: Option<CacheTtl>,
    /// Sentences, each about a setting of the step that the target does not accept and its replacement.
    pub adapted: Vec<String>,
}

/// Returns the tokens for thinking in addition to the answer, for a step without `max_tokens`. The numbers are rules of
/// thumb. If the room is too small, the answer has no text. If it is too large, the call reserves more of the account's
/// quota than it needs.
fn thinking_room(effort: Option<&str>) -> u32 {
    match effort {
        Some("low") => 4_096,
        Some("medium") => 8_192,
        Some("xhigh") => 32_768,
        Some("max") => 65_536,
        // `high` is the highest default effort of a model.
        _ => 16_384,
    }
}

/// The smallest room for an answer that is worth a call, in tokens.
const LEAST_ROOM: u32 = 1_024;

impl<'a> Parameters<'a> {
    /// Returns the parameters of a call of `step` to a target that accepts `takes`. If `grammar_refused` is true, the
    /// service has refused the step's schema before; `schema` is then `None`, and the prompt must contain the schema.
    pub fn of(step: &'a Step, takes: &'a Takes, grammar_refused: bool) -> Self {
        let mut parameters = Self::default();
        parameters.set_effort(step, takes);
        parameters.set_thinking(step, takes);
        parameters.set_temperature(step, takes);
        parameters.set_max_tokens(step, takes);
        parameters.set_schema(step, takes, grammar_refused);
        parameters.set_cache(step, takes);
        parameters
    }

    /// Lowers `max_tokens` to the part of the context that `prompt` leaves. The service refuses a call whose prompt and
    /// `max_tokens` together are longer than the context. If the prompt leaves almost nothing, `max_tokens` stays as it
    /// is, and the step fails over to a target with more context.
    pub fn leave_room(&mut self, prompt: &Prompt, takes: &Takes) {
        let bytes = prompt.user.len() + prompt.system_texts().map(str::len).sum::<usize>();
        let room = takes.context_tokens.saturating_sub(dense_tokens(bytes));
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        if (LEAST_ROOM..self.max_tokens).contains(&room) {
            let wanted = std::mem::replace(&mut self.max_tokens, room);
            self.adapt(format!(
                "max_tokens {wanted} is sent as {room}: the prompt leaves no more of the context"
            ));
        }
    }

    /// Leaves out the cache points of a step with `prefix: auto` if the prefix is too short for the target's cache. The
    /// length is estimated. It is not known here, and a longer prefix is preferred to one that is not cached.
    pub fn measure_prefix(&mut self, step: &Step, prompt: &Prompt, takes: &Takes) {
        let is_auto = step.cache.is_some_and(|cache| cache.prefix.is_some());
        let bytes = Blocks::of(prompt, self.cache.is_some()).prefix_bytes();
        let (tokens, minimum) = (dense_tokens(bytes), takes.cache_minimum_tokens);
        if is_auto && bytes > 0 && tokens < minimum {
            self.cache = None;
            let (tokens, minimum) = (count(tokens), count(minimum));
            self.adapt(format!(
                "the prefix of at most about {tokens} tokens is below the minimum of {minimum}: not cached"
            ));
        }
    }

    /// Records a difference from the settings of the step.
    fn adapt(&mut self, what: impl Into<String>) {
        self.adapted.push(what.into());
    }

    /// Sets the wanted level, or the next lower level that the target accepts, or the target's lowest level.
    fn set_effort(&mut self, step: &'a Step, takes: &'a Takes) {
        let Some(wanted) = step.effort.as_deref() else { return };
        let place = |level: &str| EFFORTS.iter().position(|known| *known == level);
        let below = takes.effort.iter().rev().find(|level| place(level) <= place(wanted));
        self.effort = below.or(takes.effort.first()).map(String::as_str);
        match self.effort {
            None => self.adapt(format!("effort {wanted} is left out: the target takes none")),
            Some(level) if level != wanted => {
                self.adapt(format!("effort {wanted} is sent as {level}"));
            }
            Some(_) => {}
        }
    }

    fn set_thinking(&mut self, step: &'a Step, takes: &'a Takes) {
        let needs_it = self.effort.is_some_and(|level| THINKING_EFFORTS.contains(&level));
        match (step.thinking, takes.thinking) {
            (wanted, Thinks::Optional) => {
                self.thinking = wanted.or(needs_it.then_some(Thinking::On));
            }
            (Some(Thinking::Off), Thinks::Always) => {
                self.effort = takes.effort.first().map(String::as_str).or(self.effort);
                self.adapt(
                    "thinking stays on: the target cannot switch it off; the lowest effort is sent",
                );
            }
            (Some(Thinking::On), Thinks::Never) => self.adapt("thinking is left out"),
            _ => {}
        }
    }

    fn set_temperature(&mut self, step: &'a Step, takes: &'a Takes) {
        self.temperature = step.temperature.filter(|_| takes.temperature);
        if let Some(wanted) = step.temperature.filter(|_| !takes.temperature) {
            self.adapt(format!("temperature {wanted} is left out: the target takes none"));
        }
    }

    /// Sets `max_tokens`. Thinking counts as output. Therefore room for thinking is added if the step does not set
    /// `max_tokens`, or if it switched thinking off and the target thinks anyway.
    fn set_max_tokens(&mut self, step: &'a Step, takes: &'a Takes) {
        let thinks = takes.thinking != Thinks::Never && self.thinking != Some(Thinking::Off);
        let is_forced = thinks && step.thinking == Some(Thinking::Off);
        let wanted = match step.max_tokens {
            Some(tokens) if !is_forced => tokens,
            tokens if thinks => {
                tokens.unwrap_or(ANSWER_TOKENS).saturating_add(thinking_room(self.effort))
            }
            tokens => tokens.unwrap_or(ANSWER_TOKENS),
        };
        self.max_tokens = wanted.min(takes.max_output_tokens);
        if step.max_tokens.is_some_and(|tokens| tokens != self.max_tokens) {
            let wanted = step.answer_tokens();
            let sent = self.max_tokens;
            self.adapt(format!("max_tokens {wanted} is sent as {sent}"));
        }
    }

    /// Sets the wanted lifetime, or a shorter one that the target's cache has. A longer one would cost more.
    fn set_cache(&mut self, step: &'a Step, takes: &'a Takes) {
        let Some(wanted) = step.cache.map(|cache| cache.ttl) else { return };
        self.cache = takes.cache.iter().rev().find(|ttl| **ttl <= wanted).copied();
        match self.cache {
            None => self.adapt("cache is left out: the target's prompt cache has no such lifetime"),
            Some(ttl) if ttl != wanted => {
                self.adapt(format!("cache {} is sent as {}", wanted.name(), ttl.name()));
            }
            Some(_) => {}
        }
    }

    fn set_schema(&mut self, step: &'a Step, takes: &'a Takes, grammar_refused: bool) {
        let Some(schema) = json_output(step).and_then(|output| output.schema.as_ref()) else {
            return;
        };
        let part = match () {
            () if !takes.json_schema => Err("the target enforces none".to_owned()),
            () if grammar_refused => Err("the service refused it before".to_owned()),
            () => subset(schema),
        };
        match part {
            Ok(part) => self.schema = Some(part),
            Err(why) => self.adapt(format!("the schema is in the prompt: {why}")),
        }
    }
}

/// Returns the output of a step that answers in JSON, or `None` for a step that answers in text.
pub fn json_output(step: &Step) -> Option<&OutputSpec> {
    step.output.as_ref().filter(|output| output.kind == OutputType::Json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::models::takes::tests::{before, step, today};
    use serde_json::json;

    fn of(extra: &str, takes: &Takes) -> (Parameters<'static>, Vec<String>) {
        let step = Box::leak(Box::new(step(extra)));
        let takes = Box::leak(Box::new(takes.clone()));
        let parameters = Parameters::of(step, takes, false);
        let adapted = parameters.adapted.clone();
        (parameters, adapted)
    }

    #[test]
    fn what_a_target_takes_is_sent_as_it_is() {
        let (sent, adapted) = of("thinking: off, effort: high, max_tokens: 400", &today());
        assert_eq!(
            (sent.thinking, sent.effort, sent.max_tokens),
            (Some(Thinking::Off), Some("high"), 400)
        );
        let (sent, more) = of("temperature: 0.5, max_tokens: 400", &before());
        assert_eq!((sent.temperature, sent.thinking), (Some(0.5), None));
        assert!(adapted.is_empty() && more.is_empty(), "{adapted:?} {more:?}");
    }

    #[test]
    fn a_target_of_the_generation_before_gets_what_it_takes() {
        let (sent, adapted) = of("thinking: on, effort: max, max_tokens: 100000", &before());
        assert_eq!((sent.thinking, sent.effort, sent.max_tokens), (None, None, 64_000));
        assert_eq!(
            adapted,
            [
                "effort max is left out: the target takes none",
                "thinking is left out",
                "max_tokens 100000 is sent as 64000",
            ]
        );
        let (sent, adapted) = of("temperature: 0.5", &today());
        assert_eq!(sent.temperature, None);
        assert_eq!(adapted, ["temperature 0.5 is left out: the target takes none"]);
    }

    #[test]
    fn an_effort_is_the_next_one_below_or_else_the_lowest() {
        let only = |levels: &[&str]| Takes {
            effort: levels.iter().map(|level| (*level).to_owned()).collect(),
            ..today()
        };
        assert_eq!(of("effort: max", &only(&["low", "high"])).0.effort, Some("high"));
        assert_eq!(of("effort: medium", &only(&["low", "high"])).0.effort, Some("low"));
        assert_eq!(of("effort: low", &only(&["medium", "high"])).0.effort, Some("medium"));
    }

    #[test]
    fn an_effort_above_high_switches_thinking_on() {
        for (effort, thinking) in
            [("high", None), ("xhigh", Some(Thinking::On)), ("max", Some(Thinking::On))]
        {
            assert_eq!(of(&format!("effort: {effort}"), &today()).0.thinking, thinking, "{effort}");
        }
        let always = Takes { thinking: Thinks::Always, ..today() };
        assert_eq!(
            of("effort: max", &always).0.thinking,
            None,
            "it is on, and no setting is taken"
        );
    }

    #[test]
    fn the_default_of_max_tokens_leaves_room_for_thinking() {
        assert_eq!(of("effort: low", &today()).0.max_tokens, 2_048 + 4_096);
        assert_eq!(of("cache: 5m, system: s", &today()).0.max_tokens, 2_048 + 16_384);
        assert_eq!(of("thinking: off", &today()).0.max_tokens, 2_048);
        assert_eq!(of("cache: 5m, system: s", &before()).0.max_tokens, 2_048);
        assert_eq!(of("max_tokens: 400", &today()).0.max_tokens, 400, "the author's own number");
        let small = Takes { max_output_tokens: 4_000, ..today() };
        assert_eq!(of("effort: max", &small).0.max_tokens, 4_000);
    }

    #[test]
    fn a_target_that_always_thinks_gets_room_where_the_step_wanted_none() {
        let always = Takes { thinking: Thinks::Always, ..today() };
        let (sent, adapted) = of("thinking: off, max_tokens: 400", &always);
        assert_eq!((sent.thinking, sent.effort), (None, Some("low")));
        assert_eq!(sent.max_tokens, 400 + 4_096);
        assert_eq!(adapted.len(), 2, "{adapted:?}");
        assert!(adapted[0].starts_with("thinking stays on"), "{adapted:?}");
    }

    #[test]
    fn a_long_prompt_leaves_less_room_for_the_answer() {
        let prompt = |tokens: usize| Prompt { user: "x".repeat(3 * tokens), ..Prompt::default() };
        let fitted = |tokens: usize| {
            let (mut sent, _) = of("max_tokens: 60000", &before());
            sent.leave_room(&prompt(tokens), &before());
            (sent.max_tokens, sent.adapted.len())
        };
        assert_eq!(fitted(140_000), (60_000, 0));
        assert_eq!(fitted(150_000), (50_000, 1));
        assert_eq!(fitted(199_500), (60_000, 0), "the service says that it is too long");
    }

    #[test]
    fn a_cache_gets_the_lifetime_that_the_target_has_and_no_longer_one() {
        let sent = |extra: &str, cache: &[CacheTtl]| {
            let takes = Takes { cache: cache.to_vec(), ..today() };
            let (sent, adapted) = of(&format!("system: s, {extra}"), &takes);
            (sent.cache, adapted)
        };
        let (five, hour) = (CacheTtl::FiveMinutes, CacheTtl::Hour);
        assert_eq!(sent("cache: 1h", &[five, hour]), (Some(hour), vec![]));
        assert_eq!(sent("cache: 1h", &[five]), (Some(five), vec!["cache 1h is sent as 5m".into()]));
        for (extra, takes) in [("cache: 1h", &[][..]), ("cache: 5m", &[hour])] {
            let (cache, adapted) = sent(extra, takes);
            assert_eq!((cache, adapted.len()), (None, 1), "{extra}: {adapted:?}");
            assert!(adapted[0].starts_with("cache is left out: the target's"), "{adapted:?}");
        }
        assert_eq!(sent("thinking: off", &[]), (None, vec![]), "the step wants no cache");
    }

    #[test]
    fn a_prefix_by_length_is_cached_if_it_may_be_long_enough() {
        let cached = |extra: &str, bytes: usize| {
            let step = Box::leak(Box::new(step(extra)));
            let takes = Box::leak(Box::new(today()));
            let mut sent = Parameters::of(step, takes, false);
            let user = "x".repeat(bytes);
            let prompt = Prompt { user, user_ends: vec![bytes], ..Prompt::default() };
            sent.measure_prefix(step, &prompt, takes);
            (sent.cache.is_some(), sent.adapted)
        };
        let auto = "cache: { ttl: 1h, prefix: auto }";
        assert_eq!(cached(auto, 3 * 1_024), (true, vec![]));
        let short =
            "the prefix of at most about 1,023 tokens is below the minimum of 1,024: not cached";
        assert_eq!(cached(auto, 3 * 1_024 - 1), (false, vec![short.to_owned()]));
        let marked = cached("cache: 1h, system: s", 10);
        assert_eq!(marked, (true, vec![]), "the author's mark is always sent");
    }

    const JSON: &str = "output: { type: json, schema: { type: object, required: [a], properties: { a: { type: integer, minimum: 1 } } } }";

    #[test]
    fn the_service_gets_the_part_of_a_schema_that_it_takes() {
        let (sent, adapted) = of(JSON, &today());
        let schema = sent.schema.unwrap();
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(schema.pointer("/properties/a/minimum"), None);
        assert!(adapted.is_empty(), "{adapted:?}");
    }

    #[test]
    fn a_schema_that_is_not_enforced_says_why() {
        let plain = Takes { json_schema: false, ..today() };
        let open = "output: { type: json, schema: { type: object } }";
        for (extra, takes, why) in [
            (JSON, &plain, "the target enforces none"),
            (open, &today(), "an object names no properties"),
        ] {
            let (sent, adapted) = of(extra, takes);
            assert_eq!(sent.schema, None);
            assert_eq!(adapted, [format!("the schema is in the prompt: {why}")]);
        }
        let step = step(JSON);
        let takes = today();
        let sent = Parameters::of(&step, &takes, true);
        assert!(
            sent.schema.is_none() && sent.adapted[0].contains("the service refused it before"),
            "{sent:?}"
        );
    }
}
