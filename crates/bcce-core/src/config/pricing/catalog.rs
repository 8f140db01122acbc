//! The price catalogs of others: the data of `genai-prices` and the JSON file of LiteLLM.
//!
//! A model is found by its exact id, because a part of an id may belong to a newer model at another price.

mod genai; // the data of genai-prices
mod litellm; // the JSON file of LiteLLM

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::value::RawValue;
use time::Date;

use crate::config::pricing::{LongPrompt, Price};

/// A catalog, as far as it is needed: the entries of Bedrock.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalog {
    /// The name of the catalog.
    pub name: &'static str,
    /// The rates of each id, such as `global.anthropic.claude-haiku-5-5`, or the reason why they cannot be used.
    entries: BTreeMap<String, Result<Vec<Rates>, String>>,
}

/// The rates of a model from a day on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    /// The first day of the rates. `None` if the catalog does not say.
    pub from: Option<Date>,
    pub price: Price,
    pub long_prompt: Option<LongPrompt>,
    /// The factor by which geographic profiles cost more. `None` if the catalog does not say.
    pub regional_factor: Option<Decimal>,
}

impl Catalog {
    /// Parses a catalog.
    ///
    /// # Errors
    /// A message if the text is no catalog, or has no entries of Bedrock.
    pub fn parse(text: &str) -> Result<Self, String> {
        let catalog = match text.trim_start().as_bytes().first() {
            Some(b'[') => genai::parse(text)?,
            Some(b'{') => match genai::parse_object(text)? {
                Some(catalog) => catalog,
                None => litellm::parse(text)?,
            },
            _ => return Err("is not JSON".to_owned()),
        };
        if catalog.entries.is_empty() {
            return Err(format!("has no prices of Amazon Bedrock ({} format)", catalog.name));
        }
        Ok(catalog)
    }

    /// Returns the prices of a model on its global profile, by its id without the prefix of a profile. The oldest price
    /// comes first.
    ///
    /// # Errors
    /// The reason why the catalog has no usable price of the model.
    pub fn of(&self, base_model: &str) -> Result<Vec<Rates>, String> {
        let entry = |prefix: &str| self.entries.get(&format!("{prefix}{base_model}"));
        let found = entry("global.").or_else(|| entry(""));
        let mut rates =
            found.ok_or_else(|| format!("is not in the catalog of {}", self.name))?.clone()?;
        let regional = ["us.", "eu."].into_iter().find_map(entry);
        let regional = regional.and_then(|regional| regional.as_ref().ok());
        for rates in &mut rates {
            rates.regional_factor = match regional {
                // The prices of both profiles change on the same days.
                Some(regional) => regional.iter().find_map(|other| {
                    let factor = other.price.input.checked_div(rates.price.input)?.normalize();
                    (other.from == rates.from).then_some(factor)
                }),
                // Without a global profile, the price of the model itself is that of every profile.
                None if entry("global.").is_none() => Some(Decimal::ONE),
                None => None,
            };
        }
        Ok(rates)
    }
}

/// The rates of an entry by kind of token, before it is known whether all are there.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    input: Option<Decimal>,
    output: Option<Decimal>,
    cache_read: Option<Decimal>,
    cache_write_5m: Option<Decimal>,
    cache_write_1h: Option<Decimal>,
}

impl Found {
    /// Returns the price per million tokens.
    fn price(self) -> Result<Price, String> {
        let rate = |name: &str, rate: Option<Decimal>| {
            let rate = rate.ok_or_else(|| format!("has no rate for {name}"))?.normalize();
            let is_positive = rate > Decimal::ZERO;
            is_positive.then_some(rate).ok_or_else(|| format!("has the rate {rate} for {name}"))
        };
        Ok(Price {
            input: rate("input", self.input)?,
            output: rate("output", self.output)?,
            cache_read: rate("cache reads", self.cache_read)?,
            cache_write_5m: rate("5-minute cache writes", self.cache_write_5m)?,
            cache_write_1h: rate("1-hour cache writes", self.cache_write_1h)?,
        })
    }
}

/// Reads a number as it is written, because a binary fraction is not exact.
fn decimal(number: &RawValue) -> Result<Decimal, String> {
    let text = number.get().trim_matches('"');
    let parsed = text.parse().or_else(|_| Decimal::from_scientific(text));
    parsed.map_err(|_| format!("has the rate {text}, which is not a number"))
}

#[cfg(test)]
mod tests;
