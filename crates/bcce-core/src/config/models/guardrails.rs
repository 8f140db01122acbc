//! Compares the guardrails of targets, so that neither a failover nor a request's model moves to another
//! guardrail or to none.

use std::collections::BTreeMap;

use crate::base::error::Problems;
use crate::base::target::{Guardrail, Target};
use crate::config::models::{Model, Models};

/// Returns `true` if two targets have the same guardrail, or both have none. Guardrails are regional, so their ids
/// differ between regions; guardrails with the same `name` are the same.
pub fn is_same(one: Option<&Guardrail>, other: Option<&Guardrail>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => match (&one.name, &other.name) {
            (Some(one), Some(other)) => one == other,
            (None, None) => (&one.id, &one.version) == (&other.id, &other.version),
            _ => false,
        },
        _ => false,
    }
}

/// Describes a target's guardrail: `guardrail pii`, `guardrail abc version 1` or `no guardrail`.
fn describe(guardrail: Option<&Guardrail>) -> String {
    match guardrail {
        None => "no guardrail".to_owned(),
        Some(Guardrail { name: Some(name), .. }) => format!("guardrail {name}"),
        Some(Guardrail { id, version, name: None }) => format!("guardrail {id} version {version}"),
    }
}

impl Model {
    /// Returns the guardrail of the model's targets. All targets of a checked model have the same guardrail, or none.
    pub fn guardrail(&self) -> Option<&Guardrail> {
        self.targets().next().and_then(|target| target.guardrail.as_ref())
    }

    /// Returns a problem for each invalid guardrail, and for each target whose guardrail differs from that of the first
    /// target. A failover to such a target would move to another guardrail or to none.
    pub(super) fn check_guardrails(&self, field: &str) -> Problems {
        let mut problems = Problems::default();
        for (n, target) in self.targets().enumerate() {
            if let Some(guardrail) = &target.guardrail {
                let is_whole = !guardrail.id.is_empty() && !guardrail.version.is_empty();
                let cause = "needs an id and a version, e.g. \"1\" or DRAFT";
                problems.check(is_whole, format!("{field}[{n}].guardrail"), cause);
                let is_named = guardrail.name.as_ref().is_none_or(|name| !name.trim().is_empty());
                let cause = "is blank; leave it out, or give the guardrail one name in all regions";
                problems.check(is_named, format!("{field}[{n}].guardrail.name"), cause);
            }
            let Some(first) = self.targets().next() else { continue };
            let same = is_same(first.guardrail.as_ref(), target.guardrail.as_ref());
            let has =
                |target: &Target| format!("{target} has {}", describe(target.guardrail.as_ref()));
            let cause = format!(
                "{} and {}; all targets of an alias must have the same guardrail; if these are one guardrail in \
                 several regions, give each the same `guardrail.name`",
                has(target),
                has(first)
            );
            problems.check(same, format!("{field}[{n}].guardrail"), cause);
        }
        problems
    }
}

impl Models {
    /// Returns a problem for each name that is used for two guardrails in one region.
    pub(super) fn check_guardrail_names(&self) -> Problems {
        let mut problems = Problems::default();
        let mut known = BTreeMap::new();
        for (alias, model) in &self.models {
            for (n, target) in model.targets().enumerate() {
                let Some(guardrail) = &target.guardrail else { continue };
                let Some(name) = &guardrail.name else { continue };
                let place = (&target.account, &target.region, name);
                let is = (&guardrail.id, &guardrail.version);
                let (before, first, index) = *known.entry(place).or_insert((is, alias, n));
                let cause = format!(
                    "{name} is {} version {} at models.{first}.targets[{index}]; a name must belong to one \
                     guardrail in {}",
                    before.0, before.1, target.region
                );
                let field = format!("models.{alias}.targets[{n}].guardrail.name");
                problems.check(before == is, field, cause);
            }
        }
        problems
    }

