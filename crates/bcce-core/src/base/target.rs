//! Where a call goes.

use serde::{Deserialize, Serialize};

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Role in another account that carries the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    pub region: String,
    /// Model or inference-profile id.
    pub model_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrail: Option<Guardrail>,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} in {}", self.model_id, self.region)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guardrail {
    pub id: String,
    pub version: String,
    /// Marks guardrails of different regions, whose ids differ, as the same one. Bedrock never sees it.
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
