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
    /// The number of runs with such calls. The manifest of a run leaves it out.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub runs: u64,
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

fn one() -> u64 {
    1
}

fn is_one(count: &u64) -> bool {
    *count == 1
}

impl UsageLine {
    /// Adds the usage of other runs with the same model in the same region.
    fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.calls += other.calls;
        self.failed_calls += other.failed_calls;
        self.rejected_calls += other.rejected_calls;
        self.unknown_calls += other.unknown_calls;
        self.unpriced_calls += other.unpriced_calls;
        self.lost_calls += other.lost_calls;
        self.totals.add(&other.totals);
    }
}

/// Adds the usage of a run to the sum over several runs.
pub fn add_usage(sum: &mut Vec<UsageLine>, lines: &[UsageLine]) {
    for line in lines {
        let same =
            |known: &&mut UsageLine| known.region == line.region && known.model_id == line.model_id;
        match sum.iter_mut().find(same) {
            Some(known) => known.add(line),
            None => sum.push(line.clone()),
        }
    }
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
        runs: 1,
        calls: attempts.len() as u64,
        failed_calls: count(|a| a.outcome == AttemptOutcome::Failed),
        rejected_calls: count(|a| a.error == Some(ErrorName::TargetRejected)),
        unknown_calls: count(|a| a.usage.is_none()),
        unpriced_calls: count(|a| a.cost_usd.is_none()),
        lost_calls: lost.iter().filter(|lost| of(&&&lost.attempt)).count() as u64,
        totals: Totals::of(attempts.iter().copied()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::attempt::tests::failed;

    #[test]
    fn the_runs_of_a_model_add_up_and_the_line_of_one_run_leaves_them_out() {
        let attempt = failed("us-east-1", ErrorName::TargetUnavailable);
        let lines = by_model(&[&attempt, &attempt], &[]);
        let mut sum = Vec::new();
        (0..3).for_each(|_| add_usage(&mut sum, &lines));
        assert_eq!((sum.len(), sum[0].runs, sum[0].calls), (1, 3, 6));
        let runs = |line: &UsageLine| serde_json::to_value(line).unwrap().get("runs").cloned();
        assert_eq!((runs(&lines[0]), runs(&sum[0])), (None, Some(3.into())));
    }
}