    /// Returns the reason why a request may not replace the alias `replaced` by `alias`: their guardrails differ.
    /// Returns `None` if the guardrails are the same, or if one of the aliases does not exist.
    pub fn leaves_guardrail(&self, alias: &str, replaced: &str) -> Option<String> {
        let chosen = self.models.get(alias)?.guardrail();
        let own = self.models.get(replaced)?.guardrail();
        (!is_same(chosen, own)).then(|| {
            format!("{alias} has {} and {replaced} has {}", describe(chosen), describe(own))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::document::from_yaml;

    fn reported(targets: &[&str]) -> String {
        let lines: String =
            targets.iter().map(|target| format!("    - {{ {target} }}\n")).collect();
        let yaml = format!(
            "version: 1\nmodels:\n  m:\n    takes: {{ max_output_tokens: 1 }}\n    targets:\n{lines}"
        );
        from_yaml::<Models>(&yaml).problems.to_string()
    }

    const EAST: &str = "region: us-east-1, model_id: a";
    const WEST: &str = "region: us-west-2, model_id: a";

    #[test]
    fn an_alias_that_mixes_guarded_and_unguarded_targets_is_refused_with_both() {
        let guarded = format!("{EAST}, guardrail: {{ id: g1, version: \"1\" }}");
        let reported = reported(&[&guarded, WEST]);
        assert!(
            reported.starts_with(
                "models.m.targets[1].guardrail: a in us-west-2 has no guardrail and a in us-east-1 has guardrail g1 version 1;"
            ),
            "{reported}"
        );
    }

    #[test]
    fn the_same_guardrail_of_two_regions_has_one_name() {
        let of = |place: &str, id: &str, name: &str| {
            format!("{place}, guardrail: {{ id: {id}, version: \"1\"{name} }}")
        };
        let pair = |one: String, other: String| reported(&[&one, &other]);
        assert_eq!(pair(of(EAST, "g1", ", name: pii"), of(WEST, "g2", ", name: pii")), "");
        assert!(pair(of(EAST, "g1", ""), of(WEST, "g2", "")).contains("guardrail g2 version 1"));
        assert!(pair(of(EAST, "g1", ", name: pii"), of(WEST, "g1", "")).contains("pii"));
        let blank = reported(&[&of(EAST, "g1", ", name: \" \"")]);
        assert!(blank.contains("guardrail.name: is blank"), "{blank}");
        let east = "region: us-east-1, model_id: b";
        let twice = pair(of(EAST, "g1", ", name: pii"), of(east, "g2", ", name: pii"));
        assert!(twice.contains("pii is g1 version 1 at models.m.targets[0];"), "{twice}");
    }

    proptest! {
        /// The router chooses from the list of an alias. No two targets of an accepted list have different guardrails,
        /// so no failover moves to another guardrail or to none.
        #[test]
        fn an_accepted_alias_has_one_guardrail_whatever_it_lists(
            targets in proptest::collection::vec(
                (select(vec!["us-east-1", "us-west-2"]), select(vec!["a", "b", "c"]),
                 select(vec!["", "g1", "g2"]), select(vec!["", "pii", "other"])),
                1..5,
            )
        ) {
            let lines: Vec<String> = targets.iter().map(|(region, model, id, name)| {
                let name = if name.is_empty() { String::new() } else { format!(", name: {name}") };
                let rail = format!(", guardrail: {{ id: {id}, version: \"1\"{name} }}");
                let rail = if id.is_empty() { "" } else { &rail };
                format!("region: {region}, model_id: {model}{rail}")
            }).collect();
            let reported = reported(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            let rails = targets.iter().map(|(_, _, id, name)| match (*id, *name) {
                ("", _) => String::new(),
                (id, "") => format!("id {id}"),
                (_, name) => format!("name {name}"),
            });
            let kinds = rails.collect::<std::collections::BTreeSet<_>>().len();
            prop_assert!(kinds == 1 || reported.contains("guardrail"), "{kinds} in {lines:?}");
        }
    }
}
