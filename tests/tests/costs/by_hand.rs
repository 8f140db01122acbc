//! Reads all calls from the artifacts, and prices them without the code of the product.

use std::collections::BTreeMap;

use bcce_core::base::platform::PlatformUse;
use bcce_tests::harness::stack::{Stack, output};
use rust_decimal::Decimal;
use serde_json::Value;

/// The kinds of tokens, in the order of the prices.
pub const TOKENS: [&str; 5] = [
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
];

/// A call, as an artifact records it.
#[derive(Clone, Debug)]
pub struct Call {
    pub tenant: String,
    pub workflow: String,
    /// The value of the cost tag `team`.
    pub team: String,
    pub step: String,
    pub region: String,
    pub model_id: String,
    pub tier: String,
    pub day: String,
    pub outcome: String,
    pub error: Option<String>,
    pub is_lost: bool,
    /// True if the call was made before the day from which reads from the cache of Sonnet 5.5 cost half.
    pub is_before_change: bool,
    /// The tokens in the order of [`TOKENS`]. `None` if the usage is unknown.
    pub tokens: Option<[u64; 5]>,
    pub latency_ms: u64,
    pub first_token_ms: Option<u64>,
}

impl Call {
    pub fn model(&self) -> &str {
        if self.model_id == super::mix::profile() {
            return "anthropic.claude-haiku-5-5";
        }
        self.model_id.strip_prefix("us.").unwrap()
    }

    /// Returns true if the call has the price of long prompts, which Haiku 5.5 has above 100,000 tokens.
    pub fn is_long(&self) -> bool {
        let prompt = |tokens: [u64; 5]| tokens[0] + tokens[2] + tokens[3] + tokens[4];
        self.model() == "anthropic.claude-haiku-5-5" && self.tokens.map(prompt) > Some(100_000)
    }

    /// Returns the prices in USD per million tokens on the `us.` profile, which costs 10 % more than the global one.
    fn prices(&self) -> [Decimal; 5] {
        let global = match self.model() {
            "anthropic.claude-haiku-5-5" if self.is_long() => ["0.5", "2.5", "0.05", "0.625", "1"],
            "anthropic.claude-haiku-5-5" => ["0.1", "0.5", "0.01", "0.125", "0.2"],
            "anthropic.claude-sonnet-5-5" if self.is_before_change => {
                ["2", "10", "0.2", "2.5", "4"]
            }
            "anthropic.claude-sonnet-5-5" => ["2", "10", "0.1", "2.5", "4"],
            "anthropic.claude-opus-5-5" => ["4", "20", "0.2", "5", "8"],
            other => panic!("the test has no price of {other}"),
        };
        global.map(|price| price.parse::<Decimal>().unwrap() * Decimal::new(11, 1))
    }

    /// Returns the factor of the tier. Nobody knows what the tier `reserved` costs.
    fn factor(&self) -> Option<Decimal> {
        match self.tier.as_str() {
            "default" => Some(Decimal::ONE),
            "batch" | "flex" => Some(Decimal::new(5, 1)),
            _ => None,
        }
    }

    /// Returns the rate of a kind of token in USD per million, in the order of [`TOKENS`].
    pub fn rate(&self, kind: usize) -> Option<Decimal> {
        Some(self.prices()[kind] * self.factor()?)
    }

    /// Returns the cost in USD. A call that used nothing costs nothing.
    pub fn cost(&self) -> Option<Decimal> {
        let tokens = self.tokens?;
        if tokens == [0; 5] {
            return Some(Decimal::ZERO);
        }
        let factor = self.factor()?;
        let parts = tokens.iter().zip(self.prices()).map(|(n, price)| Decimal::from(*n) * price);
        Some(parts.sum::<Decimal>() * factor / Decimal::from(1_000_000))
    }

    /// Returns what the cache saved on reads and cost more on writes, in USD.
    pub fn cache_effect(&self) -> [Decimal; 2] {
        let (Some(tokens), Some(factor)) = (self.tokens, self.factor()) else {
            return [Decimal::ZERO; 2];
        };
        let [input, _, read, write_5m, write_1h] = self.prices();
        let usd = |n: usize, price: Decimal| {
            Decimal::from(tokens[n]) * price * factor / Decimal::from(1_000_000)
        };
        [usd(2, input - read), usd(3, write_5m - input) + usd(4, write_1h - input)]
    }
}

/// The objects of one run, by name below its prefix.
type Objects = BTreeMap<String, Value>;

/// Reads the objects of all runs, by the prefix of the run. Those of packed runs are in segments.
async fn objects(stack: &Stack) -> BTreeMap<String, Objects> {
    let list = stack.s3.list_objects_v2().bucket(output("ArtifactBucket")).into_paginator();
    let mut pages = list.send();
    let mut runs: BTreeMap<String, Objects> = BTreeMap::new();
    while let Some(page) = pages.next().await {
        for object in page.unwrap().contents() {
            let key = object.key().unwrap();
            let body = async || String::from_utf8(stack.object(key).await.unwrap()).unwrap();
            if key.starts_with("runs/") && key.ends_with(".json") {
                let parts: Vec<&str> = key.splitn(4, '/').collect();
                let value = serde_json::from_str(&body().await).unwrap();
                let run = runs.entry(parts[..3].join("/")).or_default();
                run.insert(parts[3].to_owned(), value);
            } else if key.ends_with(".segment.jsonl") {
                for line in body().await.lines().filter(|line| line.starts_with('{')) {
                    let packed: Value = serde_json::from_str(line).unwrap();
                    let string = |name: &str| packed["run"][name].as_str().unwrap().to_owned();
                    let prefix = format!("runs/{}/{}", string("tenant"), string("run_id"));
                    let stored = packed["objects"].as_object().unwrap().clone();
                    runs.entry(prefix).or_default().extend(stored);
                }
            } else if key.ends_with(".runs.jsonl") {
                for line in body().await.lines() {
                    let manifest: Value = serde_json::from_str(line).unwrap();
                    let string = |name: &str| manifest[name].as_str().unwrap().to_owned();
                    let prefix = format!("runs/{}/{}", string("tenant"), string("run_id"));
                    runs.entry(prefix).or_default().insert("manifest-1.json".into(), manifest);
                }
            }
        }
    }
    runs
}

