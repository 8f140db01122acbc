//! Sums usage over groups.

use std::collections::BTreeMap;

use bcce_core::base::platform::PlatformUse;
use bcce_core::call::attempt::Totals;
use bcce_core::ledger::usage::DayOfUsage;
use bcce_core::run::manifest::{Detail, RunCounts, StepUsage, UsageLine};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::metrics::dimension::{Dimension, Filters};
use crate::metrics::period::Period;

/// The sum of the usage of calls, and the number of runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Sums {
    pub runs: RunCounts,
    /// The use of AWS besides models, and the number of runs that state theirs.
    pub platform: PlatformUse,
    pub platform_runs: u64,
    pub line: UsageLine,
    pub detail: Detail,
}

/// Returns the sum of nothing, whose usage and cost are known.
impl Default for Sums {
    fn default() -> Self {
        let line = UsageLine { totals: Totals::of([]), ..UsageLine::default() };
        Self {
            runs: RunCounts::default(),
            platform: PlatformUse::default(),
            platform_runs: 0,
            line,
            detail: Detail::default(),
        }
    }
}

impl Sums {
    pub fn add(&mut self, other: &Self) {
        self.runs.add(&other.runs);
        self.platform.add(&other.platform);
        self.platform_runs += other.platform_runs;
        self.line.add(&other.line);
        self.detail.add(&other.detail);
    }

    /// Adds counted calls.
    pub fn add_calls(&mut self, usage: &StepUsage) {
        self.line.add(&usage.line);
        self.detail.add(&usage.detail);
    }

    /// Returns the known cost in USD.
    pub fn cost(&self) -> Decimal {
        self.line.totals.known_cost()
    }

    /// Returns the number of runs whose manifests do not state what they took of AWS.
    pub fn runs_without_platform(&self) -> u64 {
        self.runs.all().saturating_sub(self.platform_runs)
    }

    /// Returns the sums as JSON. `have_runs` is true if the number of runs is known.
    pub fn json(&self, have_runs: bool) -> Value {
        let (line, detail) = (&self.line, &self.detail);
        let mut all = json!(line.totals);
        let more = json!({
            "runs": have_runs.then(|| self.runs.all()),
            "failed_runs": have_runs.then_some(self.runs.failed),
            "calls": line.calls,
            "failed_calls": line.failed_calls,
            "rejected_calls": line.rejected_calls,
            "unknown_calls": line.unknown_calls,
            "unpriced_calls": line.unpriced_calls,
            "lost_calls": line.lost_calls,
            "failed_cost_usd": detail.failed_cost_usd.normalize(),
            "cache_saved_usd": detail.cache_saved_usd.normalize(),
            "cache_extra_usd": detail.cache_extra_usd.normalize(),
        });
        if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
            all.extend(more);
        }
        all
    }
}

/// Sums by the value of a dimension.
#[derive(Clone, Debug)]
pub struct Groups {
    pub by: Dimension,
    pub groups: BTreeMap<String, Sums>,
    /// True if the dimension and the filters apply to runs, so that the groups have their number.
    pub have_runs: bool,
}

impl Groups {
    /// Sums the usage that `filters` select.
    pub fn of(days: &[DayOfUsage], filters: &Filters, by: &Dimension) -> Self {
        let mut groups: BTreeMap<String, Sums> = BTreeMap::new();
        for counted in days.iter().flat_map(|day| &day.calls) {
            if filters.want_calls(counted) {
                groups.entry(by.of_calls(counted)).or_default().add_calls(&counted.usage);
            }
        }
        let have_runs = by.is_of_runs() && !filters.select_calls();
        for counted in days.iter().flat_map(|day| &day.runs).filter(|_| have_runs) {
            if filters.want_runs(counted) {
                let sums = groups.entry(by.of_runs(counted)).or_default();
                sums.runs.add(&counted.runs);
                sums.platform.add(&counted.platform);
                sums.platform_runs += counted.platform_runs;
            }
        }
        Self { by: by.clone(), groups, have_runs }
    }

    /// Returns the sum of all groups.
    pub fn total(&self) -> Sums {
        let mut total = Sums::default();
        self.groups.values().for_each(|sums| total.add(sums));
        total
    }

    /// Returns the sums of a group, which are those of nothing if there is no such group.
    pub fn get(&self, name: &str) -> Sums {
        self.groups.get(name).cloned().unwrap_or_default()
    }

    /// Adds a group for each day of the period that has none, if these are groups of days.
    pub fn complete(&mut self, period: Period) {
        if self.by == Dimension::Day {
            for day in period.days() {
                self.groups.entry(day.to_string()).or_default();
            }
        }
    }

    /// Returns the names of the groups: days in their order, others by cost, the highest first.
    pub fn order(&self) -> Vec<&String> {
        let mut names: Vec<&String> = self.groups.keys().collect();
        if self.by != Dimension::Day {
            let key = |name: &&String| {
                let sums = &self.groups[*name];
                (std::cmp::Reverse(sums.cost()), std::cmp::Reverse(sums.line.calls))
            };
            names.sort_by_key(key);
        }
        names
    }
}

/// Returns the known cost of each day of the period in USD.
pub fn cost_by_day(
    days: &[DayOfUsage],
    filters: &Filters,
    period: Period,
) -> Vec<(String, Decimal)> {
    let mut groups = Groups::of(days, filters, &Dimension::Day);
    groups.complete(period);
    groups.groups.iter().map(|(day, sums)| (day.clone(), sums.cost())).collect()
}
