//! A target in a plan, as the router reads it. It is in this module because its defaults are those of a model's target.

use serde::{Deserialize, Serialize};

use crate::base::target::Target;
use crate::config::models::Takes;
use crate::config::pricing::PriceRows;

/// A target with the values that determine its place in the order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteTarget {
    #[serde(flatten)]
    pub target: Target,
    /// The priority under the strategy `priority`; the lowest comes first. `None` means the place in the list, from 0.
    /// Targets of the same priority share the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// The share of the load among targets of the same rank.
    #[serde(default = "RouteTarget::default_weight")]
    pub weight: u32,
    /// The prices of its model by day. `None` if the strategy does not need prices, or if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<PriceRows>,
    /// The longest prompt and answer together, in tokens.
    #[serde(default = "Takes::default_context_tokens")]
    pub context_tokens: u64,
}

impl RouteTarget {
    pub(super) fn default_weight() -> u32 {
        1
    }
}
