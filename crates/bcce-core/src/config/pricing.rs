//! The price file and the cost of a call.

pub mod catalog; // the price catalogs of others
pub mod import; // what an import of a catalog changes
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime, UtcOffset};

use crate::base::error::Problems;
use crate::base::usage::Usage;
use crate::config::profiles::GLOBAL;
use crate::config::residency::base_model;
use crate::document::Document;

/// The document `prices.yaml`, in SSM `/bcce/<env>/prices`: the price of each model on its global profile, by day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    pub version: u32,
    /// The day on which the prices were checked, `YYYY-MM-DD`.
    pub date: Date,
    /// The factor by which geographic and in-region calls cost more than global ones. A row may have its own factor.
    pub regional_factor: Decimal,
    /// The share of the price that the tokens of a bulk job cost. A row may have its own share.
    #[serde(default = "default_batch_factor")]
    pub batch_factor: Decimal,
    /// The factor by which a call costs more or less if a service tier other than `default` served it, by tier. A row
    /// may have its own factors. The price of any other tier is unknown.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tier_factors: BTreeMap<String, Decimal>,
    /// The prices by model id, without profile prefix.
    pub models: BTreeMap<String, PriceRows>,
}

/// The prices of a model by day, the oldest row first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PriceRows(pub Vec<PriceRow>);

/// The price of a model from a day on, until the day of the next row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceRow {
    /// The first day of this price in UTC, `YYYY-MM-DD`.
    pub from: Date,
    pub price: Price,
    /// The price of a request with a long prompt. `None` if the price per token does not depend on the length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_prompt: Option<LongPrompt>,
    /// Replaces [`Prices::regional_factor`]. The rows in a plan do not have it, because their prices include the
    /// factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regional_factor: Option<Decimal>,
    /// Replaces [`Prices::batch_factor`]. The rows in a plan always have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_factor: Option<Decimal>,
    /// Replaces [`Prices::tier_factors`]. The rows in a plan have the factors that apply.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tier_factors: BTreeMap<String, Decimal>,
    /// The catalog that the row was imported from. A row without it was written by hand, and an import keeps it. The rows
    /// in a plan do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// The service tier that served a call. It decides the price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier<'a> {
    Default,
    /// Bulk jobs, whose records the service reports no tier of.
    Batch,
    /// A tier as the service names it, such as `flex`.
    Named(&'a str),
}

impl<'a> Tier<'a> {
    /// Returns the tier of a call that is not a record of a bulk job. `reported` is the tier that the service reports.
    pub fn served(reported: Option<&'a str>) -> Self {
        match reported {
            None | Some("default") => Self::Default,
            Some(name) => Self::Named(name),
        }
    }

    /// Returns the name, such as `default`, `batch` or `flex`.
    pub fn name(self) -> &'a str {
        match self {
            Self::Default => "default",
            Self::Batch => "batch",
            Self::Named(name) => name,
        }
    }
}

/// The effect of the prompt cache on the cost of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheEffect {
    /// The amount in USD by which the tokens that were read from the cache cost less than input tokens.
    pub saved_usd: Decimal,
    /// The amount in USD by which the tokens that were written to the cache cost more than input tokens.
    pub extra_usd: Decimal,
}

/// The price of every token of a request whose prompt is long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongPrompt {
    /// The number of tokens above which a prompt is long. Tokens that are read from or written to a cache count as
    /// well.
    pub above_tokens: u64,
    pub price: Price,
}

/// The price of each kind of tokens, in USD per million tokens.
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
        check_factors(&mut problems, Some(self.regional_factor), Some(self.batch_factor));
        problems.extend(check_tiers(&self.tier_factors));
        for (model, rows) in &self.models {
            let mut found = rows.check();
            let base = base_model(model);
            let cause = format!("is an inference profile; a price belongs to the model {base}");
            found.check(model == base, "", cause);
            problems.extend(found.below(&format!("models.{model}")));
        }
        problems
    }
}

