//! Alerts of budgets: a message when a counter reaches 80, 90 and 100 % of its limit.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;

use crate::base::emf;
use crate::config::budgets::{AppliedBudget, Scope, Unit};
use crate::run::budgets::{Alerted, CounterState, Root};

/// The percentages at which an alert is sent, the highest first.
const THRESHOLDS: [u8; 3] = [100, 90, 80];
/// The percentage of a limit that is used up.
const ALL: u8 = 100;

/// The message on the notifications topic. `kind` tells it from the notification of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetAlert {
    pub version: u32,
    /// Always `budget`.
    pub kind: String,
    pub budget: String,
    pub scope: Scope,
    /// The value of the scope, such as the name of the tenant. Empty for the environment.
    pub value: String,
    /// The window, such as `2026-11-30`, `2026-11` or `total`.
    pub window: String,
    /// The percentage that was reached: 80, 90 or 100.
    pub percent: u8,
    pub unit: Unit,
    pub limit: Decimal,
    pub spent: Decimal,
    pub reserved: Decimal,
    /// True if a call was refused, because the rest of the limit could not pay it.
    pub refused: bool,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

impl BudgetAlert {
    /// Returns the alert of a counter in the window that contains `at`. Returns `None` if it has reached no threshold
    /// of its limit, or if the alert was sent before.
    pub fn due(budget: &AppliedBudget, state: &CounterState, at: OffsetDateTime) -> Option<Self> {
        let root = state.root.as_ref()?;
        let used = used(state)?;
        let percent = THRESHOLDS.into_iter().find(|percent| used >= (*percent).into())?;
        let is_new = |alerted: &Alerted| alerted.limit != root.limit || alerted.percent < percent;
        root.alerted.as_ref().is_none_or(is_new).then(|| Self {
            version: 1,
            kind: "budget".to_owned(),
            budget: budget.name.clone(),
            scope: budget.scope.clone(),
            value: budget.value.clone(),
            window: budget.window.name(at),
            percent,
            unit: budget.unit,
            limit: root.limit,
            spent: state.spent(),
            reserved: state.reserved(),
            refused: is_exceeded(root),
            at,
        })
    }

    /// Returns what the ledger records of the alert.
    pub fn alerted(&self) -> Alerted {
        Alerted { percent: self.percent, limit: self.limit }
    }
}

/// Returns the percentage of its limit that a counter has spent. It is at least 100 if a call was refused. Returns
/// `None` if nothing was reserved from the counter yet.
pub fn used(state: &CounterState) -> Option<Decimal> {
    let root = state.root.as_ref()?;
    let share = state.spent().checked_div(root.limit).unwrap_or_default() * Decimal::ONE_HUNDRED;
    Some(if is_exceeded(root) { share.max(ALL.into()) } else { share })
}

/// Returns true if a call was refused under the current limit.
fn is_exceeded(root: &Root) -> bool {
    root.exceeded == Some(root.limit)
}

/// Returns the metrics of the budgets: the highest percentage that is used, over all budgets and of each. `used` has the
/// percentage of each counter with the name of its budget.
pub fn metrics(environment: &str, used: &[(String, Decimal)], at: OffsetDateTime) -> Vec<String> {
    let document = |dimensions: &[(&str, &str)], percent: Decimal| {
        let metric = ("BudgetUsed", "Percent", super::metrics::usd(percent));
        emf::document(at, dimensions, &[metric], &[("function", json!("watch-budgets"))])
    };
    let highest = |of: &dyn Fn(&str) -> bool| {
        used.iter().filter(|(name, _)| of(name)).map(|(_, percent)| *percent).max()
    };
    let of_environment = ("Environment", environment);
    let all = highest(&|_| true).map(|percent| document(&[of_environment], percent));
    let names: std::collections::BTreeSet<&String> = used.iter().map(|(name, _)| name).collect();
    let each = names.into_iter().filter_map(|name| {
        let percent = highest(&|other| other == name)?;
        Some(document(&[of_environment, ("Budget", name)], percent))
    });
    all.into_iter().chain(each).collect()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::config::budgets::Window;
    use crate::run::budgets::Shard;

    const NOON: OffsetDateTime = datetime!(2026-11-30 12:00 UTC);

    fn state(spent: i64, exceeded: Option<i64>, alerted: Option<(u8, i64)>) -> CounterState {
        let root = Root {
            limit: 100.into(),
            revision: 1,
            leased: 100.into(),
            exceeded: exceeded.map(Decimal::from),
            alerted: alerted.map(|(percent, limit)| Alerted { percent, limit: limit.into() }),
        };
        let reserved = Decimal::from(100 - spent);
        let shard = Shard { spent: spent.into(), reserved, ..Shard::default() };
        CounterState { root: Some(root), shards: [(0, shard)].into() }
    }

    #[test]
    fn an_alert_is_due_once_for_each_threshold_and_limit() {
        let budget = AppliedBudget {
            name: "day".into(),
            scope: Scope::Tenant,
            value: "payments".into(),
            window: Window::Day,
            unit: Unit::Usd,
            limit: 100.into(),
        };
        let due = |state: &CounterState| {
            BudgetAlert::due(&budget, state, NOON).map(|alert| (alert.percent, alert.refused))
        };
        let table = [
            (state(79, None, None), None),
            (state(80, None, None), Some((80, false))),
            (state(89, None, Some((80, 100))), None),
            (state(95, None, Some((80, 100))), Some((90, false))),
            (state(100, None, Some((90, 100))), Some((100, false))),
            (state(100, None, Some((100, 100))), None),
            // The limit was raised from 50: what was said of it does not count.
            (state(80, Some(50), Some((100, 50))), Some((80, false))),
            // A call was refused, although the rest could pay smaller ones.
            (state(40, Some(100), None), Some((100, true))),
            (CounterState::default(), None),
        ];
        for (state, expected) in table {
            assert_eq!(due(&state), expected, "{state:?}");
        }
        let alert = BudgetAlert::due(&budget, &state(80, None, None), NOON).unwrap();
        let json = serde_json::to_value(&alert).unwrap();
        assert_eq!((&json["kind"], &json["window"]), (&json!("budget"), &json!("2026-11-30")));
        assert_eq!((&json["limit"], &json["scope"]), (&json!("100"), &json!("tenant")));
    }

    #[test]
    fn the_metric_is_the_highest_percentage_of_all_and_of_each_budget() {
        let used =
            [("a".to_owned(), 40.into()), ("a".to_owned(), 95.into()), ("b".into(), 7.into())];
        let of = |document: &String| {
            let json: serde_json::Value = serde_json::from_str(document).unwrap();
            (json["Budget"].as_str().map(str::to_owned), json["BudgetUsed"].as_f64().unwrap())
        };
        let all: Vec<_> = metrics("dev", &used, NOON).iter().map(of).collect();
        assert_eq!(all, [(None, 95.0), (Some("a".into()), 95.0), (Some("b".into()), 7.0)]);
        assert_eq!(metrics("dev", &[], NOON), [] as [String; 0]);
    }
}
