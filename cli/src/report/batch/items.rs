//! Sums the items of a batch, one after the other. The sums take the same memory for any number of items.

use std::collections::BTreeMap;

use bcce_core::base::histogram::Histogram;
use bcce_core::base::platform::PlatformUse;
use bcce_core::batch::{ItemResult, ItemStatus};
use bcce_core::run::manifest::{Manifest, UsageLine, add_usage};
use bcce_core::run::notification::RunStatus;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use time::OffsetDateTime;

use super::worst::{Item, Worst};

/// The number of columns of the diagram over time.
pub const COLUMNS: usize = 60;
/// The unit in which costs are counted: a billionth of a dollar.
const UNITS_OF_USD: u64 = 1_000_000_000;

/// The sums of the items of a batch attempt.
#[derive(Debug)]
pub struct Items {
    from: OffsetDateTime,
    to: OffsetDateTime,
    /// The number of results that were read, one for each item.
    pub results: u64,
    /// The number of manifests that were read, one for each run.
    pub runs: u64,
    /// The causes of the items that did not succeed, by name.
    pub causes: BTreeMap<Cause, Failures>,
    /// The times from the start of a run to its end, in milliseconds.
    pub times: Histogram,
    /// The times of the calls on demand that answered, in milliseconds.
    pub calls: Histogram,
    /// The known costs above 0.
    costs: Histogram,
    /// The number of runs that cost nothing.
    pub free: u64,
    /// The number of runs whose cost is not fully known.
    pub unknown_costs: u64,
    pub targets: Vec<UsageLine>,
    /// The number of runs that succeeded although a call failed.
    pub recovered: u64,
    /// The time that calls took after which another target was tried, in milliseconds.
    pub failed_over_ms: u64,
    /// The use of AWS besides models that the runs state.
    pub platform: PlatformUse,
    pub ended: [Column; COLUMNS],
    pub slowest: Worst<u64>,
    pub dearest: Worst<Decimal>,
    pub most_calls: Worst<u64>,
    /// The runs with the most answers that `max_tokens` cut.
    pub cut: Worst<u64>,
}

/// The reason why an item has no answer: its status and the name of its error.
pub type Cause = (ItemStatus, String);

/// The items that have no answer for the same reason.
#[derive(Debug, Default)]
pub struct Failures {
    pub items: u64,
    pub example: Option<Example>,
    /// The failed calls of their runs, by target and error.
    pub calls: BTreeMap<(String, String), u64>,
}

/// An item without an answer. The message is that of its error.
#[derive(Clone, Debug)]
pub struct Example {
    pub item: String,
    pub run_id: Option<String>,
    pub message: String,
}

/// The runs that ended in a share of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Column {
    pub succeeded: u64,
    pub others: u64,
}

impl Items {
    /// Returns the sums of no items. The batch started at `from`, and ended at `to` or is seen at that time.
    pub fn new(from: OffsetDateTime, to: OffsetDateTime) -> Self {
        Self {
            from,
            to,
            results: 0,
            runs: 0,
            causes: BTreeMap::new(),
            times: Histogram::default(),
            calls: Histogram::default(),
            costs: Histogram::default(),
            free: 0,
            unknown_costs: 0,
            targets: Vec::new(),
            recovered: 0,
            failed_over_ms: 0,
            platform: PlatformUse::default(),
            ended: [Column::default(); COLUMNS],
            slowest: Worst::default(),
            dearest: Worst::default(),
            most_calls: Worst::default(),
            cut: Worst::default(),
        }
    }

    /// Adds the result of an item.
    pub fn add_result(&mut self, result: &ItemResult) {
        self.results += 1;
        if result.status == ItemStatus::Succeeded {
            return;
        }
        let (name, message) = match &result.error {
            Some(error) => (error.name.as_str(), error.message.as_str()),
            None => ("", ""),
        };
        let failures = self.causes.entry((result.status, name.to_owned())).or_default();
        failures.items += 1;
        let item = || result.id.clone().unwrap_or_else(|| format!("line {}", result.line));
        failures.example.get_or_insert_with(|| Example {
            item: item(),
            run_id: result.run_id.clone(),
            message: message.to_owned(),
        });
    }

