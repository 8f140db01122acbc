//! The settings that a target accepts. Calls are adapted to them, and a setting that no target accepts is refused
//! before a call is made.

use serde::{Deserialize, Serialize};

use crate::base::error::Problems;
use crate::config::cache::CacheTtl;
use crate::config::template::{Step, THINKING_EFFORTS, Thinking};

/// The levels of effort that the service has, from the lowest to the highest.
pub const EFFORTS: [&str; 5] = ["low", "medium", "high", "xhigh", "max"];

/// The settings that one target accepts: those of its model, overridden by those of the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Takes {
    /// True if the target accepts a temperature.
    #[serde(default)]
    pub temperature: bool,
    /// The accepted levels of effort, from the lowest to the highest. An empty list means that the target accepts none.
    #[serde(default)]
    pub effort: Vec<String>,
    #[serde(default)]
    pub thinking: Thinks,
    /// True if the service can make the answer fit a JSON schema.
    #[serde(default)]
    pub json_schema: bool,
    /// The longest answer in tokens, including thinking.
    pub max_output_tokens: u32,
    /// The longest prompt and answer together, in tokens.
    #[serde(default = "Takes::default_context_tokens")]
    pub context_tokens: u64,
    /// The lifetimes that its prompt cache has, from the shorter to the longer one. An empty list means that it has no
    /// prompt cache.
    #[serde(default = "Takes::default_cache")]
    pub cache: Vec<CacheTtl>,
    /// The fewest tokens of a prefix that its prompt cache keeps.
    #[serde(default = "Takes::default_cache_minimum_tokens")]
    pub cache_minimum_tokens: u64,
}

/// The thinking of a model before it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Thinks {
    /// The model does not think in calls by BCCE, and accepts no setting.
    #[default]
    Never,
    /// The model thinks unless the call switches it off.
    Optional,
    /// The model always thinks. The service refuses a call that switches it off.
    Always,
}

/// The settings of a model that a target overrides. See [`Takes`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakesOverride {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Thinks>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Vec<CacheTtl>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_minimum_tokens: Option<u64>,
}

impl TakesOverride {
    /// Returns `true` if no setting is overridden.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Takes {
    /// Returns the context of the generations before 5.5, in tokens.
    pub fn default_context_tokens() -> u64 {
        200_000
    }

    /// Returns the lifetimes that the prompt cache of the current generations has.
    pub fn default_cache() -> Vec<CacheTtl> {
        vec![CacheTtl::FiveMinutes, CacheTtl::Hour]
    }

    /// Returns the largest minimum that is documented for a model. A prefix of this length is cached by all of them.
    pub fn default_cache_minimum_tokens() -> u64 {
        4_096
    }

    /// Returns the settings with those of `change`.
    pub fn with(&self, change: &TakesOverride) -> Self {
        Self {
            temperature: change.temperature.unwrap_or(self.temperature),
            effort: change.effort.as_ref().unwrap_or(&self.effort).clone(),
            thinking: change.thinking.unwrap_or(self.thinking),
            json_schema: change.json_schema.unwrap_or(self.json_schema),
            max_output_tokens: change.max_output_tokens.unwrap_or(self.max_output_tokens),
            context_tokens: change.context_tokens.unwrap_or(self.context_tokens),
            cache: change.cache.as_ref().unwrap_or(&self.cache).clone(),
            cache_minimum_tokens: change.cache_minimum_tokens.unwrap_or(self.cache_minimum_tokens),
        }
    }

    /// Checks the values of the settings. The problems are below `field`.
    pub fn check(&self, field: &str) -> Problems {
        let mut problems = Problems::default();
        for level in &self.effort {
            let known = EFFORTS.contains(&level.as_str());
            let cause = format!("invalid level {level}: expected one of {}", EFFORTS.join(", "));
            problems.check(known, format!("{field}.effort"), cause);
        }
        let place = |level: &String| EFFORTS.iter().position(|known| known == level);
        let sorted = self.effort.iter().map(place).is_sorted_by(|a, b| a < b);
        problems.check(
            sorted,
            format!("{field}.effort"),
            "must go from the lowest to the highest level, each level once",
        );
        let needs_it = |level: &&String| THINKING_EFFORTS.contains(&level.as_str());
        if let Some(level) =
            self.effort.iter().find(needs_it).filter(|_| self.thinking == Thinks::Never)
        {
            let cause = format!("{level} needs thinking, and `thinking` is never");
            problems.add(format!("{field}.effort"), cause);
        }
        let most = self.max_output_tokens;
        let context = self.context_tokens;
        problems.check(most > 0, format!("{field}.max_output_tokens"), "must be above 0");
        let cause = format!("must be above max_output_tokens, which is {most}");
        problems.check(context > u64::from(most), format!("{field}.context_tokens"), cause);
        let sorted = self.cache.is_sorted_by(|a, b| a < b);
        let cause = "must have each lifetime once: [], [5m], [1h] or [5m, 1h]";
        problems.check(sorted, format!("{field}.cache"), cause);
        let minimum = format!("{field}.cache_minimum_tokens");
        problems.check(self.cache_minimum_tokens > 0, minimum, "must be above 0");
        problems
    }
}

