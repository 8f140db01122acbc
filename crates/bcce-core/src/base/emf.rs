//! CloudWatch's embedded metric format: JSON lines on a function's standard output.
//!
//! CloudWatch bills each distinct set of dimensions as a metric of its own, so BCCE uses few dimensions. Further
//! details are properties, which can be searched in the log at no cost.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

const NAMESPACE: &str = "BCCE";

/// Returns one document of metrics as a line of JSON. Each metric is a name, a CloudWatch unit and a value.
pub fn document(
    at: OffsetDateTime,
    dimensions: &[(&str, &str)],
    metrics: &[(&str, &str, Value)],
    properties: &[(&str, Value)],
) -> String {
    let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
    let definitions: Vec<Value> =
        metrics.iter().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit })).collect();
    let directive =
        json!({ "Namespace": NAMESPACE, "Dimensions": [names], "Metrics": definitions });
    let timestamp = at.unix_timestamp() * 1_000;
    let mut document = Map::new();
    document
        .insert("_aws".into(), json!({ "Timestamp": timestamp, "CloudWatchMetrics": [directive] }));
    document.extend(properties.iter().map(|(name, value)| (name.to_string(), value.clone())));
    document.extend(dimensions.iter().map(|(name, value)| (name.to_string(), json!(value))));
    document.extend(metrics.iter().map(|(name, _, value)| (name.to_string(), value.clone())));
    Value::Object(document).to_string()
}
