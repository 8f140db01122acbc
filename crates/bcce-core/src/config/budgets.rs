//! Budgets: how much money or how many tokens may be spent, by whom, and in which time. A budget with a window bounds
//! what calls cost together. A budget of the scope `run` or `batch` bounds the worst case of each run or batch.

mod limits; // the limits of one run and of one batch

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime, UtcOffset};

use crate::base::error::Problems;
use crate::base::json::is_false;
use crate::base::names::check_name;
use crate::config::policy::cost_tags::OTHER;
use crate::document::Document;

pub use limits::WorstCaseLimit;

/// The document `budgets.yaml`, in SSM `/bcce/<env>/budgets`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    pub version: u32,
    /// Says whether a run may start to which no budget applies.
    #[serde(default)]
    pub without_budget: WithoutBudget,
    /// Says whether a run may call a model without a price although a budget in USD applies to it. Such calls take nothing
    /// from the budget.
    #[serde(default)]
    pub without_price: WithoutPrice,
    /// The budgets by name.
    #[serde(default)]
    pub budgets: BTreeMap<String, Budget>,
    /// The revision of the document: that of its SSM parameter. It is not in the text.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub revision: u64,
}

fn is_zero(revision: &u64) -> bool {
    *revision == 0
}

/// The rule for a run to which no budget applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithoutBudget {
    #[default]
    Allow,
    Refuse,
}

/// The rule for a run that may call a model without a price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithoutPrice {
    #[default]
    Refuse,
    Allow,
}

/// A budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    pub scope: Scope,
    /// The values of the scope to which the budget applies, such as names of tenants. Each value has the whole limit for
    /// itself. For the scopes run and batch these are names of workflows. An empty list means every value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// The time in which the limit applies. `None` for the scopes run and batch only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The limit in USD. A budget has this limit or that in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd: Option<Decimal>,
    /// The limit in tokens of all kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

/// The runs whose calls a budget pays, or what it limits once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// All runs of the environment together.
    Environment,
    Workflow,
    Tenant,
    /// The runs with the same value of a cost tag.
    Tag(String),
    /// The worst case of each run. An item of a batch is a run as well.
    Run,
    /// The worst case of each batch.
    Batch,
}

impl TryFrom<String> for Scope {
    type Error = String;

    fn try_from(given: String) -> Result<Self, String> {
        Ok(match given.as_str() {
            "environment" => Self::Environment,
            "workflow" => Self::Workflow,
            "tenant" => Self::Tenant,
            "run" => Self::Run,
            "batch" => Self::Batch,
            _ => match given.strip_prefix("tag:") {
                Some(tag) if !tag.is_empty() => Self::Tag(tag.to_owned()),
                _ => {
                    let known = "environment, workflow, tenant, tag:<name>, run or batch";
                    return Err(format!("must be {known}"));
                }
            },
        })
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Environment => "environment".into(),
            Scope::Workflow => "workflow".into(),
            Scope::Tenant => "tenant".into(),
            Scope::Tag(tag) => format!("tag:{tag}"),
            Scope::Run => "run".into(),
            Scope::Batch => "batch".into(),
        }
    }
}

/// The time in which a limit applies, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    Day,
    Month,
    /// A window that starts with the first call and has no end.
    Total,
}

impl Window {
    /// Returns the name of the window that contains `at`: `2026-11-29`, `2026-11` or `total`.
    pub fn name(self, at: OffsetDateTime) -> String {
        let day = at.to_offset(UtcOffset::UTC).date();
        match self {
            Self::Day => day.to_string(),
            Self::Month => format!("{:04}-{:02}", day.year(), u8::from(day.month())),
            Self::Total => "total".to_owned(),
        }
    }

    /// Returns the start of the window after the one that contains `at`. Returns `None` for a window without an end.
    pub fn next(self, at: OffsetDateTime) -> Option<OffsetDateTime> {
        let next = self.end(at.to_offset(UtcOffset::UTC).date())?;
        Some(next.midnight().assume_utc())
    }

    /// Returns the first day after the window that contains `day`. Returns `None` for a window without an end.
    pub fn end(self, day: Date) -> Option<Date> {
        match self {
            Self::Day => day.next_day(),
            Self::Month => {
                let last = day.replace_day(day.month().length(day.year())).ok()?;
                last.next_day()
            }
            Self::Total => None,
        }
    }
}

/// The unit of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Usd,
    Tokens,
}

impl Budget {
    /// Returns the limit with its unit.
    pub fn limit(&self) -> (Unit, Decimal) {
        match (self.usd, self.tokens) {
            (None, Some(tokens)) => (Unit::Tokens, tokens.into()),
            (usd, _) => (Unit::Usd, usd.unwrap_or_default()),
        }
    }

