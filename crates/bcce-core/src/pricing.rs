//! The price file and the cost of a call.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use time::Date;

use crate::attempt::Usage;
use crate::document::Document;
use crate::error::Problems;
use crate::residency::base_model;

/// `/bcce/<env>/prices`: what the global profile of a model costs. Replaceable and dated, because
/// prices change without us.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    pub version: u32,
    /// `YYYY-MM-DD`, the day the prices were read.
    pub date: Date,
    /// Geographic and in-region calls cost this much more than global ones.
    pub regional_factor: Decimal,
    /// What the tokens of a batch inference job cost of all that.
    #[serde(default = "Prices::default_batch_factor")]
    pub batch_factor: Decimal,
    /// By model id without profile prefix.
    pub models: BTreeMap<String, Price>,
}

/// USD per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub input: Decimal,
    pub output: Decimal,
    pub cache_read: Decimal,
    pub cache_write_5m: Decimal,
    pub cache_write_1h: Decimal,
}

impl Document for Prices {
    fn check(&self) -> Problems {
        let mut problems = Problems::default();
        problems.check(self.version == 1, "version", "must be 1");
        let positive = self.regional_factor > Decimal::ZERO;
        problems.check(positive, "regional_factor", "must be above 0");
        let share = self.batch_factor > Decimal::ZERO && self.batch_factor <= Decimal::ONE;
        problems.check(share, "batch_factor", "must be above 0 and at most 1");
        for (model, price) in &self.models {
            let all = [
                price.input,
                price.output,
                price.cache_read,
                price.cache_write_5m,
                price.cache_write_1h,
            ];
            let paid = all.iter().all(|p| *p > Decimal::ZERO);
            problems.check(paid, format!("models.{model}"), "each price must be above 0");
        }
        problems
    }
}

impl Prices {
    /// Half, as the service has had it since there are jobs.
    pub fn default_batch_factor() -> Decimal {
        Decimal::new(5, 1)
    }

    /// What a call to `model_id` costs, its profile's factor included; `None`: not in the file.
    pub fn of(&self, model_id: &str) -> Option<Price> {
        let price = self.models.get(base_model(model_id))?;
        let factor = match model_id.starts_with("global.") {
            true => Decimal::ONE,
            false => self.regional_factor,
        };
        Some(price.times(factor))
    }
}

impl Price {
    fn times(self, factor: Decimal) -> Self {
        Self {
            input: self.input * factor,
            output: self.output * factor,
            cache_read: self.cache_read * factor,
            cache_write_5m: self.cache_write_5m * factor,
            cache_write_1h: self.cache_write_1h * factor,
        }
    }

    /// USD, exact.
    pub fn cost(&self, usage: &Usage) -> Decimal {
        let million = Decimal::from(1_000_000);
        let sum = self.input * Decimal::from(usage.input_tokens)
            + self.output * Decimal::from(usage.output_tokens)
            + self.cache_read * Decimal::from(usage.cache_read_tokens)
            + self.cache_write_5m * Decimal::from(usage.cache_write_5m_tokens)
            + self.cache_write_1h * Decimal::from(usage.cache_write_1h_tokens);
        (sum / million).normalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "version: 1\ndate: 2026-10-01\nregional_factor: \"1.1\"\nmodels:\n  anthropic.claude-haiku: { input: \"1\", output: \"5\", cache_read: \"0.1\", cache_write_5m: \"1.25\", cache_write_1h: \"2\" }\n";

    #[test]
    fn a_geographic_profile_costs_the_factor_more_than_the_global_one() {
        let prices: Prices = serde_saphyr::from_str(FILE).unwrap();
        assert!(prices.check().is_empty());
        let usage = Usage {
            input_tokens: 1_000,
            output_tokens: 100,
            cache_read_tokens: 10_000,
            ..Usage::default()
        };
        // 1000 x 1 + 100 x 5 + 10000 x 0.1 = 2500 per million
        let cost = |id: &str| prices.of(id).unwrap().cost(&usage).to_string();
        assert_eq!(cost("global.anthropic.claude-haiku"), "0.0025");
        assert_eq!(cost("us.anthropic.claude-haiku"), "0.00275");
        assert_eq!(cost("anthropic.claude-haiku"), "0.00275");
    }

    #[test]
    fn a_job_costs_half_unless_the_file_says_otherwise() {
        let factor = |file: &str| serde_saphyr::from_str::<Prices>(file).unwrap();
        assert_eq!(factor(FILE).batch_factor, Decimal::new(5, 1));
        for (written, right) in [("0.4", true), ("1", true), ("0", false), ("1.1", false)] {
            let file = format!("{FILE}batch_factor: \"{written}\"\n");
            assert_eq!(factor(&file).check().is_empty(), right, "{written}");
        }
    }

    #[test]
    fn an_unknown_model_has_no_price_and_a_free_one_is_refused() {
        let mut prices: Prices = serde_saphyr::from_str(FILE).unwrap();
        assert_eq!(prices.of("us.anthropic.claude-new"), None);
        prices.models.values_mut().for_each(|price| price.cache_write_5m = Decimal::ZERO);
        assert!(!prices.check().is_empty());
    }
}
