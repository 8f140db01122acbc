//! Reads the budgets of a stack and what is spent of them.

use bcce_core::base::error::Fault;
use bcce_core::base::figures;
use bcce_core::config::budgets::{Budget, Budgets, Scope, Series, Unit, Window};
use bcce_core::config::policy::cost_tags::OTHER;
use bcce_core::io::reader::read_budgets;
use bcce_core::ledger::usage::CountedCalls;
use bcce_core::ports::{ListCounters, ReadCounter};
use bcce_core::run::budgets::CounterState;
use futures::stream::{StreamExt, TryStreamExt};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Value, json};
use time::{Date, OffsetDateTime, UtcOffset};

use crate::exit::Outcome;
use crate::json::Field;
use crate::metrics::period::Period;
use crate::metrics::table::{Row, Table, percent, share};
use crate::metrics::usage_of;
use crate::paint::{Ink, Line, span};
use crate::stack::Stack;
use crate::world::World;

/// The number of counters that are read at the same time.
const AT_A_TIME: usize = 8;

/// The fields of a counter in JSON. Those of the window are null for a limit of one run or one batch.
pub const COUNTER: [Field; 12] = [
    ("budget", "name of the budget in budgets.yaml"),
    ("scope", "scope of the budget, such as environment, workflow or tag:team"),
    ("only", "values to which the budget applies; empty for every value"),
    ("value", "value of the scope; empty for the environment, and before anything is spent"),
    ("window", "the current window, or null"),
    ("unit", "usd or tokens"),
    ("limit", "limit, as a decimal number"),
    ("spent", "spent in the window, or null"),
    ("reserved", "reserved for calls under way, or null"),
    ("left", "not spent or reserved, or null"),
    ("used_up", "true if nothing is left, or null"),
    ("lasts_until", "time at which it is used up if spending goes on, or null"),
];

/// A counter of a budget in its current window.
#[derive(Clone, Debug)]
pub struct Counted {
    pub name: String,
    pub scope: Scope,
    /// The value of the scope. Empty for the environment, and for a budget without a counter yet.
    pub value: String,
    /// `None` for a limit of one run or one batch, which has no counter.
    pub window: Option<Window>,
    pub unit: Unit,
    pub limit: Decimal,
    /// The values to which the budget applies. Empty for every value.
    pub only: Vec<String>,
    pub state: CounterState,
}

/// Reads the counters of the budgets in their current windows, or only those of the budget `only`.
///
/// # Errors
/// The document is invalid, or SSM, S3 or the ledger cannot be reached.
pub async fn counted(
    stack: &Stack,
    only: Option<&str>,
    now: OffsetDateTime,
) -> Outcome<Vec<Counted>> {
    let budgets = budgets(stack).await?;
    let mut all = Vec::new();
    for (name, budget) in budgets.budgets {
        if only.is_none_or(|only| only == name) {
            all.extend(of_budget(stack, &name, &budget, now).await?);
        }
    }
    Ok(all)
}

async fn budgets(stack: &Stack) -> Outcome<Budgets> {
    let Stack { store, parameters, outputs, environment, .. } = stack;
    Ok(read_budgets(store, parameters, &outputs.artifact_bucket, environment).await?)
}

async fn of_budget(
    stack: &Stack,
    name: &str,
    budget: &Budget,
    now: OffsetDateTime,
) -> Outcome<Vec<Counted>> {
    let ledger = &stack.ledger;
    let (unit, limit) = budget.limit();
    let counted = |value: String, state| Counted {
        name: name.to_owned(),
        scope: budget.scope.clone(),
        value,
        window: budget.window,
        unit,
        limit,
        only: budget.only.clone(),
        state,
    };
    let none = || vec![counted(String::new(), CounterState::default())];
    let Some(series) = Series::new(name, budget) else { return Ok(none()) };
    let values = ledger.counter_values(&series.name, &series.window.name(now)).await?;
    if values.is_empty() {
        return Ok(none());
    }
    let read = values.into_iter().map(async |value| {
        let applied = series.of(value);
        let state = ledger.counter(&applied.counter(now)).await?;
        Ok::<_, Fault>(counted(applied.value, state))
    });
    Ok(futures::stream::iter(read).buffered(AT_A_TIME).try_collect().await?)
}

/// Returns what workflows and tenants have spent of a budget in its window, over all of its values, the most first.
/// Returns `None` for a window without an end, and for a limit without a window.
pub async fn payers(
    stack: &Stack,
    counted: &Counted,
    today: Date,
) -> Outcome<Option<Vec<(String, Decimal)>>> {
    let from = match counted.window {
        Some(Window::Day) => today,
        Some(Window::Month) => today.replace_day(1).unwrap_or(today),
        Some(Window::Total) | None => return Ok(None),
    };
    let days = usage_of(&stack.ledger, Period { from, to: today }).await?;
    let mut sums = std::collections::BTreeMap::<String, Decimal>::new();
    for calls in days.iter().flat_map(|day| &day.calls).filter(|calls| counted.pays(calls)) {
        let allocation = &calls.allocation;
        let name = format!("{} of {}", allocation.workflow, allocation.tenant);
        *sums.entry(name).or_default() += counted.spent_by(calls);
    }
    let mut sums: Vec<_> = sums.into_iter().filter(|(_, spent)| !spent.is_zero()).collect();
    sums.sort_by(|(_, a), (_, b)| b.cmp(a));
    Ok(Some(sums))
}

