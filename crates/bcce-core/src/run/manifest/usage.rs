//! The usage of a run: by step, target, day and price, and in sum by region and model.

mod detail; // the errors, times, lengths of answers and effects of the cache

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::{Date, UtcOffset};

use crate::base::error::ErrorName;
use crate::base::json::is_false;
use crate::call::attempt::{Attempt, AttemptKind, AttemptOutcome, Totals};
use crate::config::pricing::{PriceRow, Tier};
use crate::run::manifest::lost::Lost;
use crate::run::manifest::{Evidence, PaidCall};
use crate::run::plan::Plan;

pub use detail::Detail;

/// The usage of the calls to one model in one region, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UsageLine {
    pub region: String,
    pub model_id: String,
    /// The model behind `model_id`, if that is the ARN of an application inference profile. It starts with `global.` if
    /// any commercial region may answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_model: Option<String>,
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

/// The usage of the calls of one step to one model in one region on one day, at one kind of price.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepUsage {
    /// The day in UTC on which the calls started. It decides their price.
    pub day: Date,
    pub step: String,
    /// The service tier that served the calls, such as `default`, or `batch` for the records of bulk jobs.
    pub tier: String,
    /// True if the calls have the price of long prompts.
    #[serde(default, skip_serializing_if = "is_false")]
    pub long_prompt: bool,
    #[serde(flatten)]
    pub line: UsageLine,
    #[serde(flatten)]
    pub detail: Detail,
}

/// The step of calls whose step no manifest states.
const UNKNOWN_STEP: &str = "(unknown)";

fn one() -> u64 {
    1
}

fn is_one(count: &u64) -> bool {
    *count == 1
}

impl UsageLine {
    /// Returns the id that names the model: the model behind an ARN, else the id that was called.
    pub fn resolved_id(&self) -> &str {
        self.profile_model.as_deref().unwrap_or(&self.model_id)
    }

    /// Adds the usage of other calls to the same model in the same region.
    pub fn add(&mut self, other: &Self) {
        self.profile_model = self.profile_model.take().or_else(|| other.profile_model.clone());
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

impl StepUsage {
    /// Returns the usage of a manifest of an earlier version, which has no steps. All calls count on `day`.
    pub fn without_step(day: Date, line: &UsageLine) -> Self {
        let (step, tier) = (UNKNOWN_STEP.to_owned(), Tier::Default.name().to_owned());
        Self { day, step, tier, long_prompt: false, line: line.clone(), detail: Detail::default() }
    }

    /// Returns the usage of one call that no run made. `row` is its price, and `profile_model` the model behind an ARN.
    pub fn of_call(
        step: &str,
        attempt: &Attempt,
        row: Option<&PriceRow>,
        profile_model: Option<&str>,
    ) -> Self {
        let is_long = row.zip(attempt.usage).is_some_and(|(row, used)| row.is_long(&used));
        let call = Paid { step, attempt, is_cut: false, is_lost: false, is_long };
        let mut usage = step_usage(None, call.key(), std::slice::from_ref(&call));
        usage.line.profile_model = profile_model.map(str::to_owned);
        usage
    }

    /// Returns what the calls have in common.
    pub fn key(&self) -> Key<'_> {
        let UsageLine { region, model_id, .. } = &self.line;
        (self.day, &self.step, region, model_id, &self.tier, self.long_prompt)
    }

    /// Adds the usage of other runs, whose calls have the same [`StepUsage::key`].
    pub fn add(&mut self, other: &Self) {
        self.line.add(&other.line);
        self.detail.add(&other.detail);
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

/// Returns the usage by region and model.
pub(super) fn by_model(steps: &[StepUsage]) -> Vec<UsageLine> {
    let mut lines = Vec::new();
    steps.iter().for_each(|step| add_usage(&mut lines, std::slice::from_ref(&step.line)));
    lines.sort_by(|a, b| (&a.region, &a.model_id).cmp(&(&b.region, &b.model_id)));
    // All of it is usage of one run.
    lines.iter_mut().for_each(|line| line.runs = 1);
    lines
}

/// A call that is paid or may have been paid.
struct Paid<'a> {
    step: &'a str,
    attempt: &'a Attempt,
    /// True if `max_tokens` cut the answer.
    is_cut: bool,
    is_lost: bool,
    is_long: bool,
}

/// What the calls of a [`StepUsage`] have in common: the day, the step, the region, the model, the tier, and whether
/// they have the price of long prompts.
pub type Key<'a> = (Date, &'a str, &'a str, &'a str, &'a str, bool);

impl<'a> Paid<'a> {
    fn key(&self) -> Key<'a> {
        let Attempt { started_at, target, .. } = self.attempt;
        let day = started_at.to_offset(UtcOffset::UTC).date();
        let tier = tier(self.attempt).name();
        (day, self.step, &target.region, &target.model_id, tier, self.is_long)
    }
}

fn tier(attempt: &Attempt) -> Tier<'_> {
    match attempt.kind {
        AttemptKind::Bulk => Tier::Batch,
        AttemptKind::First | AttemptKind::Repair => Tier::served(attempt.service_tier.as_deref()),
    }
}

