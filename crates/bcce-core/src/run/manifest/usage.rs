//! The usage of a run, by region and model.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base::error::ErrorName;
use crate::call::attempt::{Attempt, AttemptOutcome, Totals};
use crate::run::manifest::lost::Lost;

/// The usage of the calls to one model in one region, as far as it is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageLine {
    pub region: String,
    pub model_id: String,
    pub calls: u64,
    pub failed_calls: u64,
    /// The number of calls that the target rejected: a fault of the configuration.
    pub rejected_calls: u64,
    /// The number of calls whose usage is unknown, for example because the stream was cut.
    pub unknown_calls: u64,
    /// The number of calls whose cost is unknown.
    pub unpriced_calls: u64,
    /// The number of lost calls, which no artifact records.
    #[serde(default)]
    pub lost_calls: u64,
    #[serde(flatten)]
    pub totals: Totals,
}

/// Returns the usage by region and model. `paid` includes the lost calls.
pub(super) fn by_model(paid: &[&Attempt], lost: &[Lost]) -> Vec<UsageLine> {
    let targets: BTreeSet<(&str, &str)> =
        paid.iter().map(|a| (a.target.region.as_str(), a.target.model_id.as_str())).collect();
    targets.into_iter().map(|(region, model_id)| line(paid, lost, region, model_id)).collect()
}

fn line(paid: &[&Attempt], lost: &[Lost], region: &str, model_id: &str) -> UsageLine {
    let of = |a: &&&Attempt| a.target.region == region && a.target.model_id == model_id;
    let attempts: Vec<&Attempt> = paid.iter().filter(of).copied().collect();
    let count = |is: fn(&Attempt) -> bool| attempts.iter().filter(|a| is(a)).count() as u64;
    UsageLine {
        region: region.to_owned(),
        model_id: model_id.to_owned(),
        calls: attempts.len() as u64,
        failed_calls: count(|a| a.outcome == AttemptOutcome::Failed),
        rejected_calls: count(|a| a.error == Some(ErrorName::TargetRejected)),
        unknown_calls: count(|a| a.usage.is_none()),
        unpriced_calls: count(|a| a.cost_usd.is_none()),
        lost_calls: lost.iter().filter(|lost| of(&&&lost.attempt)).count() as u64,
        totals: Totals::of(attempts.iter().copied()),
    }
}
