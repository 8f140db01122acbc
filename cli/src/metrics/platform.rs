//! The cost of AWS besides tokens: the price list, and the table of what was used.

use std::collections::BTreeMap;
use std::path::Path;

use bcce_core::base::error::Problems;
use bcce_core::base::platform::{Charge, PlatformUse};
use bcce_core::document::{Document, from_yaml};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Value, json};
use time::Date;

use crate::exit::{Failure, Outcome};
use crate::figures;
use crate::metrics::groups::Sums;
use crate::metrics::table::{Row, Table, percent, share};
use crate::paint::{Ink, Line, span};

/// The price list that is used unless an option names another one.
const LIST: &str = include_str!("../../../infra/config/platform_prices.yaml");

/// Says what the cost of a use does not include.
pub const NOT_INCLUDED: &str =
    "Not included: logs, and the time of functions other than their wait for models.";

/// The document `platform_prices.yaml`: what AWS charges besides tokens.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformPrices {
    pub version: u32,
    /// The day on which the prices were checked, `YYYY-MM-DD`.
    pub date: Date,
    /// The price of each kind in USD per million, by its name.
    pub usd_per_million: BTreeMap<String, Decimal>,
}

impl Document for PlatformPrices {
    fn check(&self) -> Problems {
        let mut problems = Problems::default();
        problems.check(self.version == 1, "version", "must be 1");
        for charge in Charge::ALL {
            let (field, price) = (charge.name(), self.usd_per_million.get(charge.name()));
            let field = format!("usd_per_million.{field}");
            problems.check(price.is_some(), &field, "is missing");
            let is_negative = price.is_some_and(Decimal::is_sign_negative);
            problems.check(!is_negative, &field, "must not be negative");
        }
        for name in self.usd_per_million.keys() {
            let is_known = Charge::ALL.iter().any(|charge| charge.name() == name);
            problems.check(is_known, format!("usd_per_million.{name}"), "is not a known kind");
        }
        problems
    }
}

impl PlatformPrices {
    /// Reads the price list of a file, or the list of this version of bcce.
    ///
    /// # Errors
    /// The file cannot be read, or a price is missing or negative.
    pub fn read(file: Option<&Path>) -> Outcome<Self> {
        let refused = |name: &str, cause: String| {
            let advice = "nothing was read; infra/config/platform_prices.yaml is an example";
            Failure::usage(format!("--platform-prices {name}: {cause}"), advice)
        };
        let Some(file) = file else { return Self::parse(LIST).map_err(|cause| refused("", cause)) };
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file)
            .map_err(|error| refused(&name, format!("cannot be read: {error}")))?;
        Self::parse(&text).map_err(|cause| refused(&name, cause))
    }

    fn parse(text: &str) -> Result<Self, String> {
        from_yaml(text).finished().map_err(|problems| problems.to_string())
    }

    fn of(&self, charge: Charge) -> Decimal {
        self.usd_per_million.get(charge.name()).copied().unwrap_or_default()
    }

    /// Returns the cost of a count of a kind in USD.
    fn cost(&self, charge: Charge, count: u64) -> Decimal {
        self.of(charge) * Decimal::from(count) / Decimal::from(1_000_000)
    }

    /// Returns the cost of a use in USD.
    pub fn total(&self, taken: &PlatformUse) -> Decimal {
        taken.iter().map(|(charge, count)| self.cost(charge, count)).sum()
    }

    /// Returns the cost of sums for a table. The cost of runs whose manifests do not state their use is unknown.
    pub fn cell(&self, sums: &Sums) -> String {
        let usd = figures::usd(self.total(&sums.platform));
        match (sums.runs_without_platform(), sums.platform_runs) {
            (0, _) => usd,
            (_, 0) => "unknown".to_owned(),
            _ => format!("{usd} + unknown"),
        }
    }

    /// Returns sums as JSON: the count of each kind, and the cost if it is known for every run.
    pub fn json(&self, sums: &Sums) -> Value {
        let usd = self.total(&sums.platform).normalize();
        json!({
            "runs": sums.platform_runs,
            "usd": (sums.runs_without_platform() == 0).then_some(usd),
            "known_usd": usd,
            "taken": sums.platform,
            "prices_date": self.date.to_string(),
        })
    }

    /// Returns the name, the kind, the count and the cost of each kind that a use has, the dearest first.
    pub fn costs(&self, taken: &PlatformUse) -> Vec<(&'static str, Charge, u64, Decimal)> {
        let cost = |(charge, count)| (label(charge), charge, count, self.cost(charge, count));
        let mut costs: Vec<_> = taken.iter().map(cost).collect();
        costs.sort_by_key(|(_, _, _, cost)| std::cmp::Reverse(*cost));
        costs
    }

    /// Returns the table of a use: the count, price and cost of each kind, the dearest first.
    fn table(&self, taken: &PlatformUse) -> Table {
        let row = |(label, charge, count, cost): (&str, Charge, u64, Decimal)| {
            Row::plain([
                label.to_owned(),
                figures::count(count),
                format!("${}", self.of(charge).normalize()),
                figures::usd(cost),
            ])
        };
        let mut rows: Vec<Row> = self.costs(taken).into_iter().map(row).collect();
        let total =
            ["total".to_owned(), String::new(), String::new(), figures::usd(self.total(taken))];
        rows.push(Row::plain(total).bold());
        let headings = ["AWS without tokens", "count", "per million", "cost"].map(str::to_owned);
        Table { headings: headings.into(), texts: 1, rows }
    }

    /// Returns the lines below a table of costs: the table of what was used, and what it does not include.
    pub fn lines(&self, total: &Sums) -> Vec<Line> {
        let mut lines = self.table(&total.platform).lines(None);
        lines.push(Vec::new());
        let (usd, tokens) = (self.total(&total.platform), total.cost());
        if !tokens.is_zero() && total.runs_without_platform() == 0 {
            let text = format!(
                "This is {} of the known cost of tokens, at the prices of {} for AWS.",
                percent(share(usd, tokens)).trim_start(),
                self.date
            );
            lines.push(vec![span(Ink::Plain, text)]);
        }
        lines.push(vec![span(Ink::Plain, NOT_INCLUDED)]);
        lines.extend(without(total).map(|text| vec![span(Ink::Yellow, text)]));
        lines
    }
}

