//! The estimate of runs that are not started: `submit --dry-run` and `batch submit --dry-run` print the same figures.

use std::collections::BTreeSet;
use std::io::Write;

use bcce_core::base::figures::dollars;
use bcce_core::run::plan::estimate::Estimate;
use bcce_core::run::plan::tokens::BYTES_PER_TOKEN;
use bcce_core::run::plan::worst::WorstCase;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use time::Date;

use crate::figures;

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
    /// The ceiling of the policy for the worst case, in USD.
    pub ceiling: Option<Decimal>,
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

    /// Formats the worst case: `$12.30 (ceiling for a batch in policy.yaml: $200.00)`.
    pub fn worst(&self) -> String {
        let (worst, what) = (dollars(self.worst.usd), self.what);
        match self.ceiling {
            None => format!("{worst} (no ceiling for a {what} in policy.yaml)"),
            Some(ceiling) => {
                format!("{worst} (ceiling for a {what} in policy.yaml: {})", dollars(ceiling))
            }
        }
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
