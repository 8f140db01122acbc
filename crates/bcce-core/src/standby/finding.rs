//! Something about a target that a person has to correct.

use serde::{Deserialize, Serialize};

use crate::base::target::Target;
use crate::failover::breaker::target_key;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The target takes calls, but a person should look at it.
    Warn,
    /// The target takes no calls, will soon take none, or breaks a rule of the documents.
    Fail,
}

/// The check that has found something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The region does not have the model.
    Model,
    /// The account has no access to the model, or no agreement.
    Access,
    /// The model is legacy or costs more.
    Lifecycle,
    /// The model ends soon, or has ended.
    EndOfLife,
    /// The profile cannot be called in the region.
    Profile,
    /// The profile reaches a region that the policy does not allow, or the policy does not allow the model.
    Residency,
    /// The profile reaches other regions than the documents say.
    Reach,
    /// The region does not have the guardrail, or not in this version.
    Guardrail,
    /// The account lets Bedrock keep data for longer than the policy allows.
    Retention,
    /// A quota is 0.
    Quota,
    /// A step reserves more tokens than the quota has.
    MaxTokens,
    /// The price is missing, or is older than the model.
    Price,
    /// A call was not answered.
    Call,
}

impl Check {
    /// Returns the name, such as `end-of-life`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Access => "access",
            Self::Lifecycle => "lifecycle",
            Self::EndOfLife => "end-of-life",
            Self::Profile => "profile",
            Self::Residency => "residency",
            Self::Reach => "reach",
            Self::Guardrail => "guardrail",
            Self::Retention => "retention",
            Self::Quota => "quota",
            Self::MaxTokens => "max-tokens",
            Self::Price => "price",
            Self::Call => "call",
        }
    }
}

/// What is wrong with a target. The texts quote no prompt and no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub level: Level,
    pub check: Check,
    pub target: Target,
    /// The aliases that list the target.
    pub aliases: Vec<String>,
    /// What is wrong, as a sentence without a period.
    pub cause: String,
    /// What to do about it, with the command if there is one.
    pub remedy: String,
}

impl Finding {
    /// Returns the name under which the ledger remembers that the finding was reported.
    pub fn key(&self) -> String {
        format!("{}#{}", self.check.as_str(), target_key(&self.target))
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { target, aliases, cause, .. } = self;
        write!(f, "{target} ({}): {cause}", aliases.join(", "))
    }
}
