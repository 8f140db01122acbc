//! The configuration of one workflow, read and checked as a whole.

use crate::config::models::Models;
use crate::config::policy::Policy;
use crate::config::pricing::Prices;
use crate::config::routing::Routing;
use crate::config::template::Template;

/// Everything that a run of one workflow is planned by.
#[derive(Clone, Debug)]
pub struct Configuration {
    pub template: Template,
    pub template_sha256: String,
    pub models: Models,
    pub routing: Routing,
    pub policy: Policy,
    pub policy_sha256: String,
    pub prices: Prices,
}