/// Returns the usage of a run attempt by step, target, day and price. It includes the lost calls.
pub(super) fn by_step(evidence: &Evidence<'_>, lost: &[Lost]) -> Vec<StepUsage> {
    let is_long = |attempt: &Attempt| {
        let row = evidence.plan.and_then(|plan| row(plan, attempt));
        row.zip(attempt.usage).is_some_and(|(row, used)| row.is_long(&used))
    };
    let own = evidence.paid();
    let recorded = own.map(|PaidCall { step, attempt, is_cut }| {
        let is_long = is_long(attempt);
        Paid { step, attempt, is_cut, is_lost: false, is_long }
    });
    let lost = lost.iter().map(|Lost { step, attempt }| {
        let is_long = is_long(attempt);
        Paid { step, attempt, is_cut: false, is_lost: true, is_long }
    });
    let mut groups: BTreeMap<Key<'_>, Vec<Paid<'_>>> = BTreeMap::new();
    for call in recorded.chain(lost) {
        groups.entry(call.key()).or_default().push(call);
    }
    groups.into_iter().map(|(key, calls)| step_usage(evidence.plan, key, &calls)).collect()
}

fn row<'a>(plan: &'a Plan, attempt: &Attempt) -> Option<&'a PriceRow> {
    plan.price(&attempt.target.model_id, attempt.started_at)
}

fn step_usage(plan: Option<&Plan>, key: Key<'_>, calls: &[Paid<'_>]) -> StepUsage {
    let (day, step, region, model_id, tier, long_prompt) = key;
    let count = |is: fn(&Paid<'_>) -> bool| calls.iter().filter(|call| is(call)).count() as u64;
    let line = UsageLine {
        region: region.to_owned(),
        model_id: model_id.to_owned(),
        profile_model: plan
            .and_then(|plan| plan.profile_model(region, model_id))
            .map(str::to_owned),
        runs: 1,
        calls: calls.len() as u64,
        failed_calls: count(|call| call.attempt.outcome == AttemptOutcome::Failed),
        rejected_calls: count(|call| call.attempt.error == Some(ErrorName::TargetRejected)),
        unknown_calls: count(|call| call.attempt.usage.is_none()),
        unpriced_calls: count(|call| call.attempt.cost_usd.is_none()),
        lost_calls: count(|call| call.is_lost),
        totals: Totals::of(calls.iter().map(|call| call.attempt)),
    };
    let mut detail = Detail::default();
    calls.iter().for_each(|call| detail.count(plan, call));
    let (step, tier) = (step.to_owned(), tier.to_owned());
    StepUsage { day, step, tier, long_prompt, line, detail }
}

#[cfg(test)]
mod tests;
