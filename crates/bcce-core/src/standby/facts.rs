//! What Bedrock's control plane says about a target.

use time::OffsetDateTime;

use crate::config::policy::DataRetention;
use crate::config::profiles::Profile;
use crate::standby::quotas::Quota;

/// The life of a model, from `GetFoundationModel`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelFacts {
    /// True if Bedrock lists the model as `LEGACY`.
    pub is_legacy: bool,
    pub started_at: Option<OffsetDateTime>,
    /// The time from which the model is legacy.
    pub legacy_at: Option<OffsetDateTime>,
    /// The time from which the model costs more.
    pub extended_at: Option<OffsetDateTime>,
    pub ends_at: Option<OffsetDateTime>,
}

impl ModelFacts {
    /// Returns true if the model is legacy at `now`.
    pub fn is_legacy_at(&self, now: OffsetDateTime) -> bool {
        self.is_legacy || self.legacy_at.is_some_and(|at| at <= now)
    }
}

/// The access of the account to a model in a region, from `GetFoundationModelAvailability`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    pub agreement: Agreement,
    /// True if the account may call the model.
    pub is_authorized: bool,
    /// True if the account is entitled to the model.
    pub is_entitled: bool,
    /// True if the region has the model.
    pub is_in_region: bool,
}

/// The agreement of the account with the provider of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agreement {
    Accepted,
    /// Bedrock is still creating it, which takes up to 15 minutes.
    Pending,
    Missing,
    /// The account cannot accept it. The value is the reason that Bedrock gives.
    Failed(String),
}

/// The answers about one target. A field is `None` if it does not apply to the target or could not be read. A field with
/// an error has the reason why Bedrock does not have what the target names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetFacts {
    pub model: Option<Result<ModelFacts, String>>,
    pub access: Option<Access>,
    pub profile: Option<Result<Profile, String>>,
    pub guardrail: Option<Result<(), String>>,
    pub retention: Option<DataRetention>,
    /// The applied quotas of the model in the region of the target.
    pub quotas: Option<Vec<Quota>>,
}