    fn check(&self) -> Problems {
        let mut problems = Problems::default();
        let has_values = self.scope != Scope::Environment;
        let cause = "must be left out: the scope environment has no values";
        problems.check(has_values || self.only.is_empty(), "only", cause);
        let has_window = !matches!(self.scope, Scope::Run | Scope::Batch);
        let cause = match has_window {
            true => "is missing",
            false => "must be left out: a run and a batch have no window",
        };
        problems.check(has_window == self.window.is_some(), "window", cause);
        match (self.usd, self.tokens) {
            (Some(usd), None) => {
                problems.check(usd > Decimal::ZERO, "usd", "must be above 0 USD");
            }
            (None, Some(tokens)) => {
                problems.check(tokens > 0, "tokens", "must be above 0");
            }
            _ => problems.add("usd", "give either usd or tokens"),
        }
        problems
    }
}

impl Document for Budgets {
    fn check(&self) -> Problems {
        let mut problems = Problems::default();
        problems.check(self.version == 1, "version", "must be 1");
        problems.check(self.revision == 0, "revision", "must be left out");
        for (name, budget) in &self.budgets {
            let mut found = Problems::default();
            check_name(&mut found, "name", name);
            found.extend(budget.check());
            problems.extend(found.below(&format!("budgets.{name}")));
        }
        problems
    }
}

/// The properties of a run by which budgets apply to it.
#[derive(Clone, Copy, Debug)]
pub struct Payer<'a> {
    pub tenant: &'a str,
    pub workflow: &'a str,
    pub cost_tags: &'a BTreeMap<String, String>,
}

/// The budgets that pay the calls of a run, as its plan keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedBudgets {
    /// The revision of the document.
    pub revision: u64,
    /// True if a call of a model without a price costs nothing, instead of being refused.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_unpriced: bool,
    pub applied: Vec<AppliedBudget>,
}

/// A budget that pays the calls of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedBudget {
    pub name: String,
    pub scope: Scope,
    /// The value of the scope, such as the name of the tenant. Empty for the environment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    pub window: Window,
    pub unit: Unit,
    pub limit: Decimal,
}

/// Returns the common name of the counters of a budget: `<budget>:<scope>:<unit>`.
fn series(name: &str, scope: &Scope, unit: Unit) -> String {
    let unit = match unit {
        Unit::Usd => "usd",
        Unit::Tokens => "tokens",
    };
    // A `#` separates the parts of a counter.
    let scope = String::from(scope.clone()).replace('#', "_");
    format!("{name}:{scope}:{unit}")
}

impl AppliedBudget {
    /// Returns the counter of the window that contains `at`: `<budget>:<scope>:<unit>#<value>#<window>`. A budget whose
    /// scope or unit changes has another counter.
    pub fn counter(&self, at: OffsetDateTime) -> String {
        let series = series(&self.name, &self.scope, self.unit);
        format!("{series}#{}#{}", self.value, self.window.name(at))
    }
}

/// A budget with the common name of its counters.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    pub name: String,
    pub budget: &'a Budget,
    pub window: Window,
    budget_name: &'a str,
}

impl<'a> Series<'a> {
    /// Returns the series of a budget. Returns `None` for a limit of one run or one batch, which has no counter.
    pub fn new(budget_name: &'a str, budget: &'a Budget) -> Option<Self> {
        let name = series(budget_name, &budget.scope, budget.limit().0);
        Some(Self { name, budget, window: budget.window?, budget_name })
    }

    /// Returns the budget as it applies to a value of its scope.
    pub fn of(&self, value: String) -> AppliedBudget {
        let (unit, limit) = self.budget.limit();
        let (name, scope) = (self.budget_name.to_owned(), self.budget.scope.clone());
        let window = self.window;
        AppliedBudget { name, scope, value, window, unit, limit }
    }
}