    /// Adds a run that is over. Its use of AWS, its calls and its times are in its manifest.
    pub fn add_run(&mut self, run: &Manifest) {
        self.runs += 1;
        let took = (run.ended_at - run.started_at).whole_milliseconds();
        let took_ms = u64::try_from(took).unwrap_or(0);
        self.times.record(took_ms);
        match run.totals.cost_usd {
            Some(cost) if cost.is_zero() => self.free += 1,
            Some(cost) => self.costs.record(units(cost)),
            None => self.unknown_costs += 1,
        }
        add_usage(&mut self.targets, &run.usage_by_model);
        self.platform.add(&run.platform);
        let mut failed_calls = 0;
        for usage in &run.usage_by_step {
            self.calls.add(&usage.detail.answer);
            self.failed_over_ms += usage.detail.failed_over_ms;
            failed_calls += usage.line.failed_calls;
        }
        let has_succeeded = run.status == RunStatus::Succeeded;
        self.recovered += u64::from(has_succeeded && failed_calls > 0);
        let column = &mut self.ended[self.column(run.ended_at)];
        *(if has_succeeded { &mut column.succeeded } else { &mut column.others }) += 1;
        if !has_succeeded {
            self.add_failure(run);
        }
        self.add_to_worst(run, took_ms);
    }

    /// Adds the failed calls of a run that has no answer.
    fn add_failure(&mut self, run: &Manifest) {
        let status = match run.status {
            RunStatus::Cancelled => ItemStatus::Cancelled,
            _ => ItemStatus::Failed,
        };
        let name = run.error.as_ref().map_or("", |error| error.name.as_str());
        let failures = self.causes.entry((status, name.to_owned())).or_default();
        failures.example.get_or_insert_with(|| Example {
            item: item_id(run).to_owned(),
            run_id: Some(run.run_id.clone()),
            message: run.error.as_ref().map(|error| error.message.clone()).unwrap_or_default(),
        });
        for usage in &run.usage_by_step {
            let target = format!("{} {}", usage.line.region, usage.line.model_id);
            for (error, calls) in &usage.detail.errors {
                *failures.calls.entry((target.clone(), error.clone())).or_default() += calls;
            }
        }
    }

    fn add_to_worst(&mut self, run: &Manifest, took_ms: u64) {
        let calls = run.steps.iter().map(|step| step.attempts + step.lost_calls).sum();
        let item = || Item {
            id: item_id(run).to_owned(),
            run_id: run.run_id.clone(),
            status: run.status,
            took_ms,
            calls,
            truncated: run.truncated,
            totals: run.totals.clone(),
        };
        self.slowest.offer(took_ms, item);
        if !run.totals.known_cost().is_zero() {
            self.dearest.offer(run.totals.known_cost(), item);
        }
        // One call for each step is nothing to look at.
        if calls > run.steps.len() as u64 {
            self.most_calls.offer(calls, item);
        }
        if run.truncated > 0 {
            self.cut.offer(run.truncated, item);
        }
    }

    fn column(&self, at: OffsetDateTime) -> usize {
        let share = (at - self.from) / (self.to - self.from).max(time::Duration::MILLISECOND);
        ((share.max(0.0) * COLUMNS as f64) as usize).min(COLUMNS - 1)
    }

    /// Returns the known cost that `percent` of the runs that cost something do not exceed, in USD, with the error of a histogram.
    pub fn cost_at(&self, percent: u64) -> Option<Decimal> {
        self.costs.quantile(percent).map(usd)
    }

    /// Returns the bars of the known costs: the lowest and the highest cost of each in USD, and the number of runs.
    pub fn cost_bars(&self, most: usize) -> Vec<(Decimal, Decimal, u64)> {
        let bars = self.costs.bars(most);
        bars.into_iter().map(|bar| (usd(bar.from), usd(bar.to), bar.values)).collect()
    }
}

/// Returns the id of the item: the id of its request without that of the batch.
fn item_id(run: &Manifest) -> &str {
    run.request_id.split_once('/').map_or(&run.request_id, |(_, id)| id)
}

fn units(cost: Decimal) -> u64 {
    (cost * Decimal::from(UNITS_OF_USD)).to_u64().unwrap_or(u64::MAX)
}

fn usd(units: u64) -> Decimal {
    Decimal::from(units) / Decimal::from(UNITS_OF_USD)
}
