//! The destination of a call.

use serde::{Deserialize, Serialize};

/// The destination of a call: a region and a model or inference-profile id, with an optional guardrail.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The role in another account under which the call is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The region of the endpoint, such as `us-east-1`.
    pub region: String,
    /// The model id or inference-profile id.
    pub model_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrail: Option<Guardrail>,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} in {}", self.model_id, self.region)
    }
}

/// A guardrail of Amazon Bedrock that is applied to a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guardrail {
    pub id: String,
    pub version: String,
    /// A name that marks guardrails of different regions, whose ids differ, as the same guardrail. It is not sent to
    /// Bedrock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn target(region: &str) -> Target {
        Target {
            account: None,
            region: region.into(),
            model_id: "us.anthropic.claude-haiku-5-5".into(),
            guardrail: None,
        }
    }
}
