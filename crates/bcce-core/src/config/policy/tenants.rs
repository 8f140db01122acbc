//! The rules of tenants: the workflows that a tenant may start, and the model aliases and tag values that it may use.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::error::Problems;
use crate::base::names::check_name;
use crate::config::policy::{Policy, any_matches};

/// The key of the rule for every tenant without a rule of its own.
pub const EVERY_OTHER_TENANT: &str = "*";

/// The rule of one tenant. Both lists are required, so that a forgotten list does not silently allow or forbid
/// everything: `["*"]` allows all, `[]` allows none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantRule {
    /// The names of the workflows that the tenant may start. A trailing `*` matches the rest.
    pub workflows: Vec<String>,
    /// The model aliases that the tenant's runs may use, in a step or in a request. A trailing `*` matches the rest.
    pub models: Vec<String>,
    /// The allowed values of a tag, by the tag's key. A request may omit the tag. Tags that are not listed may have any
    /// value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, Vec<String>>,
}

impl TenantRule {
    /// Returns `true` if the tenant may start a workflow.
    pub fn may_start(&self, workflow: &str) -> bool {
        any_matches(&self.workflows, workflow)
    }

    /// Returns `true` if the tenant's runs may use an alias.
    pub fn may_use(&self, alias: &str) -> bool {
        any_matches(&self.models, alias)
    }
}

/// The parts of a request that a tenant's rule restricts.
#[derive(Clone, Debug)]
pub struct TenantRequest<'a> {
    pub tenant: &'a str,
    pub workflow: &'a str,
    /// The model alias of the request.
    pub model: Option<&'a str>,
    /// The ids and model aliases of the steps. The request's model replaces all these aliases, if it has one.
    pub steps: Vec<(&'a str, &'a str)>,
    pub tags: &'a BTreeMap<String, String>,
}

impl Policy {
    pub(super) fn check_tenants(&self) -> Problems {
        let mut problems = Problems::default();
        for (tenant, rule) in self.tenants.iter().flatten() {
            let mut found = Problems::default();
            if tenant != EVERY_OTHER_TENANT {
                check_name(&mut found, "", tenant);
            }
            for (tag, values) in &rule.tags {
                let cause = "must list at least one value; remove the tag to allow any value";
                found.check(!values.is_empty(), format!("tags.{tag}"), cause);
            }
            problems.extend(found.below(&format!("tenants.{tenant}")));
        }
        problems
    }

    /// Returns a problem for each part of the request that the tenant's rule forbids. The problems never mention the
    /// rules of other tenants.
    pub fn check_tenant(&self, asked: &TenantRequest<'_>) -> Problems {
        let Some(tenants) = &self.tenants else { return Problems::default() };
        let tenant = asked.tenant;
        let Some(rule) = tenants.get(tenant).or_else(|| tenants.get(EVERY_OTHER_TENANT)) else {
            let cause = format!(
                "tenant {tenant} may start nothing: policy.yaml has no rule for it under `tenants`"
            );
            return Problems::one("workflow", cause);
        };
        let mut problems = Problems::default();
        let may = |patterns: &[String]| match patterns {
            [] => "none".to_owned(),
            some => some.join(", "),
        };
        let workflow = asked.workflow;
        let cause = format!(
            "tenant {tenant} may not start {workflow}; policy.yaml allows only: {}",
            may(&rule.workflows)
        );
        problems.check(rule.may_start(workflow), "workflow", cause);
        let refused = |alias: &str| {
            let allowed = may(&rule.models);
            format!("tenant {tenant} may not use {alias}; policy.yaml allows only: {allowed}")
        };
        match asked.model {
            Some(alias) => problems.check(rule.may_use(alias), "model", refused(alias)),
            None => {
                for (step, alias) in asked.steps.iter().filter(|(_, alias)| !rule.may_use(alias)) {
                    problems.add(format!("steps.{step}.model"), refused(alias));
                }
            }
        }
        for (tag, values) in &rule.tags {
            let is_free = asked.tags.get(tag).is_none_or(|value| values.contains(value));
            let cause = format!("must be one of {} for tenant {tenant}", values.join(", "));
            problems.check(is_free, format!("tags.{tag}"), cause);
        }
        problems
    }

