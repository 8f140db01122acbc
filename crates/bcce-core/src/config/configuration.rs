//! The configuration of one workflow, which is read and checked as a whole.

use serde::{Deserialize, Serialize};

use crate::config::budgets::{Budgets, Scope, Unit, WorstCaseLimit};
use crate::config::models::Models;
use crate::config::policy::Policy;
use crate::config::pricing::Prices;
use crate::config::profiles::Profiles;
use crate::config::routing::Routing;
use crate::config::template::Template;

/// All documents that a run of one workflow is planned from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    pub template: Template,
    /// The digest of the template's text as lower-case hex.
    pub template_sha256: String,
    pub models: Models,
    pub routing: Routing,
    pub policy: Policy,
    /// The digest of the policy's text as lower-case hex.
    pub policy_sha256: String,
    pub prices: Prices,
    /// The inference profiles, as `config push` has read them. Empty in a stack without the document.
    #[serde(default)]
    pub profiles: Profiles,
    /// The budgets. Empty in a stack without the document.
    #[serde(default)]
    pub budgets: Budgets,
}

impl Configuration {
    /// Returns the limits for the worst case of one run or one batch of the workflow, at most one of each unit. `scope`
    /// is [`Scope::Run`] or [`Scope::Batch`].
    pub fn limits(&self, scope: &Scope) -> Vec<WorstCaseLimit> {
        let mut limits = self.budgets.limits(scope, &self.template.name);
        // Only a batch that an earlier version has opened has this, and its budgets have no limit of a run.
        let stored = self.policy.ceilings.as_ref().and_then(|ceilings| ceilings.get("run_usd"));
        if let (Some(limit), Scope::Run) = (stored, scope) {
            let field = "ceilings.run_usd".to_owned();
            limits.push(WorstCaseLimit { field, unit: Unit::Usd, limit: *limit });
        }
        limits
    }
}
