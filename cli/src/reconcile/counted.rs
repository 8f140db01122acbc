//! Sums the ledger in the form of the bill: by kind of token, with a cost for each.

use std::collections::BTreeMap;

use bcce_core::base::usage::Usage;
use bcce_core::config::pricing::{PriceRow, Prices, Tier};
use bcce_core::config::profiles::GLOBAL;
use bcce_core::ledger::usage::DayOfUsage;
use bcce_core::run::manifest::StepUsage;
use rust_decimal::Decimal;
use time::Date;

use super::model::ModelName;
use super::{Amount, Amounts, Key, Kind};

/// A model in a region on a day.
pub type Place = (Date, String, ModelName);

/// Calls whose usage is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnknownCalls {
    pub lost: u64,
    /// Calls with an artifact, such as answers that were cut off.
    pub cut_off: u64,
}

/// The usage of the ledger, summed.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    pub amounts: Amounts,
    pub unknown: BTreeMap<Place, UnknownCalls>,
}

impl Counted {
    /// Sums the calls of the days. `prices` split the cost of a call by kind of token; the sum is that of the ledger.
    pub fn of(days: &[DayOfUsage], prices: &Prices) -> Self {
        let mut counted = Self::default();
        for calls in days.iter().flat_map(|day| &day.calls) {
            counted.add(&calls.usage, prices);
        }
        counted
    }

    fn add(&mut self, usage: &StepUsage, prices: &Prices) {
        let line = &usage.line;
        let Some(model) = ModelName::parse(line.resolved_id()) else { return };
        if line.unknown_calls > 0 {
            let place = (usage.day, line.region.clone(), model.clone());
            let unknown = self.unknown.entry(place).or_default();
            unknown.lost += line.lost_calls;
            unknown.cut_off += line.unknown_calls - line.lost_calls;
        }
        let rows = prices.of(line.resolved_id());
        let row = rows.as_ref().and_then(|rows| rows.on(usage.day));
        let parts = parts(&line.totals.known_usage());
        let shares =
            parts.map(|(_, part)| row.map_or(Decimal::ZERO, |row| cost(row, usage, &part)));
        let whole: Decimal = shares.iter().sum();
        for ((kind, part), share) in parts.into_iter().zip(shares) {
            let tokens = Decimal::from(part.prompt_tokens() + part.output_tokens);
            if tokens.is_zero() {
                continue;
            }
            let known = line.totals.known_cost();
            let cost = if whole.is_zero() { Decimal::ZERO } else { known * share / whole };
            let key = Key {
                day: usage.day,
                region: line.region.clone(),
                model: model.clone(),
                tier: usage.tier.clone(),
                is_global: line.resolved_id().starts_with(GLOBAL),
                is_long: usage.long_prompt,
                kind,
            };
            self.amounts.entry(key).or_default().add(Amount { tokens, cost });
        }
    }

    /// Returns the known cost in USD.
    pub fn total(&self) -> Decimal {
        self.amounts.values().map(|amount| amount.cost).sum()
    }
}

/// Splits a usage by kind of token.
fn parts(usage: &Usage) -> [(Kind, Usage); 5] {
    let none = Usage::default();
    [
        (Kind::Input, Usage { input_tokens: usage.input_tokens, ..none }),
        (Kind::Output, Usage { output_tokens: usage.output_tokens, ..none }),
        (Kind::CacheRead, Usage { cache_read_tokens: usage.cache_read_tokens, ..none }),
        (Kind::CacheWrite5m, Usage { cache_write_5m_tokens: usage.cache_write_5m_tokens, ..none }),
        (Kind::CacheWrite1h, Usage { cache_write_1h_tokens: usage.cache_write_1h_tokens, ..none }),
    ]
}

/// Returns the cost of a part of the usage at the price of the whole.
fn cost(row: &PriceRow, usage: &StepUsage, part: &Usage) -> Decimal {
    let price = match (&row.long_prompt, usage.long_prompt) {
        (Some(long), true) => long.price,
        _ => row.price,
    };
    let tier = match usage.tier.as_str() {
        "default" => Tier::Default,
        "batch" => Tier::Batch,
        other => Tier::Named(other),
    };
    let row = PriceRow { price, long_prompt: None, ..row.clone() };
    row.cost_in(tier, part).unwrap_or_default()
}
