//! Checks that usage and cost are counted once.

use std::collections::BTreeMap;

use bcce_core::ledger::{usage_pk, usage_sk};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::holds;
use super::runs::text;
use crate::found::{Found, Item};
use crate::requests::Sent;

/// Counters by day, shard, region and model.
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
        let ended =
            OffsetDateTime::parse(manifest["ended_at"].as_str().unwrap(), &Rfc3339).unwrap();
        for line in manifest["usage_by_model"].as_array().into_iter().flatten() {
            let string = |name: &str| line[name].as_str().unwrap_or_default();
            let (pk, sk) =
                (usage_pk(ended, &sent.run.run_id), usage_sk(string("region"), string("model_id")));
            let counters = expected.entry(format!("{pk} {sk}")).or_default();
            *counters.entry("runs").or_default() += 1.0;
            for name in COUNTED {
                *counters.entry(name).or_default() += counter(line, name);
            }
        }
    }
    let usage = found.ledger.iter().filter(|item| text(item, "pk").starts_with("usage#"));
    let counted: Counters = usage.map(counters).collect();
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

/// Returns the key and the counters of an item of the ledger.
fn counters(item: &Item) -> (String, BTreeMap<&'static str, f64>) {
    let number = |name: &str| item.get(name)?.as_n().ok()?.parse().ok();
    let counters = ["runs"].into_iter().chain(COUNTED);
    let counters = counters.map(|name| (name, number(name).unwrap_or(0.0))).collect();
    (format!("{} {}", text(item, "pk"), text(item, "sk")), counters)
}

/// Returns true if both counters are equal. The values are sums of a few decimal numbers with nine places, as floats.
fn is_same(one: Option<&BTreeMap<&str, f64>>, other: Option<&BTreeMap<&str, f64>>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return false };
    one.iter().all(|(name, value)| (other[name] - value).abs() < 1e-9)
}