/// Returns one half, which the service has charged since it has had batch inference jobs.
fn default_batch_factor() -> Decimal {
    Decimal::new(5, 1)
}

impl Prices {
    /// Returns the prices of `model_id` by day, including the regional factor of its profile. Returns `None` if the
    /// file does not have the model.
    pub fn of(&self, model_id: &str) -> Option<PriceRows> {
        let rows = self.models.get(base_model(model_id))?;
        let is_global = model_id.starts_with(GLOBAL);
        Some(PriceRows(rows.0.iter().map(|row| self.called(row, is_global)).collect()))
    }

    /// Returns the row with the regional factor included in its prices and with its batch factor set.
    fn called(&self, row: &PriceRow, is_global: bool) -> PriceRow {
        let factor = if is_global {
            Decimal::ONE
        } else {
            row.regional_factor.unwrap_or(self.regional_factor)
        };
        let long =
            |long: &LongPrompt| LongPrompt { price: long.price.times(factor), ..long.clone() };
        PriceRow {
            from: row.from,
            price: row.price.times(factor),
            long_prompt: row.long_prompt.as_ref().map(long),
            regional_factor: None,
            batch_factor: Some(row.batch_factor.unwrap_or(self.batch_factor)),
            tier_factors: if row.tier_factors.is_empty() {
                self.tier_factors.clone()
            } else {
                row.tier_factors.clone()
            },
            source: None,
        }
    }
}

/// Creates one row that applies on every day and to every prompt.
impl From<Price> for PriceRows {
    fn from(price: Price) -> Self {
        Self(vec![PriceRow {
            from: OffsetDateTime::UNIX_EPOCH.date(),
            price,
            long_prompt: None,
            regional_factor: None,
            batch_factor: None,
            tier_factors: BTreeMap::new(),
            source: None,
        }])
    }
}

impl PriceRows {
    /// Returns the row that applies to a call made at `time`: the last row that starts no later than that day in UTC.
    /// Returns `None` before the first row.
    pub fn at(&self, time: OffsetDateTime) -> Option<&PriceRow> {
        self.on(time.to_offset(UtcOffset::UTC).date())
    }

    /// Returns the row that applies on `day`, like [`PriceRows::at`].
    pub fn on(&self, day: Date) -> Option<&PriceRow> {
        self.0.iter().rev().find(|row| row.from <= day)
    }

    fn check(&self) -> Problems {
        let mut problems = Problems::default();
        problems.check(!self.0.is_empty(), "", "must have at least one row");
        for (n, row) in self.0.iter().enumerate() {
            let mut found = row.check();
            let is_later = n == 0 || self.0[n - 1].from < row.from;
            found.check(is_later, "from", "must be later than that of the row before");
            problems.extend(found.below(&format!("[{n}]")));
        }
        problems
    }
}

impl PriceRow {
    /// Returns the exact cost of a call in USD.
    pub fn cost(&self, usage: &Usage) -> Decimal {
        self.price_of(usage).cost(usage)
    }

    /// Returns true if a call with this usage has the price of long prompts.
    pub fn is_long(&self, usage: &Usage) -> bool {
        self.long_prompt.as_ref().is_some_and(|long| usage.prompt_tokens() > long.above_tokens)
    }

    /// Returns the exact cost in USD of a call that `tier` served. Returns `None` if the price of the tier is unknown.
    pub fn cost_in(&self, tier: Tier<'_>, usage: &Usage) -> Option<Decimal> {
        Some(match tier {
            Tier::Default => self.cost(usage),
            Tier::Batch => self.batch_cost(usage),
            Tier::Named(name) => (self.cost(usage) * self.tier_factors.get(name)?).normalize(),
        })
    }