/// Describes the runs whose use is not in the sums, if there are any.
pub fn without(total: &Sums) -> Option<String> {
    let without = total.runs_without_platform();
    let whose = match without {
        0 => return None,
        1 => "manifest does not state its",
        _ => "manifests do not state their",
    };
    let runs = figures::plural(without as usize, "run");
    Some(format!("Not included: {runs}, whose {whose} use of AWS."))
}

/// Returns the name of a kind for people.
fn label(charge: Charge) -> &'static str {
    match charge {
        Charge::Transitions => "Step Functions: transitions",
        Charge::FunctionCalls => "Lambda: calls",
        Charge::GbMilliseconds => "Lambda: GB-milliseconds of waiting",
        Charge::S3Writes => "S3: writes and lists",
        Charge::S3Reads => "S3: reads",
        Charge::KmsRequests => "KMS: reads and writes of S3",
        Charge::Signatures => "KMS: signatures",
        Charge::WriteUnits => "DynamoDB: write units",
        Charge::HalfReadUnits => "DynamoDB: half read units",
        Charge::ObjectEvents => "EventBridge: events of objects",
        Charge::SqsRequests => "SQS: requests",
        Charge::SnsMessages => "SNS: messages",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_every_kind() {
        assert!(PlatformPrices::parse(LIST).is_ok());
    }

    #[test]
    fn a_list_with_a_gap_or_a_negative_price_is_refused() {
        for (from, to, expected) in [
            ("  s3_reads: \"0.4\"\n", "", "usd_per_million.s3_reads: is missing"),
            ("\"25\"", "\"-1\"", "usd_per_million.transitions: must not be negative"),
            ("s3_reads", "s3_read", "usd_per_million.s3_read: is not a known kind"),
            ("version: 1", "version: 2", "version: must be 1"),
            ("\"25\"", "free", "usd_per_million.transitions: must be a decimal number in quotes"),
        ] {
            assert!(LIST.contains(from), "{from}");
            let cause = PlatformPrices::parse(&LIST.replacen(from, to, 1)).unwrap_err();
            assert!(cause.contains(expected), "{cause}");
        }
    }

    #[test]
    fn a_use_costs_the_sum_of_its_kinds() {
        let prices = PlatformPrices::parse(LIST).unwrap();
        let taken = [(Charge::Transitions, 12), (Charge::GbMilliseconds, 2_500)];
        let cost = prices.total(&taken.into_iter().collect());
        // 12 transitions at $25 and 2.5 GB-seconds at $13.3334 per million.
        assert_eq!(cost, "0.0003333335".parse().unwrap());
    }
}
