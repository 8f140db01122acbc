//! Sums usage over groups.

use std::collections::BTreeMap;

use bcce_core::base::usage::Usage;
use bcce_core::ledger::usage::DayOfUsage;
use bcce_core::run::manifest::{Detail, RunCounts, UsageLine};
use rust_decimal::Decimal;
use serde::Serialize;
use time::Date;

use crate::metrics::dimension::{Dimension, Filters};
use crate::metrics::period::Period;

/// The sum of the usage of calls and of the number of runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sums {
    pub runs: RunCounts,
    pub line: UsageLine,
    pub detail: Detail,
    /// The tokens and the known part of the cost of calls to models without a price.
    pub unpriced: BTreeMap<String, Usage>,
}

impl Sums {
    pub fn add(&mut self, other: &Self) {
        self.runs.add(&other.runs);
        self.line.add(&other.line);
        self.detail.add(&other.detail);
    }

    /// Returns the known cost in USD.
    pub fn cost(&self) -> Decimal {
        self.line.totals.known_cost()
    }

    /// Returns the number of calls that are priced: neither their usage nor their price is unknown.
    pub fn priced_calls(&self) -> u64 {
        self.line.calls - self.line.unpriced_calls
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
        let none = |by: &Dimension| matches!(by, Dimension::Day | Dimension::Workflow | Dimension::Tenant | Dimension::Tag(_));
        let have_runs = none(by) && !filters.select_calls();
        let mut groups: BTreeMap<String, Sums> = BTreeMap::new();
        for calls in days.iter().flat_map(|day| &day.calls).filter(|calls| filters.want_calls(calls)) {
            let sums = groups.entry(by.of_calls(calls)).or_insert_with(empty);
            sums.line.add(&calls.usage.line);
            sums.detail.add(&calls.usage.detail);
        }
        for runs in days.iter().flat_map(|day| &day.runs).filter(|runs| filters.want_runs(runs)) {
            let Some(value) = by.of_runs(runs) else { continue };
            groups.entry(value).or_insert_with(empty).runs.add(&runs.runs);
        }
        Self { by: by.clone(), groups, have_runs }
    }

    /// Returns the sum of all groups.
    pub fn total(&self) -> Sums {
        let mut total = empty();
        self.groups.values().for_each(|sums| total.add(sums));
        total
    }
}
