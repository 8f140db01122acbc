//! The limits of one run and of one batch. Their worst case is compared with them before the first call.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::base::error::Problems;
use crate::base::figures::{count, dollars};
use crate::config::budgets::{Budget, Budgets, Scope, Unit};

/// A limit for the worst case of one run or one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorstCaseLimit {
    /// The field that sets the limit, such as `budgets.one-run`.
    pub field: String,
    pub unit: Unit,
    pub limit: Decimal,
}

impl WorstCaseLimit {
    /// Formats an amount in the unit of the limit: `$5.00` or `1,000 tokens`. Amounts are rounded up.
    pub fn amount(&self, amount: Decimal) -> String {
        match self.unit {
            Unit::Usd => dollars(amount),
            Unit::Tokens => format!("{} tokens", count(amount.to_u64().unwrap_or(u64::MAX))),
        }
    }
}

impl Budget {
    /// Returns `true` if this is a limit of one run or one batch that applies to a workflow.
    pub fn is_limit_of(&self, scope: &Scope, workflow: &str) -> bool {
        let applies = self.only.is_empty() || self.only.iter().any(|only| only == workflow);
        self.scope == *scope && applies
    }
}

impl Budgets {
    /// Returns the limits for the worst case of one run or one batch of a workflow: the tightest in USD and the
    /// tightest in tokens. `scope` is [`Scope::Run`] or [`Scope::Batch`].
    pub fn limits(&self, scope: &Scope, workflow: &str) -> Vec<WorstCaseLimit> {
        let tightest = |unit| {
            let applied = self.budgets.iter().filter_map(|(name, budget)| {
                let (of, limit) = budget.limit();
                let applies = of == unit && budget.is_limit_of(scope, workflow);
                applies.then(|| WorstCaseLimit { field: format!("budgets.{name}"), unit, limit })
            });
            applied.min_by_key(|applied| applied.limit)
        };
        [Unit::Usd, Unit::Tokens].into_iter().filter_map(tightest).collect()
    }

    /// Returns warnings about what has no limit among the runs and batches of `workflows`, and about limits that never
    /// decide.
    pub fn limit_warnings(&self, workflows: &[&str]) -> Problems {
        let mut warnings = Problems::default();
        for (scope, what) in [(Scope::Run, "run"), (Scope::Batch, "batch")] {
            let is_open = |workflow: &&str| self.limits(&scope, workflow).is_empty();
            let open: Vec<&str> = workflows.iter().copied().filter(is_open).collect();
            let of = match open.len() == workflows.len() {
                true => String::new(),
                false => format!(" of {}", open.join(", ")),
            };
            let cause = format!(
                "the cost of one {what}{of} has no limit; add a budget with `scope: {what}` (docs/budgets.md)"
            );
            warnings.check(open.is_empty(), "budgets", cause);
        }
        for (name, general) in self.budgets.iter().filter_map(|(name, one)| self.idle(name, one)) {
            let cause = format!(
                "never decides: budgets.{general} applies to the same workflows and is not higher; list the other \
                 workflows in `only` of budgets.{general} if these may have a higher limit"
            );
            warnings.add(format!("budgets.{name}"), cause);
        }
        warnings
    }

    /// Returns the names of a limit of some workflows and of one for all workflows that is not higher.
    fn idle<'a>(&'a self, name: &'a str, one: &Budget) -> Option<(&'a str, &'a str)> {
        let is_some = matches!(one.scope, Scope::Run | Scope::Batch) && !one.only.is_empty();
        let ((unit, limit), mut all) = (one.limit(), self.budgets.iter());
        let (general, _) = all.find(|(_, other)| {
            let (other_unit, most) = other.limit();
            let is_general = other.scope == one.scope && other.only.is_empty();
            is_general && other_unit == unit && most <= limit
        })?;
        is_some.then_some((name, general))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::from_yaml;

    const YAML: &str = "
version: 1
budgets:
  month: { scope: environment, window: month, usd: 1 }
  of-explain: { scope: workflow, only: [explain], window: day, tokens: 1 }
  one-run: { scope: run, usd: 5 }
  big-runs: { scope: run, only: [nightly, hunt], usd: 50 }
  small-runs: { scope: run, only: [explain], usd: \"0.50\" }
  long-runs: { scope: run, only: [explain], tokens: 1000000 }
  one-batch: { scope: batch, usd: 200 }
";

    fn limits(scope: Scope, workflow: &str) -> Vec<String> {
        let budgets: Budgets = from_yaml(YAML).finished().unwrap();
        let limits = budgets.limits(&scope, workflow);
        let text =
            |limit: &WorstCaseLimit| format!("{} {}", limit.field, limit.amount(limit.limit));
        limits.iter().map(text).collect()
    }

    #[test]
    fn the_tightest_limit_of_each_unit_applies() {
        let of_explain = ["budgets.small-runs $0.50", "budgets.long-runs 1,000,000 tokens"];
        assert_eq!(limits(Scope::Run, "explain"), of_explain);
        assert_eq!(limits(Scope::Run, "nightly"), ["budgets.one-run $5.00"], "only raises nothing");
        assert_eq!(limits(Scope::Batch, "explain"), ["budgets.one-batch $200.00"]);
        assert_eq!(limits(Scope::Tenant, "explain"), [""; 0]);
    }

    #[test]
    fn what_has_no_limit_and_what_never_decides_is_named() {
        let warned = |budgets: &str| {
            let yaml = format!("version: 1\nbudgets: {{ {budgets} }}\n");
            let budgets: Budgets = from_yaml(&yaml).finished().unwrap();
            budgets.limit_warnings(&["a", "b"]).to_string()
        };
        let batch = "batch: { scope: batch, tokens: 9 }";
        let none = warned("");
        assert!(none.starts_with("budgets: the cost of one run has no limit; add"), "{none}");
        assert!(none.contains("budgets: the cost of one batch has no limit; add"), "{none}");
        let some = warned(&format!("{batch}, a: {{ scope: run, only: [a], usd: 1 }}"));
        assert!(some.starts_with("budgets: the cost of one run of b has no limit; add"), "{some}");
        let each = ["a: { scope: run, only: [a], usd: 1 }", "b: { scope: run, only: [b], usd: 9 }"];
        assert_eq!(warned(&format!("{batch}, {}, {}", each[0], each[1])), "");
        let lower = "all: { scope: run, usd: 2 }";
        let idle = warned(&format!("{batch}, {lower}, {}, {}", each[0], each[1]));
        assert!(idle.starts_with("budgets.b: never decides: budgets.all applies to"), "{idle}");
        assert!(!idle.contains("budgets.a:"), "{idle}");
    }
}