    /// Returns a problem for each pattern that matches no workflow or no alias. Otherwise a typing error could silently
    /// forbid something.
    pub fn check_patterns(&self, workflows: &BTreeSet<&str>, aliases: &BTreeSet<&str>) -> Problems {
        let mut problems = Problems::default();
        for (tenant, rule) in self.tenants.iter().flatten() {
            for (name, patterns, known) in
                [("workflows", &rule.workflows, workflows), ("models", &rule.models, aliases)]
            {
                for (n, pattern) in patterns.iter().enumerate() {
                    let fits =
                        known.iter().any(|known| crate::config::policy::matches(pattern, known));
                    let known: Vec<&str> = known.iter().copied().take(12).collect();
                    let cause = format!("{pattern} matches none; there are: {}", known.join(", "));
                    // `*` is also valid in a directory without workflows or aliases.
                    let field = format!("tenants.{tenant}.{name}[{n}]");
                    problems.check(fits || pattern == "*", field, cause);
                }
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::from_yaml;

    const POLICY: &str = "version: 1\ntenants:\n  alpha: { workflows: [code-review, docs-*], models: [haiku], tags: { cost-center: [\"4711\"] } }\n  beta: { workflows: [\"*\"], models: [\"*\"] }\n";

    fn policy(yaml: &str) -> Result<Policy, String> {
        from_yaml(yaml).finished().map_err(|problems| problems.to_string())
    }

    fn reported(
        policy: &Policy,
        tenant: &str,
        workflow: &str,
        model: Option<&str>,
        tag: &str,
    ) -> String {
        let tags = BTreeMap::from([("cost-center".to_owned(), tag.to_owned())]);
        let steps = vec![("answer", "sonnet")];
        policy
            .check_tenant(&TenantRequest { tenant, workflow, model, steps, tags: &tags })
            .to_string()
    }

    #[test]
    fn a_tenant_may_do_what_its_rule_lists_and_nothing_else() {
        let policy = policy(POLICY).unwrap();
        assert_eq!(reported(&policy, "alpha", "docs-gen", Some("haiku"), "4711"), "");
        assert_eq!(reported(&policy, "beta", "bug-hunt", None, "any"), "");
        let refused = reported(&policy, "alpha", "bug-hunt", None, "hunter2");
        assert_eq!(
            refused,
            "workflow: tenant alpha may not start bug-hunt; policy.yaml allows only: code-review, docs-*; \
             steps.answer.model: tenant alpha may not use sonnet; policy.yaml allows only: haiku; \
             tags.cost-center: must be one of 4711 for tenant alpha"
        );
        let by_request = reported(&policy, "alpha", "docs-gen", Some("opus"), "4711");
        assert!(by_request.starts_with("model: tenant alpha may not use opus"), "{by_request}");
    }

    #[test]
    fn a_tenant_without_a_rule_may_start_nothing_unless_the_star_covers_it() {
        let closed = policy(POLICY).unwrap();
        let refused = reported(&closed, "gamma", "explain", None, "x");
        assert!(refused.starts_with("workflow: tenant gamma may start nothing"), "{refused}");
        for other in ["alpha", "beta", "4711"] {
            assert!(!refused.contains(other), "{refused}");
        }
        let open = format!("{POLICY}  \"*\": {{ workflows: [explain], models: [sonnet] }}\n");
        let open = policy(&open).unwrap();
        assert_eq!(reported(&open, "gamma", "explain", None, "x"), "");
        assert_ne!(
            reported(&open, "alpha", "explain", None, "4711"),
            "",
            "its own rule comes first"
        );
        let nobody = policy("version: 1\ntenants: {}\n").unwrap();
        assert_ne!(reported(&nobody, "default", "explain", None, "x"), "");
        assert_eq!(reported(&Policy::default(), "default", "explain", None, "x"), "");
    }

    #[test]
    fn a_rule_names_both_lists() {
        let reported = policy("version: 1\ntenants:\n  a/b: { models: [], tags: { x: [] } }\n");
        let reported = reported.unwrap_err();
        for part in ["tenants.a/b.workflows: is missing", "tags.x: must list at least one value"] {
            assert!(reported.contains(part), "{part} is missing in {reported}");
        }
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_found() {
        let policy = policy(POLICY).unwrap();
        let found = policy.check_patterns(&["code-review"].into(), &["haiku", "sonnet"].into());
        let expected = "tenants.alpha.workflows[1]: docs-* matches none; there are: code-review";
        assert_eq!(found.to_string(), expected);
    }
}
