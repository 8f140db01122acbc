//! The tags by which the ledger splits costs. Only the platform team lists their values: the number of counters of a
//! day depends on them, and a sender must be able neither to multiply the counters nor to use up a limit of values.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::error::Problems;
use crate::config::policy::Policy;

/// The most tags that split costs.
pub const MAX_COST_TAGS: usize = 5;
/// The most values of a tag. Other values count as [`OTHER`].
pub const MAX_COST_TAG_VALUES: usize = 50;
/// The most combinations of values, with [`OTHER`] and no value included. Each can have counters of its own for every
/// step of every workflow.
const MAX_COMBINATIONS: usize = 10_000;
/// The longest value in bytes.
const MAX_VALUE_BYTES: usize = 64;
/// The value that stands for all values that the policy does not list.
pub const OTHER: &str = "other";

impl Policy {
    /// Returns the tags that split the costs of a run with these tags. A value that the policy does not list is
    /// [`OTHER`], and a missing or blank tag is left out.
    pub fn cost_tags_of(&self, tags: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let split = self.cost_tags.iter().filter_map(|(tag, values)| {
            let value = tags.get(tag).filter(|value| !value.trim().is_empty())?;
            let kept = if values.contains(value) { value.as_str() } else { OTHER };
            Some((tag.clone(), kept.to_owned()))
        });
        split.collect()
    }

    pub(super) fn check_cost_tags(&self) -> Problems {
        let mut problems = Problems::default();
        let count = self.cost_tags.len();
        let cause = format!("has {count} tags (limit: {MAX_COST_TAGS})");
        problems.check(count <= MAX_COST_TAGS, "", cause);
        for (tag, values) in &self.cost_tags {
            problems.extend(check_values(values).below(tag));
        }
        // A tag of a run has a listed value, another value, or none.
        let combinations = self
            .cost_tags
            .values()
            .fold(1_usize, |all, values| all.saturating_mul(values.len() + 2));
        let cause = format!(
            "allows {combinations} combinations of values (limit: {MAX_COMBINATIONS}); list fewer tags or values"
        );
        problems.check(count > MAX_COST_TAGS || combinations <= MAX_COMBINATIONS, "", cause);
        problems.below("cost_tags")
    }
}

fn check_values(values: &[String]) -> Problems {
    let mut problems = Problems::default();
    let count = values.len();
    let cause = format!("must list 1 to {MAX_COST_TAG_VALUES} values, there are {count}");
    problems.check((1..=MAX_COST_TAG_VALUES).contains(&count), "", cause);
    let mut seen = BTreeSet::new();
    for (n, value) in values.iter().enumerate() {
        let field = format!("[{n}]");
        let is_short = !value.trim().is_empty() && value.len() <= MAX_VALUE_BYTES;
        let cause = format!("must not be blank, and have at most {MAX_VALUE_BYTES} bytes");
        problems.check(is_short, field.clone(), cause);
        problems.check(seen.insert(value), field, "is listed twice");
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::from_yaml;

    fn policy(cost_tags: &str) -> Result<Policy, String> {
        let draft = from_yaml::<Policy>(&format!("version: 1\ncost_tags: {cost_tags}\n"));
        draft.finished().map_err(|problems| problems.to_string())
    }

    #[test]
    fn only_listed_values_are_kept_apart() {
        let policy = policy("{ team: [search, payments], stage: [live] }").unwrap();
        let of = |tags: &[(&str, &str)]| {
            let tags = tags.iter().map(|(tag, value)| ((*tag).into(), (*value).into())).collect();
            let split = policy.cost_tags_of(&tags);
            split.iter().map(|(tag, value)| format!("{tag}={value}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(&[("team", "search"), ("stage", "live")]), "stage=live team=search");
        assert_eq!(of(&[("team", "risk"), ("owner", "me")]), "team=other");
        assert_eq!(of(&[("team", " ")]), "", "a blank tag is no value");
    }

    #[test]
    fn lists_that_would_multiply_the_counters_are_refused() {
        let values = |count: usize| {
            let values: Vec<String> = (0..count).map(|n| format!("v{n}")).collect();
            format!("[{}]", values.join(", "))
        };
        let six: Vec<String> = (0..6).map(|n| format!("t{n}: [a]")).collect();
        let (fifty, more) = (values(50), values(51));
        for (cost_tags, expected) in [
            (format!("{{ {} }}", six.join(", ")), "cost_tags: has 6 tags (limit: 5)"),
            (format!("{{ a: {more} }}"), "cost_tags.a: must list 1 to 50 values, there are 51"),
            ("{ a: [] }".into(), "cost_tags.a: must list 1 to 50 values, there are 0"),
            ("{ a: [x, z, x] }".into(), "cost_tags.a[2]: is listed twice"),
            (
                "{ a: [\" \"] }".into(),
                "cost_tags.a[0]: must not be blank, and have at most 64 bytes",
            ),
            (
                format!("{{ a: {fifty}, b: {fifty}, c: [x, z] }}"),
                "cost_tags: allows 10816 combinations of values (limit: 10000); list fewer tags or values",
            ),
        ] {
            assert_eq!(policy(&cost_tags), Err(expected.to_owned()));
        }
        assert!(policy(&format!("{{ a: {fifty}, b: {fifty} }}")).is_ok());
    }
}