impl Budgets {
    /// Returns all budgets that have counters, with the common names of these.
    pub fn series(&self) -> impl Iterator<Item = Series<'_>> {
        self.budgets.iter().filter_map(|(name, budget)| Series::new(name, budget))
    }

    /// Returns the budgets that pay the calls of a run. Those of the scopes run and batch pay none.
    pub fn applied(&self, payer: &Payer<'_>) -> Vec<AppliedBudget> {
        let applied = self.budgets.iter().filter_map(|(name, budget)| {
            let value = match &budget.scope {
                Scope::Environment => "",
                Scope::Workflow => payer.workflow,
                Scope::Tenant => payer.tenant,
                // A run without the tag must not leave the budgets of the tag.
                Scope::Tag(tag) => payer.cost_tags.get(tag).map_or(OTHER, String::as_str),
                Scope::Run | Scope::Batch => return None,
            };
            let applies = budget.only.is_empty() || budget.only.iter().any(|only| only == value);
            let (unit, limit) = budget.limit();
            let (name, value, scope) = (name.clone(), value.to_owned(), budget.scope.clone());
            let window = budget.window?;
            applies.then_some(AppliedBudget { name, scope, value, window, unit, limit })
        });
        applied.collect()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::{date, datetime};

    use super::*;
    use crate::document::from_yaml;

    const YAML: &str = "
version: 1
budgets:
  month: { scope: environment, window: month, usd: 10000 }
  tenants: { scope: tenant, window: day, usd: 50 }
  payments: { scope: tenant, only: [payments], window: total, tokens: 1000000 }
  search: { scope: tag:team, only: [search], window: day, usd: 7 }
  one-run: { scope: run, usd: 5 }
  one-batch: { scope: batch, usd: 5 }
";

    fn budgets() -> Budgets {
        from_yaml(YAML).finished().unwrap()
    }

    #[test]
    fn the_budgets_of_a_run_are_those_of_its_tenant_workflow_and_tags() {
        let applied = |tenant: &str, tags: &[(&str, &str)]| {
            let tags = tags.iter().map(|(tag, value)| (tag.to_string(), value.to_string()));
            let payer = Payer { tenant, workflow: "explain", cost_tags: &tags.collect() };
            let at = datetime!(2026-11-29 23:59 -1);
            let all = budgets().applied(&payer);
            all.iter().map(|budget| budget.counter(at)).collect::<Vec<_>>()
        };
        // The window is that of UTC.
        let (month, tenants) =
            ("month:environment:usd##2026-11", "tenants:tenant:usd#alpha#2026-11-30");
        assert_eq!(applied("alpha", &[]), [month, tenants]);
        assert_eq!(
            applied("payments", &[("team", "search")]),
            [
                month,
                "payments:tenant:tokens#payments#total",
                "search:tag:team:usd#search#2026-11-30",
                "tenants:tenant:usd#payments#2026-11-30"
            ]
        );
        assert_eq!(applied("alpha", &[("team", "other")]).len(), 2);
    }

    #[test]
    fn a_window_ends_with_its_last_day() {
        let end = |window: Window, day| window.end(day);
        assert_eq!(end(Window::Day, date!(2026 - 12 - 31)), Some(date!(2027 - 01 - 01)));
        assert_eq!(end(Window::Month, date!(2026 - 02 - 03)), Some(date!(2026 - 03 - 01)));
        assert_eq!(end(Window::Month, date!(2026 - 12 - 31)), Some(date!(2027 - 01 - 01)));
        assert_eq!(end(Window::Total, date!(2026 - 02 - 03)), None);
        let next = Window::Day.next(datetime!(2026-12-31 23:30 -1));
        assert_eq!(next, Some(datetime!(2027-01-02 00:00 UTC)), "the window is that of UTC");
    }

    #[test]
    fn what_makes_no_sense_is_reported_by_field() {
        #[rustfmt::skip]
        let table = [
            ("{ scope: tenant, usd: 1 }", "budgets.b.window: is missing"),
            ("{ scope: tenant, window: day }", "budgets.b.usd: give either usd or tokens"),
            ("{ scope: tenant, window: day, usd: 1, tokens: 1 }", "budgets.b.usd: give either usd or tokens"),
            ("{ scope: tenant, window: day, usd: 0 }", "budgets.b.usd: must be above 0 USD"),
            ("{ scope: tenant, window: day, tokens: 0 }", "budgets.b.tokens: must be above 0"),
            ("{ scope: environment, only: [a], window: day, usd: 1 }", "budgets.b.only: must be left out"),
            ("{ scope: team, window: day, usd: 1 }", "must be environment, workflow, tenant, tag:<name>, run or batch"),
            ("{ scope: run, window: day, usd: 1 }", "budgets.b.window: must be left out: a run and a batch have no window"),
            ("{ scope: batch, window: total, tokens: 1 }", "budgets.b.window: must be left out"),
            ("{ scope: run, window: week, usd: 1 }", "budgets.b.window: must be one of: day, month, total"),
            ("{ scope: run }", "budgets.b.usd: give either usd or tokens"),
            ("{ scope: run, usd: 0 }", "budgets.b.usd: must be above 0 USD"),
            ("{ scope: batch, tokens: 0 }", "budgets.b.tokens: must be above 0"),
            ("{ scope: tenant, window: week, usd: 1 }", "budgets.b.window"),
        ];
        for (budget, expected) in table {
            let yaml = format!("version: 1\nbudgets:\n  b: {budget}\n");
            let problems = from_yaml::<Budgets>(&yaml).finished().unwrap_err().to_string();
            assert!(problems.contains(expected), "{expected} is missing in {problems}");
        }
        let revision = from_yaml::<Budgets>("version: 1\nrevision: 7\n").finished().unwrap_err();
        assert_eq!(revision.to_string(), "revision: must be left out");
    }
}