/// Returns a problem for each setting of `step` that no target of `alias` accepts. A setting that only some targets
/// accept is adapted when a call is made; see [`Parameters`](crate::call::parameters::Parameters).
pub fn check_step<'a>(
    alias: &str,
    takes: impl Iterator<Item = &'a Takes> + Clone,
    step: &Step,
) -> Problems {
    let mut problems = Problems::default();
    let field = |name: &str| format!("steps.{}.{name}", step.id);
    let most = takes.clone().map(|takes| takes.max_output_tokens).max().unwrap_or_default();
    let cause = format!("{alias} gives at most {most} tokens");
    let fits = step.max_tokens.is_none_or(|tokens| tokens <= most);
    problems.check(fits, field("max_tokens"), cause);
    let warm = step.temperature.is_none() || takes.clone().any(|takes| takes.temperature);
    problems.check(warm, field("temperature"), format!("{alias} does not take a temperature"));
    if let Some(effort) = &step.effort {
        let taken = takes.clone().any(|takes| takes.effort.contains(effort));
        problems.check(taken, field("effort"), effort_cause(alias, takes.clone()));
    }
    let thinking = match step.thinking {
        Some(Thinking::Off) => takes.clone().any(|takes| takes.thinking != Thinks::Always),
        Some(Thinking::On) => takes.clone().any(|takes| takes.thinking != Thinks::Never),
        None => true,
    };
    let cause = match step.thinking {
        Some(Thinking::Off) => format!("{alias} always thinks; leave it out, or lower `effort`"),
        _ => format!("{alias} does not think"),
    };
    problems.check(thinking, field("thinking"), cause);
    problems
}

fn effort_cause<'a>(alias: &str, takes: impl Iterator<Item = &'a Takes> + Clone) -> String {
    let is_taken = |level: &&&str| takes.clone().any(|t| t.effort.iter().any(|e| e == **level));
    let levels: Vec<&str> = EFFORTS.iter().filter(is_taken).copied().collect();
    match levels.as_slice() {
        [] => format!("{alias} does not take an effort"),
        levels => format!("{alias} takes one of {}", levels.join(", ")),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::config::template::Template;

    pub fn step(extra: &str) -> Step {
        let yaml =
            format!("version: 1\nname: w\nsteps:\n- {{ id: a, model: m, prompt: p, {extra} }}\n");
        Template::parse(&yaml).unwrap().steps.remove(0)
    }

    /// Returns the settings that Haiku 4.5 accepts.
    pub fn before() -> Takes {
        Takes {
            temperature: true,
            effort: vec![],
            thinking: Thinks::Never,
            json_schema: true,
            max_output_tokens: 64_000,
            context_tokens: 200_000,
            cache: Takes::default_cache(),
            cache_minimum_tokens: 4_096,
        }
    }

    /// Returns the settings that Haiku 5.5 accepts.
    pub fn today() -> Takes {
        Takes {
            temperature: false,
            effort: EFFORTS.map(str::to_owned).to_vec(),
            thinking: Thinks::Optional,
            json_schema: true,
            max_output_tokens: 128_000,
            context_tokens: 1_000_000,
            cache: Takes::default_cache(),
            cache_minimum_tokens: 1_024,
        }
    }

    fn problems_of(takes: &[Takes], extra: &str) -> String {
        check_step("haiku", takes.iter(), &step(extra)).to_string()
    }

    #[test]
    fn what_no_target_takes_is_reported_by_field() {
        let problems = problems_of(&[before()], "max_tokens: 64001, effort: low, thinking: on");
        for part in [
            "steps.a.max_tokens: haiku gives at most 64000",
            "steps.a.effort: haiku does not take an effort",
            "steps.a.thinking: haiku does not think",
        ] {
            assert!(problems.contains(part), "{part} is missing in {problems}");
        }
        let always = Takes { thinking: Thinks::Always, ..today() };
        let problems = problems_of(&[always], "thinking: off, temperature: 0.5");
        assert!(problems.contains("steps.a.thinking: haiku always thinks"), "{problems}");
        assert!(
            problems.contains("steps.a.temperature: haiku does not take a temperature"),
            "{problems}"
        );
    }

    #[test]
    fn what_one_target_takes_is_right_for_all() {
        let mixed = [today(), before()];
        let wishes = "max_tokens: 100000, effort: max, thinking: on, temperature: 0.5";
        assert_eq!(problems_of(&mixed, wishes), "");
        assert_eq!(problems_of(&mixed, "thinking: off"), "");
    }

    #[test]
    fn a_target_changes_what_it_names_and_nothing_else() {
        let change: TakesOverride =
            serde_saphyr::from_str("{ effort: [low], thinking: always }").unwrap();
        let changed = today().with(&change);
        assert_eq!((changed.effort, changed.thinking), (vec!["low".into()], Thinks::Always));
        assert_eq!(changed.context_tokens, today().context_tokens);
    }

    #[test]
    fn levels_and_lengths_that_cannot_be_are_reported() {
        let problems_of = |effort: &[&str], thinking| {
            let effort = effort.iter().map(|level| (*level).to_owned()).collect();
            Takes { effort, thinking, ..today() }.check("t").to_string()
        };
        let sorted = "t.effort: must go from the lowest to the highest level";
        assert!(problems_of(&["high", "low"], Thinks::Optional).contains(sorted));
        assert!(problems_of(&["low", "low"], Thinks::Optional).contains(sorted));
        assert!(problems_of(&["low", "max"], Thinks::Never).contains("max needs thinking"));
        assert_eq!(
            problems_of(&["low", "max"], Thinks::Always) + &problems_of(&[], Thinks::Never),
            ""
        );
        let wrong = Takes { effort: vec!["hihg".into()], context_tokens: 10, ..today() };
        let problems = wrong.check("models.m.takes").to_string();
        assert!(
            problems.contains("models.m.takes.effort: invalid level hihg: expected one of low"),
            "{problems}"
        );
        assert!(problems.contains("models.m.takes.context_tokens: must be above"), "{problems}");
    }
}
