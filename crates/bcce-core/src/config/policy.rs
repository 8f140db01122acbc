//! The policy of the platform team. It is checked when a run is planned and again at each decision.

pub mod cost_tags; // the tags by which the ledger splits costs
mod data_retention; // the modes of data retention
mod tenants; // the rules of tenants

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::base::error::Problems;
use crate::base::target::Target;
use crate::config::profiles::Profiles;
use crate::config::residency::{Reach, base_model};
use crate::document::Document;

pub use data_retention::DataRetention;
pub use tenants::{EVERY_OTHER_TENANT, TenantRequest, TenantRule};

/// The document `policy.yaml`, in SSM `/bcce/<env>/policy`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub version: u32,
    /// The regions that data may reach. An empty list means no limit. All regions that an inference profile may reach
    /// must be in the list.
    #[serde(default)]
    pub allowed_regions: Vec<String>,
    /// The allowed models, without profile prefix. A trailing `*` matches the rest. An empty list means no limit.
    #[serde(default)]
    pub allowed_models: Vec<String>,
    /// The tags that a request must have.
    #[serde(default)]
    pub required_tags: Vec<String>,
    /// The limits in USD that earlier versions had here, by name. A document that has them is refused. The
    /// configuration that an earlier version has stored for a batch may have them, and `run_usd` limits its runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceilings: Option<BTreeMap<String, Decimal>>,
    /// The tags by which the ledger splits costs, with the values that are kept apart.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cost_tags: BTreeMap<String, Vec<String>>,
    /// The rule of each tenant, by the tenant's name. The rule `*` applies to every tenant without a rule of its own.
    /// With `None` every tenant may start every workflow and use every alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<BTreeMap<String, TenantRule>>,
    /// The modes of data retention that the account may have on Bedrock. An empty list means no limit. Calls do not
    /// depend on it; `bcce doctor` and the canary compare the account with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_retention: Vec<DataRetention>,
}

/// The problem of a document with `ceilings`.
const MOVED: &str = "has moved to budgets.yaml: { scope: run, usd: … } and { scope: batch, usd: … }; push both files \
                     (docs/deployment.md)";

/// The rule that a target breaks.
enum Breach<'a> {
    /// The allowed regions. The value is a place that the data may reach.
    Residency(&'a str),
    /// The allowed models. The value is the target's model.
    Model(&'a str),
}

impl Document for Policy {
    fn check(&self) -> Problems {
        let mut problems = Problems::default();
        problems.check(self.version == 1, "version", "must be 1");
        problems.check(self.ceilings.is_none(), "ceilings", MOVED);
        problems.extend(self.check_cost_tags());
        problems.extend(self.check_tenants());
        problems
    }
}

impl Policy {
    /// Returns the part of the policy that decisions about targets need. A route passes it through the state machine,
    /// and a plan must not contain the rules of other tenants.
    pub fn of_targets(&self) -> Self {
        Self {
            ceilings: None,
            cost_tags: BTreeMap::new(),
            tenants: None,
            data_retention: Vec::new(),
            ..self.clone()
        }
    }

    /// Returns `true` if a target may be used. [`Policy::forbids`] returns the reason if it may not.
    pub fn allows(&self, target: &Target, profiles: &Profiles) -> bool {
        self.breach(target, profiles).is_none()
    }

    /// Returns the reason why a target may not be used, or `None` if it may.
    pub fn forbids(&self, target: &Target, profiles: &Profiles) -> Option<String> {
        Some(match self.breach(target, profiles)? {
            Breach::Residency(outside) => {
                format!("residency: it may reach {outside}, which is not allowed")
            }
            Breach::Model(model) => format!("{model} is not an allowed model"),
        })
    }

    fn breach<'a>(&self, target: &'a Target, profiles: &'a Profiles) -> Option<Breach<'a>> {
        let reach = Reach::of(target, profiles);
        if let Some(outside) = reach.outside(&self.allowed_regions) {
            return Some(Breach::Residency(outside));
        }
        let model = base_model(profiles.resolve(&target.region, &target.model_id));
        let allowed = self.allowed_models.is_empty() || any_matches(&self.allowed_models, model);
        (!allowed).then_some(Breach::Model(model))
    }

    /// Returns the reason why each of `targets` is forbidden, or `None` if at least one is allowed.
    pub fn forbids_all<'a>(
        &self,
        targets: impl Iterator<Item = &'a Target> + Clone,
        profiles: &Profiles,
    ) -> Option<String> {
        let reason = |target| Some(format!("{target}: {}", self.forbids(target, profiles)?));
        let reasons: Vec<String> = targets.clone().map_while(reason).collect();
        (reasons.len() == targets.count()).then(|| reasons.join("; "))
    }

    /// Returns the required tags that are missing or blank in `tags`.
    pub fn missing_tags(&self, tags: &BTreeMap<String, String>) -> Vec<&str> {
        self.required_tags
            .iter()
            .filter(|tag| tags.get(*tag).is_none_or(|value| value.trim().is_empty()))
            .map(String::as_str)
            .collect()
    }
}

/// Returns `true` if `name` matches `pattern`. A trailing `*` in the pattern matches any rest.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// Returns `true` if at least one of `patterns` matches `name`.
pub fn any_matches(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::target::tests::target;
    use crate::document::from_yaml;

    #[test]
    fn ceilings_are_refused_with_the_place_that_they_have_moved_to() {
        for ceilings in ["{ run_usd: \"5.00\", batch_usd: 200 }", "{ run_usd: 5 }", "{}"] {
            let yaml = format!("version: 1\nceilings: {ceilings}\n");
            let problems = from_yaml::<Policy>(&yaml).finished().unwrap_err().to_string();
            let expected = "ceilings: has moved to budgets.yaml: { scope: run, usd: … }";
            assert!(problems.starts_with(expected), "{problems}");
        }
    }

    #[test]
    fn a_target_outside_is_forbidden_with_the_reason() {
        let policy = Policy { allowed_regions: vec!["us-east-1".into()], ..Policy::default() };
        let why = policy.forbids(&target("us-east-1"), &Profiles::default()).unwrap();
        assert!(why.contains("us-east-2"), "{why}");
    }

    #[test]
    fn allowed_models_match_without_the_profile() {
        let allow =
            |pattern: &str| Policy { allowed_models: vec![pattern.into()], ..Policy::default() };
        assert_eq!(
            allow("anthropic.claude-haiku-*").forbids(&target("us-east-1"), &Profiles::default()),
            None
        );
        assert!(
            allow("anthropic.claude-opus-*")
                .forbids(&target("us-east-1"), &Profiles::default())
                .is_some()
        );
        assert!(
            allow("anthropic.claude-haiku")
                .forbids(&target("us-east-1"), &Profiles::default())
                .is_some()
        );
    }
}
