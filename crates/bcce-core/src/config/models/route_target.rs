//! A target as the plan freezes it and the router reads it. It lies here because its defaults are those of the model.

use serde::{Deserialize, Serialize};

use crate::base::target::Target;
use crate::config::models::Takes;
use crate::config::pricing::PriceRows;

/// A target with what its place in the order depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteTarget {
    #[serde(flatten)]
    pub target: Target,
    /// Lower comes first under the strategy `priority`, equal ones share the load; `None`: its place in the
    /// list, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Share of the load among equals.
    #[serde(default = "RouteTarget::default_weight")]
    pub weight: u32,
    /// Prices of its model, by day, where the strategy asks for them; `None` also where they are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<PriceRows>,
    /// Longest prompt and answer together, in tokens.
    #[serde(default = "Takes::default_context_tokens")]
    pub context_tokens: u64,
}

impl RouteTarget {
    pub(super) fn default_weight() -> u32 {
        1
    }
}