/// The time until which a budget lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasts {
    /// The budget has nothing left.
    UsedUp,
    /// It is used up at this time if spending goes on as in the window so far.
    Until(OffsetDateTime),
    /// It is not used up within the window.
    ForTheWindow,
    /// The time is unknown: nothing is spent, or the window has no start.
    Unknown,
}

impl Counted {
    /// Returns true if the budget pays the calls.
    fn pays(&self, calls: &CountedCalls) -> bool {
        let allocation = &calls.allocation;
        let value = match &self.scope {
            Scope::Environment => return true,
            Scope::Workflow | Scope::Run | Scope::Batch => &allocation.workflow,
            Scope::Tenant => &allocation.tenant,
            Scope::Tag(tag) => allocation.cost_tags.get(tag).map_or(OTHER, String::as_str),
        };
        self.only.is_empty() || self.only.iter().any(|only| only == value)
    }

    fn spent_by(&self, calls: &CountedCalls) -> Decimal {
        let totals = &calls.usage.line.totals;
        match self.unit {
            Unit::Usd => totals.known_cost(),
            Unit::Tokens => {
                let used = totals.known_usage();
                Decimal::from(used.prompt_tokens() + used.output_tokens)
            }
        }
    }

    fn left(&self) -> Decimal {
        (self.limit - self.state.spent() - self.state.reserved()).max(Decimal::ZERO)
    }

    fn lasts(&self, now: OffsetDateTime) -> Lasts {
        let (spent, left) = (self.state.spent(), self.left());
        if left.is_zero() {
            return Lasts::UsedUp;
        }
        let now = now.to_offset(UtcOffset::UTC);
        let start = match self.window {
            Some(Window::Day) => now.date(),
            Some(Window::Month) => now.date().replace_day(1).unwrap_or(now.date()),
            Some(Window::Total) | None => return Lasts::Unknown,
        };
        let elapsed = (now - start.midnight().assume_utc()).as_seconds_f64();
        let (Some(spent), Some(left)) = (spent.to_f64(), left.to_f64()) else {
            return Lasts::Unknown;
        };
        if spent <= 0.0 || elapsed <= 0.0 {
            return Lasts::Unknown;
        }
        let until = now + time::Duration::seconds_f64((left * elapsed / spent).min(1e9));
        let end = self
            .window
            .and_then(|window| window.end(now.date()))
            .map(|day| day.midnight().assume_utc());
        if end.is_some_and(|end| until >= end) { Lasts::ForTheWindow } else { Lasts::Until(until) }
    }

    /// Formats an amount in the unit of the budget.
    pub fn amount(&self, amount: Decimal) -> String {
        match self.unit {
            Unit::Usd if amount.is_zero() => "$0".to_owned(),
            Unit::Usd => figures::dollars(amount),
            Unit::Tokens => figures::count(amount.to_u64().unwrap_or_default()),
        }
    }

    /// Describes who pays: `environment`, `workflow explain`, `each run`.
    pub fn payer(&self) -> String {
        let scope = String::from(self.scope.clone());
        if self.window.is_none() {
            let of = if self.only.is_empty() { "" } else { " of " };
            return format!("each {scope}{of}{}", self.only.join(", "));
        }
        match self.value.as_str() {
            "" => scope,
            value => format!("{scope} {value}"),
        }
    }

    /// Returns the share of the limit that is spent or reserved.
    pub fn used(&self) -> f64 {
        share(self.state.spent() + self.state.reserved(), self.limit)
    }

    /// Describes how long the budget lasts: `until 2026-11-15 12:00:00Z`. Returns `None` if that is unknown.
    pub fn describe_lasts(&self, now: OffsetDateTime) -> Option<String> {
        match self.lasts(now) {
            Lasts::UsedUp => Some("used up".to_owned()),
            Lasts::Until(until) => Some(format!("until {}", crate::figures::stamp(until))),
            Lasts::ForTheWindow => Some("for its window".to_owned()),
            Lasts::Unknown => None,
        }
    }

    fn row(&self, now: OffsetDateTime) -> Row {
        let limit = match self.unit {
            Unit::Usd => self.amount(self.limit),
            Unit::Tokens => format!("{} tokens", self.amount(self.limit)),
        };
        let Some(window) = self.window else {
            let none = || "-".to_owned();
            let texts =
                [self.name.clone(), self.payer(), none(), none(), limit, none(), none(), none()];
            return Row::plain(texts);
        };
        let part = self.used();
        let ink = match part {
            0.9.. => Ink::Red,
            0.8.. => Ink::Yellow,
            _ => Ink::Plain,
        };
        let lasts = self.describe_lasts(now).unwrap_or_else(|| "-".to_owned());
        let texts = [
            self.name.clone(),
            self.payer(),
            window.name(now),
            lasts,
            limit,
            self.amount(self.state.spent()),
            self.amount(self.state.reserved()),
        ];
        let mut cells: Line = texts.into_iter().map(|text| span(Ink::Plain, text)).collect();
        cells.push(span(ink, percent(part)));
        Row { cells, bar: Some(part) }
    }

