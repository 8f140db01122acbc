//! The targets as JSON. `bcce models --help` documents the fields.

use bcce_core::base::target::Target;
use bcce_core::failover::breaker::{Breaker, BreakerStatus};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use super::{Known, Listed, Reach, Report};

/// Returns the report as JSON.
pub fn of(report: &Report) -> Value {
    let models: Value = report.listed().map(|listed| target(&listed, report)).collect();
    json!({
        "environment": report.environment, "at": instant(report.now), "live": report.is_live,
        "since": report.since.to_string(), "models": models, "unread": report.unread,
    })
}

fn target(listed: &Listed<'_>, report: &Report) -> Value {
    let Listed { alias, known, share } = *listed;
    let target: &Target = &known.watched.target;
    let price = known.price.map(
        |price| json!({ "input": price.input.to_string(), "output": price.output.to_string() }),
    );
    json!({
        "alias": alias,
        "target": target,
        "reachable": known.reach(report.now) == Reach::Yes,
        "forbidden": known.forbidden,
        "life": life(known),
        "price": price,
        "breaker": breaker(&known.breaker, report.now),
        "p50_ms": known.median_ms().flatten(),
        "latency_calls": known.latency.calls(),
        "calls": known.calls,
        "share": share,
        "canary": known.last_call,
        "findings": known.findings,
    })
}

/// Returns the life of the model, or null if Bedrock was not asked or does not have the model.
fn life(known: &Known) -> Value {
    let Some(model) = known.model() else { return Value::Null };
    json!({
        "legacy": model.is_legacy, "started_at": model.started_at.map(instant),
        "legacy_at": model.legacy_at.map(instant), "extended_at": model.extended_at.map(instant),
        "ends_at": model.ends_at.map(instant),
    })
}

fn breaker(breaker: &Breaker, now: OffsetDateTime) -> Value {
    let (status, until) = match breaker.status(now) {
        BreakerStatus::Closed => ("closed", None),
        BreakerStatus::Open { until } => ("open", Some(until)),
        BreakerStatus::Due => ("probe_due", None),
        BreakerStatus::Probed { until } => ("probed", Some(until)),
    };
    json!({ "status": status, "until": until.map(instant) })
}

fn instant(at: OffsetDateTime) -> String {
    at.to_offset(UtcOffset::UTC).format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::samples::report;

    #[test]
    fn a_target_has_exact_figures_and_null_where_nothing_is_known() {
        let json = of(&report());
        let first = &json["models"][0];
        assert_eq!(first["target"]["region"], "us-east-1");
        assert_eq!((&first["reachable"], &first["share"]), (&json!(true), &json!(0.75)));
        assert_eq!(first["price"], json!({ "input": "0.11", "output": "0.55" }));
        assert_eq!((&first["p50_ms"], &first["calls"]), (&json!(780), &json!(3)));
        assert_eq!(first["canary"]["result"]["outcome"], "answered");
        assert_eq!(first["life"], Value::Null);
        let second = &json["models"][1];
        let open = json!({ "status": "open", "until": "2026-11-30T12:05:00Z" });
        assert_eq!((&second["breaker"], &second["reachable"]), (&open, &json!(false)));
        assert_eq!(second["findings"][0]["check"], "call");
        let third = &json["models"][2];
        assert_eq!((&third["price"], &third["share"]), (&Value::Null, &Value::Null));
        assert!(third["forbidden"].as_str().unwrap().starts_with("residency"));
        assert_eq!((&json["live"], &json["since"]), (&json!(false), &json!("2026-11-29")));
    }
}