/// Returns the numbers of runs and of failed runs by workflow.
pub async fn runs(stack: &Stack) -> BTreeMap<String, [u64; 2]> {
    let mut counts: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    for objects in objects(stack).await.values() {
        let manifest = &objects["manifest-1.json"];
        let counts = counts.entry(manifest["workflow"].as_str().unwrap().to_owned()).or_default();
        counts[0] += 1;
        counts[1] += u64::from(manifest["status"] == "FAILED");
    }
    counts
}

/// Returns what all runs and parts of batches take of AWS besides models, as their manifests state it.
pub async fn platform(stack: &Stack) -> PlatformUse {
    let mut taken = PlatformUse::default();
    let runs = objects(stack).await;
    let runs = runs.values().map(|objects| objects["manifest-1.json"]["platform"].clone());
    for stated in runs.chain(parts(stack).await).filter(|stated| !stated.is_null()) {
        taken.add(&serde_json::from_value(stated).unwrap());
    }
    taken
}

/// Returns the use that the manifest of each part of a batch states.
async fn parts(stack: &Stack) -> Vec<Value> {
    let list = stack.s3.list_objects_v2().bucket(output("ArtifactBucket")).prefix("batches/");
    let mut pages = list.into_paginator().send();
    let mut parts = Vec::new();
    while let Some(page) = pages.try_next().await.unwrap() {
        for object in page.contents() {
            let key = object.key().unwrap();
            if key.ends_with(".part.json") {
                let body = stack.object(key).await.unwrap();
                let manifest: Value = serde_json::from_slice(&body).unwrap();
                parts.push(manifest["platform"].clone());
            }
        }
    }
    parts
}

/// Returns the name of the error of each run that has one.
pub async fn errors_of_runs(stack: &Stack) -> Vec<String> {
    let runs = objects(stack).await;
    let manifests = runs.values().map(|objects| &objects["manifest-1.json"]);
    manifests.filter_map(|manifest| Some(manifest["error"]["name"].as_str()?.to_owned())).collect()
}

/// Returns all calls that artifacts record, and those that were lost.
pub async fn calls(stack: &Stack) -> Vec<Call> {
    let mut calls = Vec::new();
    for objects in objects(stack).await.values() {
        let manifest = &objects["manifest-1.json"];
        let tag = objects["plan.json"]["tags"]["team"].as_str();
        let call = |step: &str, attempt: &Value| call_of(manifest, tag, step, attempt);
        let records = objects.values().filter(|object| object["attempts"].is_array());
        for record in records {
            let step = record["step_id"].as_str().unwrap();
            calls.extend(record["attempts"].as_array().unwrap().iter().map(|a| call(step, a)));
        }
        for step in manifest["steps"].as_array().unwrap() {
            let id = step["id"].as_str().unwrap();
            let answered = calls.last().cloned();
            for _ in 0..step["lost_calls"].as_u64().unwrap_or(0) {
                // The call log has the target of a lost call. In this mix it is that of the answer that followed.
                let lost = answered.clone().unwrap();
                calls.push(Call {
                    step: id.into(),
                    outcome: "failed".into(),
                    error: None,
                    is_lost: true,
                    tokens: None,
                    ..lost
                });
            }
        }
    }
    calls
}

fn call_of(manifest: &Value, tag: Option<&str>, step: &str, attempt: &Value) -> Call {
    let string = |value: &Value| value.as_str().unwrap().to_owned();
    let usage = &attempt["usage"];
    let team = match tag {
        None => "(none)",
        Some(listed @ ("search" | "payments")) => listed,
        Some(_) => "other",
    };
    let tier = match (string(&attempt["kind"]).as_str(), attempt["service_tier"].as_str()) {
        ("bulk", _) => "batch".to_owned(),
        (_, None) => "default".to_owned(),
        (_, Some(served)) => served.to_owned(),
    };
    Call {
        tenant: string(&manifest["tenant"]),
        workflow: string(&manifest["workflow"]),
        team: team.to_owned(),
        step: step.to_owned(),
        region: string(&attempt["target"]["region"]),
        model_id: string(&attempt["target"]["model_id"]),
        tier,
        day: string(&attempt["started_at"])[..10].to_owned(),
        outcome: string(&attempt["outcome"]),
        error: attempt["error"].as_str().map(str::to_owned),
        is_lost: false,
        is_before_change: string(&attempt["started_at"]) == super::mix::early_call(),
        tokens: (!usage.is_null()).then(|| TOKENS.map(|name| usage[name].as_u64().unwrap())),
        latency_ms: attempt["latency_ms"].as_u64().unwrap(),
        first_token_ms: attempt["first_token_ms"].as_u64(),
    }
}
