//! Checks that usage and cost are counted once.

use std::collections::BTreeMap;

use serde_json::Value;

use super::holds;
use super::runs::text;
use crate::found::{Found, Item};
use crate::requests::Sent;

/// Counters by day, step, region, model and tier, and the runs by day and status.
type Counters = BTreeMap<String, BTreeMap<&'static str, f64>>;

const COUNTED: [&str; 12] = [
    "calls",
    "failed_calls",
    "rejected_calls",
    "unknown_calls",
    "unpriced_calls",
    "lost_calls",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "cost_usd",
];

/// Checks that the counters of the ledger equal the sum over all manifests.
pub fn is_counted(runs: &[&Sent], found: &Found) -> Result<(), String> {
    let mut expected = Counters::new();
    for sent in runs {
        let Some(manifest) = found.document(&sent.run.manifest_key()) else { continue };
        let string =
            |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        for line in manifest["usage_by_step"].as_array().into_iter().flatten() {
            let of = ["day", "step", "region", "model_id", "tier"].map(|name| string(line, name));
            add(&mut expected, of.join(" "), COUNTED.map(|name| (name, counter(line, name))));
        }
        let day = string(&manifest, "ended_at")[..10].to_owned();
        add(&mut expected, format!("{day} {}", string(&manifest, "status")), [("runs", 1.0)]);
    }
    let mut counted = Counters::new();
    let usage = found.ledger.iter().filter(|item| text(item, "pk").starts_with("usage#"));
    usage.for_each(|item| read(item, &mut counted));
    let keys = expected.keys().chain(counted.keys());
    let wrong = keys.filter(|key| !is_same(expected.get(*key), counted.get(*key)));
    let wrong: Vec<String> = wrong
        .map(|key| {
            format!(
                "{key}: the manifests have {:?}, the ledger has {:?}",
                expected.get(key),
                counted.get(key)
            )
        })
        .collect();
    holds(wrong.is_empty(), || format!("the usage differs: {wrong:#?}"))
}

fn add(
    counters: &mut Counters,
    key: String,
    values: impl IntoIterator<Item = (&'static str, f64)>,
) {
    let sums = counters.entry(key).or_default();
    values.into_iter().for_each(|(name, value)| *sums.entry(name).or_default() += value);
}

/// Returns the value of a counter in a line of a manifest, as far as it is known.
fn counter(line: &Value, name: &str) -> f64 {
    let usage = if line["usage"].is_null() { &line["known_usage"] } else { &line["usage"] };
    let cost = if line["cost_usd"].is_null() { "priced_subtotal_usd" } else { "cost_usd" };
    let value = match name {
        "cost_usd" => &line[cost],
        _ if name.ends_with("_tokens") => &usage[name],
        _ => &line[name],
    };
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0.0)
}

/// Adds the counters of an item of the ledger, which is a shard of a day.
fn read(item: &Item, counted: &mut Counters) {
    let number =
        |name: &str| item.get(name).map_or(0.0, |value| value.as_n().unwrap().parse().unwrap());
    let day = &text(item, "pk")["usage#".len()..][..10];
    if text(item, "sk").starts_with("runs#") {
        for (name, status) in
            [("succeeded", "SUCCEEDED"), ("failed", "FAILED"), ("cancelled", "CANCELLED")]
        {
            if item.contains_key(name) {
                add(counted, format!("{day} {status}"), [("runs", number(name))]);
            }
        }
        return;
    }
    let of = ["step", "region", "model_id", "tier"].map(|name| text(item, name));
    add(counted, format!("{day} {}", of.join(" ")), COUNTED.map(|name| (name, number(name))));
}

/// Returns true if both counters are equal. The values are sums of a few decimal numbers with nine places, as floats.
fn is_same(one: Option<&BTreeMap<&str, f64>>, other: Option<&BTreeMap<&str, f64>>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return false };
    one.iter().all(|(name, value)| (other[name] - value).abs() < 1e-9)
}