    /// Returns the counter as JSON, with exact amounts.
    pub fn json(&self, now: OffsetDateTime) -> Value {
        let lasts = match self.lasts(now) {
            Lasts::Until(until) => Some(crate::figures::stamp(until)),
            _ => None,
        };
        let counted = |amount: Decimal| self.window.map(|_| amount.to_string());
        json!({
            "budget": self.name,
            "scope": String::from(self.scope.clone()),
            "only": self.only,
            "value": self.value,
            "window": self.window.map(|window| window.name(now)),
            "unit": self.unit,
            "limit": self.limit.to_string(),
            "spent": counted(self.state.spent()),
            "reserved": counted(self.state.reserved()),
            "left": counted(self.left()),
            "used_up": self.window.map(|_| self.left().is_zero()),
            "lasts_until": lasts,
        })
    }
}

/// Returns a table of counters, with a bar for each in a terminal.
pub fn table(counted: &[&Counted], now: OffsetDateTime, world: &World) -> Vec<Line> {
    let headings = ["budget", "of", "window", "lasts", "limit", "spent", "reserved", "used"];
    let rows = counted.iter().map(|counted| counted.row(now)).collect();
    let table = Table { headings: headings.map(str::to_owned).to_vec(), texts: 4, rows };
    table.lines(world.terminal.then(|| world.size().0))
}

#[cfg(test)]
mod tests {
    use bcce_core::run::budgets::Shard;
    use time::macros::datetime;

    use super::*;
    use crate::paint::render;

    const NOON: OffsetDateTime = datetime!(2026-11-29 12:00 UTC);

    fn counted(window: Window, spent: &str, reserved: &str) -> Counted {
        let number = |text: &str| text.parse::<Decimal>().unwrap();
        let shard = Shard {
            revision: 1,
            free: Decimal::ZERO,
            reserved: number(reserved),
            spent: number(spent),
        };
        Counted {
            name: "tenants".into(),
            scope: Scope::Tenant,
            value: "alpha".into(),
            window: Some(window),
            unit: Unit::Usd,
            limit: 50.into(),
            only: vec![],
            state: CounterState { root: None, shards: [(0, shard)].into() },
        }
    }

    #[test]
    fn a_budget_lasts_at_the_pace_of_its_window() {
        let lasts = |window, spent, reserved| counted(window, spent, reserved).lasts(NOON);
        // Half of the day has gone.
        assert_eq!(lasts(Window::Day, "10", "0"), Lasts::ForTheWindow);
        assert_eq!(lasts(Window::Day, "40", "0"), Lasts::Until(datetime!(2026-11-29 15:00 UTC)));
        assert_eq!(lasts(Window::Day, "40", "10"), Lasts::UsedUp);
        assert_eq!(lasts(Window::Day, "60", "0"), Lasts::UsedUp, "after the limit was lowered");
        assert_eq!(lasts(Window::Day, "0", "10"), Lasts::Unknown);
        assert_eq!(lasts(Window::Total, "40", "0"), Lasts::Unknown);
        let month = lasts(Window::Month, "49", "0");
        assert_eq!(month, Lasts::Until(datetime!(2026-11-30 01:57:33.061224490 UTC)));
    }

    #[test]
    fn a_row_shows_what_is_spent_and_reserved_and_a_bar_in_a_terminal() {
        let row = counted(Window::Day, "40", "2.5").row(NOON);
        assert_eq!(row.bar, Some(0.85));
        let line = render(&row.cells, false, usize::MAX);
        let parts = ["tenants", "tenant alpha", "2026-11-29", "$50.00", "$40.00", "$2.50", "85 %"];
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        let json = counted(Window::Day, "40", "10").json(NOON);
        assert_eq!(crate::json::undocumented(&json, &[&COUNTER]), [""; 0]);
        assert_eq!((&json["left"], &json["used_up"]), (&json!("0"), &json!(true)));
    }

    #[test]
    fn a_limit_of_one_run_has_no_figures_and_no_bar() {
        let mut limit = counted(Window::Day, "0", "0");
        (limit.name, limit.scope, limit.value) = ("hunts".into(), Scope::Run, String::new());
        (limit.window, limit.only) = (None, vec!["bug-hunt".into(), "explain".into()]);
        limit.state = CounterState::default();
        let row = limit.row(NOON);
        assert_eq!(row.bar, None);
        let cells: Vec<&str> = row.cells.iter().map(|cell| cell.text.as_str()).collect();
        let of = "each run of bug-hunt, explain";
        assert_eq!(cells, ["hunts", of, "-", "-", "$50.00", "-", "-", "-"]);
        let json = limit.json(NOON);
        for field in ["window", "spent", "reserved", "left", "used_up", "lasts_until"] {
            assert_eq!(json[field], Value::Null, "{field}");
        }
        assert_eq!((&json["limit"], &json["only"][0]), (&json!("50"), &json!("bug-hunt")));
    }
}
