//! The JSON file of LiteLLM: an object with an entry for each id, with rates per token.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::value::RawValue;

use super::{Catalog, Found, Rates, decimal};
use crate::config::pricing::LongPrompt;

type Entry = BTreeMap<String, Box<RawValue>>;

/// The keys of the rates, in the order of the fields of [`Found`].
const KEYS: [&str; 5] = [
    "input_cost_per_token",
    "output_cost_per_token",
    "cache_read_input_token_cost",
    "cache_creation_input_token_cost",
    "cache_creation_input_token_cost_above_1hr",
];

pub(super) fn parse(text: &str) -> Result<Catalog, String> {
    let entries: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).map_err(|error| {
        format!("is not JSON: line {}, column {}", error.line(), error.column())
    })?;
    let entries = entries.into_iter().filter_map(|(id, entry)| {
        let entry: Entry = serde_json::from_str(entry.get()).ok()?;
        let provider = entry.get("litellm_provider")?.get();
        provider.starts_with("\"bedrock").then(|| (id, rates(&entry).map(|rates| vec![rates])))
    });
    Ok(Catalog { name: "LiteLLM", entries: entries.collect() })
}

fn rates(entry: &Entry) -> Result<Rates, String> {
    let price = found(entry, "")?.price()?;
    // The threshold is a part of the key: input_cost_per_token_above_100k_tokens.
    let threshold = |key: &String| {
        let thousands =
            key.strip_prefix(KEYS[0])?.strip_prefix("_above_")?.strip_suffix("k_tokens")?;
        thousands.parse::<u64>().ok()
    };
    let thresholds: Vec<u64> = entry.keys().filter_map(threshold).collect();
    let long_prompt = match thresholds[..] {
        [] => None,
        [thousands] => {
            let price = found(entry, &format!("_above_{thousands}k_tokens"))?.price()?;
            Some(LongPrompt { above_tokens: thousands.saturating_mul(1_000), price })
        }
        _ => return Err("has several thresholds for long prompts".to_owned()),
    };
    Ok(Rates { from: None, price, long_prompt, regional_factor: None })
}

fn found(entry: &Entry, suffix: &str) -> Result<Found, String> {
    let rate = |key: &str| {
        let number = entry.get(&format!("{key}{suffix}"));
        let Some(per_token) = number.map(|number| decimal(number)).transpose()? else {
            return Ok(None);
        };
        let per_million = per_token.checked_mul(Decimal::from(1_000_000));
        per_million.map(Some).ok_or_else(|| format!("has the rate {per_token} per token"))
    };
    let [input, output, cache_read, cache_write_5m, cache_write_1h] = KEYS;
    Ok(Found {
        input: rate(input)?,
        output: rate(output)?,
        cache_read: rate(cache_read)?,
        cache_write_5m: rate(cache_write_5m)?,
        cache_write_1h: rate(cache_write_1h)?,
    })
}
