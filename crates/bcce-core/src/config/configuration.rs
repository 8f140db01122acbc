//! The configuration of one workflow, which is read and checked as a whole.

use serde::{Deserialize, Serialize};

use crate::config::budgets::Budgets;
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
