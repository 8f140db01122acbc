//! The modes of the data retention of an account on Bedrock.

use serde::{Deserialize, Serialize};

/// The time for which the account lets Bedrock keep prompts and answers, from `GetAccountDataRetention`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataRetention {
    Default,
    None,
    Inherit,
    AwsReview,
    /// Prompts and answers go to the provider of the model.
    ProviderDataShare,
}

impl DataRetention {
    /// Returns the name, as Bedrock spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::None => "none",
            Self::Inherit => "inherit",
            Self::AwsReview => "aws_review",
            Self::ProviderDataShare => "provider_data_share",
        }
    }
}
