//! The data of genai-prices: providers with models, with rates per million tokens. Its repository publishes it as
//! `data.json`, a list of providers or an object that has one.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;
use time::Date;

use super::{Catalog, Found, Rates, decimal};
use crate::config::pricing::LongPrompt;

/// The id of Amazon Bedrock among the providers.
const PROVIDER: &str = "aws";

#[derive(Deserialize)]
struct Provider {
    id: String,
    #[serde(default)]
    models: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    #[serde(default)]
    r#match: Match,
    prices: Box<RawValue>,
}

/// The ids that a model is matched by. Only whole ids count, see [`Match::ids`].
#[derive(Default, Deserialize)]
struct Match {
    equals: Option<String>,
    ends_with: Option<String>,
    #[serde(default)]
    or: Vec<Match>,
}

#[derive(Deserialize)]
struct Conditional {
    constraint: Option<Constraint>,
    prices: Box<RawValue>,
}

#[derive(Deserialize)]
struct Constraint {
    start_date: Option<Date>,
}

#[derive(Deserialize)]
struct Prices {
    input_mtok: Option<Box<RawValue>>,
    output_mtok: Option<Box<RawValue>>,
    cache_read_mtok: Option<Box<RawValue>>,
    cache_write_mtok: Option<Box<RawValue>>,
    cache_write_5m_mtok: Option<Box<RawValue>>,
    cache_write_1h_mtok: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Tiered {
    base: Box<RawValue>,
    tiers: Vec<Tier>,
}

#[derive(Deserialize)]
struct Tier {
    start: u64,
    price: Box<RawValue>,
}

impl Match {
    /// Returns the ids that match as a whole. `ends_with` is the end of an ARN whose last part is the id.
    fn ids(&self) -> Vec<&String> {
        let own = self.equals.iter().chain(&self.ends_with);
        own.chain(self.or.iter().flat_map(Self::ids)).collect()
    }
}

pub(super) fn parse(text: &str) -> Result<Catalog, String> {
    catalog(serde_json::from_str(text).map_err(unreadable)?)
}

/// Parses an object. Returns `None` if it has no list of providers.
pub(super) fn parse_object(text: &str) -> Result<Option<Catalog>, String> {
    let object: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).map_err(unreadable)?;
    let Some(providers) = object.get("providers") else { return Ok(None) };
    catalog(serde_json::from_str(providers.get()).map_err(unreadable)?).map(Some)
}

fn unreadable(error: serde_json::Error) -> String {
    format!("is not a catalog of prices: {error}")
}

fn catalog(providers: Vec<Provider>) -> Result<Catalog, String> {
    let mut entries = BTreeMap::new();
    let bedrock = providers.into_iter().filter(|provider| provider.id == PROVIDER);
    for model in bedrock.flat_map(|provider| provider.models) {
        let rates = all_rates(&model.prices);
        for id in model.r#match.ids().into_iter().chain([&model.id]) {
            entries.insert(id.clone(), rates.clone());
        }
    }
    Ok(Catalog { name: "genai-prices", entries })
}

/// Returns the rates, the oldest first.
fn all_rates(prices: &RawValue) -> Result<Vec<Rates>, String> {
    let Ok(conditional) = serde_json::from_str::<Vec<Conditional>>(prices.get()) else {
        return Ok(vec![rates(prices, None)?]);
    };
    let mut all = Vec::new();
    for priced in conditional {
        let from = match priced.constraint {
            None => None,
            Some(Constraint { start_date: Some(from) }) => Some(from),
            Some(_) => return Err("has prices that depend on the time of day".to_owned()),
        };
        all.push(rates(&priced.prices, from)?);
    }
    all.sort_by_key(|rates| rates.from);
    Ok(all)
}

/// A rate for short prompts, with the threshold and the rate for long ones.
type TieredRate = (Decimal, Option<(u64, Decimal)>);

fn rates(prices: &RawValue, from: Option<Date>) -> Result<Rates, String> {
    let prices: Prices = serde_json::from_str(prices.get())
        .map_err(|_| "has prices in an unknown form".to_owned())?;
    let rate = |number: &Option<Box<RawValue>>| number.as_deref().map(tiered).transpose();
    let kinds = [
        rate(&prices.input_mtok)?,
        rate(&prices.output_mtok)?,
        rate(&prices.cache_read_mtok)?,
        rate(&prices.cache_write_5m_mtok)?.or(rate(&prices.cache_write_mtok)?),
        rate(&prices.cache_write_1h_mtok)?,
    ];
    let price = found(kinds.map(|kind| Some(kind?.0))).price()?;
    let mut thresholds: Vec<u64> = kinds.iter().filter_map(|kind| Some((*kind)?.1?.0)).collect();
    thresholds.dedup();
    let long_prompt = match thresholds[..] {
        [] => None,
        [above_tokens] => {
            // A rate without a threshold is the same for long prompts.
            let long =
                kinds.map(|kind| kind.map(|(base, long)| long.map_or(base, |(_, long)| long)));
            Some(LongPrompt { above_tokens, price: found(long).price()? })
        }
        _ => return Err("has several thresholds for long prompts".to_owned()),
    };
    Ok(Rates { from, price, long_prompt, regional_factor: None })
}

fn found(
    [input, output, cache_read, cache_write_5m, cache_write_1h]: [Option<Decimal>; 5],
) -> Found {
    Found { input, output, cache_read, cache_write_5m, cache_write_1h }
}

fn tiered(rate: &RawValue) -> Result<TieredRate, String> {
    let Ok(tiered) = serde_json::from_str::<Tiered>(rate.get()) else {
        return Ok((decimal(rate)?, None));
    };
    let long = match &tiered.tiers[..] {
        [] => None,
        [tier] => Some((tier.start, decimal(&tier.price)?)),
        _ => return Err("has several thresholds for long prompts".to_owned()),
    };
    Ok((decimal(&tiered.base)?, long))
}
