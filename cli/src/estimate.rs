//! The estimate of runs that are not started: `submit --dry-run` and `batch submit --dry-run` print the same figures.

use std::collections::BTreeSet;
use std::io::Write;

use bcce_core::base::figures::dollars;
use bcce_core::config::budgets::{Unit, WorstCaseLimit};
use bcce_core::run::plan::estimate::Estimate;
use bcce_core::run::plan::tokens::BYTES_PER_TOKEN;
use bcce_core::run::plan::worst::WorstCase;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Value, json};
use time::Date;

use crate::figures;

/// The meaning of the field `estimate` of JSON.
pub const ESTIMATE: &str = "calls, input_tokens_least, input_tokens_most, output_tokens_most, cost_least_usd, \
                            cost_most_usd, unpriced models, prices_date and the rule";

/// The estimate of a run or a batch, with all that is needed to print it.
pub struct Estimated<'a> {
    /// The calls and tokens.
    pub estimate: &'a Estimate,
    /// The lowest and the highest cost in USD.
    pub costs: (Decimal, Decimal),
    /// The models without a price. Their cost is not included.
    pub unpriced: BTreeSet<&'a str>,
    pub worst: WorstCase,
    /// The noun for what is estimated: `run` or `batch`.
    pub what: &'static str,
    /// The limits for the worst case, at most one of each unit.
    pub limits: Vec<WorstCaseLimit>,
    /// The day on which the prices were checked.
    pub prices_date: Date,
}

impl Estimated<'_> {
    /// Prints the calls, the tokens, the cost and the worst case.
    pub fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let Estimate { calls, input_tokens_least, input_tokens_most, output_tokens_most, .. } =
            self.estimate;
        let [calls, least, most, output] =
            [calls, input_tokens_least, input_tokens_most, output_tokens_most]
                .map(|count| figures::count(*count));
        writeln!(out, "calls:         {calls}")?;
        writeln!(out, "input tokens:  {}", between(least, most))?;
        writeln!(out, "output tokens: {output} at most")?;
        writeln!(out, "cost:          {}", self.cost())?;
        writeln!(out, "worst case:    {}", self.worst())
    }

    /// Formats the estimated cost: `$0.1100 to $2.3100 + unknown`.
    fn cost(&self) -> String {
        let (least, most) = self.costs;
        let cost = between(figures::usd(least), figures::usd(most));
        if self.unpriced.is_empty() { cost } else { format!("{cost} + unknown") }
    }

    /// Formats the worst case: `$12.30 (limit of budgets.one-batch: $200.00)`. It has the tokens if they have a limit.
    pub fn worst(&self) -> String {
        let mut worst = dollars(self.worst.usd);
        if self.limits.is_empty() {
            return format!("{worst} (no limit for a {} in budgets.yaml)", self.what);
        }
        if let Some(limit) = self.limits.iter().find(|limit| limit.unit == Unit::Tokens) {
            worst += &format!(", {}", limit.amount(self.worst.tokens.into()));
        }
        let limit =
            |one: &WorstCaseLimit| format!("limit of {}: {}", one.field, one.amount(one.limit));
        let limits: Vec<String> = self.limits.iter().map(limit).collect();
        format!("{worst} ({})", limits.join("; "))
    }

    /// Adds the worst case and its limits to a JSON object. A limit that is not set is `null`.
    pub fn add_worst(&self, json: &mut Value) {
        let limit = |unit| self.limits.iter().find(|limit| limit.unit == unit);
        json["worst_case"] = json!(self.worst);
        json["limit_usd"] = json!(limit(Unit::Usd).map(|limit| limit.limit));
        let tokens = limit(Unit::Tokens).and_then(|limit| limit.limit.to_u64());
        json["limit_tokens"] = json!(tokens);
    }

    /// Explains how the estimate was made.
    pub fn rule(&self) -> String {
        let mut rule = format!(
            "This is an estimate at {BYTES_PER_TOKEN} bytes per token. The lowest value assumes empty answers, the highest \
             assumes answers as long as max_tokens allows, both at today's prices (price file of {}) for the first target \
             of each step. Repairs, retries and failovers are not included. The worst case assumes one byte per token, \
             the most expensive target of each step and a repair of each JSON answer.",
            self.prices_date
        );
        let unpriced = Vec::from_iter(self.unpriced.iter().copied());
        if !unpriced.is_empty() {
            rule += &format!(
                " The price file has no price for {} that is valid today.",
                unpriced.join(", ")
            );
        }
        rule
    }

    /// Returns the estimate as JSON, without the worst case.
    pub fn json(&self) -> Value {
        let mut estimate = json!(self.estimate);
        estimate["cost_least_usd"] = json!(self.costs.0);
        estimate["cost_most_usd"] = json!(self.costs.1);
        estimate["unpriced"] = json!(self.unpriced);
        estimate["prices_date"] = json!(self.prices_date.to_string());
        estimate["rule"] = json!(self.rule());
        estimate
    }
}

fn between(least: String, most: String) -> String {
    if least == most { least } else { format!("{least} to {most}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_case_is_shown_with_the_limits_that_apply() {
        let estimate = Estimate::default();
        let limit = |field: &str, unit, limit: u32| WorstCaseLimit {
            field: format!("budgets.{field}"),
            unit,
            limit: limit.into(),
        };
        let estimated = |limits| Estimated {
            estimate: &estimate,
            costs: (Decimal::ZERO, Decimal::ZERO),
            unpriced: BTreeSet::new(),
            worst: WorstCase { usd: Decimal::ONE, tokens: 12_345, ..WorstCase::default() },
            what: "run",
            limits,
            prices_date: Date::MIN,
        };
        let (usd, tokens) = (limit("a", Unit::Usd, 5), limit("b", Unit::Tokens, 20_000));
        assert_eq!(estimated(vec![]).worst(), "$1.00 (no limit for a run in budgets.yaml)");
        assert_eq!(estimated(vec![usd.clone()]).worst(), "$1.00 (limit of budgets.a: $5.00)");
        let both =
            "$1.00, 12,345 tokens (limit of budgets.a: $5.00; limit of budgets.b: 20,000 tokens)";
        assert_eq!(estimated(vec![usd.clone(), tokens]).worst(), both);
        let mut json = json!({});
        estimated(vec![usd]).add_worst(&mut json);
        assert_eq!((&json["limit_usd"], &json["limit_tokens"]), (&json!("5"), &Value::Null));
        assert_eq!(json["worst_case"]["tokens"], 12_345);
    }
}