    /// Returns the effect of the prompt cache on a call that `tier` served. Returns `None` if the price of the tier is
    /// unknown.
    pub fn cache_effect(&self, tier: Tier<'_>, usage: &Usage) -> Option<CacheEffect> {
        let as_input = |tokens| Usage { input_tokens: tokens, ..Usage::default() };
        let read = Usage { cache_read_tokens: usage.cache_read_tokens, ..Usage::default() };
        let written = Usage {
            cache_write_5m_tokens: usage.cache_write_5m_tokens,
            cache_write_1h_tokens: usage.cache_write_1h_tokens,
            ..Usage::default()
        };
        // The price of the whole call applies, because its length decides the price.
        let row = Self { price: *self.price_of(usage), long_prompt: None, ..self.clone() };
        let cost = |usage: &Usage| row.cost_in(tier, usage);
        Some(CacheEffect {
            saved_usd: cost(&as_input(read.prompt_tokens()))? - cost(&read)?,
            extra_usd: cost(&written)? - cost(&as_input(written.prompt_tokens()))?,
        })
    }

    fn price_of(&self, usage: &Usage) -> &Price {
        let long = self.long_prompt.as_ref().filter(|_| self.is_long(usage));
        long.map_or(&self.price, |long| &long.price)
    }

    /// Returns the exact cost of the same call as a record of a bulk job, in USD.
    pub fn batch_cost(&self, usage: &Usage) -> Decimal {
        let factor = self.batch_factor.unwrap_or_else(default_batch_factor);
        (self.cost(usage) * factor).normalize()
    }

    fn check(&self) -> Problems {
        let mut problems = Problems::default();
        check_factors(&mut problems, self.regional_factor, self.batch_factor);
        problems.extend(check_tiers(&self.tier_factors));
        problems.extend(self.price.check().below("price"));
        if let Some(long) = &self.long_prompt {
            let mut found = long.price.check().below("price");
            found.check(long.above_tokens > 0, "above_tokens", "must be above 0");
            problems.extend(found.below("long_prompt"));
        }
        problems
    }
}

fn check_factors(problems: &mut Problems, regional: Option<Decimal>, batch: Option<Decimal>) {
    let is_positive = regional.is_none_or(|factor| factor > Decimal::ZERO);
    problems.check(is_positive, "regional_factor", "must be above 0");
    let is_share = batch.is_none_or(|factor| factor > Decimal::ZERO && factor <= Decimal::ONE);
    problems.check(is_share, "batch_factor", "must be above 0 and at most 1");
}

fn check_tiers(factors: &BTreeMap<String, Decimal>) -> Problems {
    let mut problems = Problems::default();
    for (tier, factor) in factors {
        let field = format!("tier_factors.{tier}");
        problems.check(*factor > Decimal::ZERO, field.clone(), "must be above 0");
        let is_other = ![Tier::Default, Tier::Batch].iter().any(|known| known.name() == tier);
        let cause = "has no factor here: `default` is the price itself, and `batch_factor` is that of bulk jobs";
        problems.check(is_other, field, cause);
    }
    problems
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

    fn cost(&self, usage: &Usage) -> Decimal {
        let million = Decimal::from(1_000_000);
        let sum = self.input * Decimal::from(usage.input_tokens)
            + self.output * Decimal::from(usage.output_tokens)
            + self.cache_read * Decimal::from(usage.cache_read_tokens)
            + self.cache_write_5m * Decimal::from(usage.cache_write_5m_tokens)
            + self.cache_write_1h * Decimal::from(usage.cache_write_1h_tokens);
        (sum / million).normalize()
    }

    fn check(&self) -> Problems {
        let mut problems = Problems::default();
        let all = [
            ("input", self.input),
            ("output", self.output),
            ("cache_read", self.cache_read),
            ("cache_write_5m", self.cache_write_5m),
            ("cache_write_1h", self.cache_write_1h),
        ];
        for (name, price) in all {
            problems.check(price > Decimal::ZERO, name, "must be above 0");
        }
        problems
    }
}
