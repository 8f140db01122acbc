//! The span of a call: a subsegment of an X-Ray trace, with the attribute names of OpenTelemetry's conventions for
//! generative AI. It contains no text of a prompt, an answer or a service's message, and no tag of a sender.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::base::error::ErrorName;
use crate::base::trace::TraceHeader;
use crate::base::usage::Usage;
use crate::call::answer::answered;
use crate::call::model::{CallReport, ModelCall};

/// The longest name of a subsegment, in characters.
const MAX_NAME_CHARS: usize = 200;

/// The attributes that X-Ray indexes, so that traces can be found by them. X-Ray accepts only letters, digits and
/// underscores in their names, and at most 50 of them in a trace.
const INDEXED: [&str; 4] = ["gen_ai.request.model", "error.type", "bcce.run_id", "bcce.step"];

/// Returns the subsegment of a call as JSON. `id` is a random number, and `ended` is the time since 1970 at which the
/// call ended. Returns `None` if X-Ray does not record the trace.
pub fn subsegment(
    header: &TraceHeader,
    id: u64,
    call: &ModelCall<'_>,
    report: &CallReport,
    ended: Duration,
) -> Option<String> {
    let parent = header.parent.filter(|_| header.is_sampled)?;
    let error = answered(&report.result).err().map(|failure| failure.name);
    let name = format!("chat {}", call.target.model_id);
    let mut subsegment = json!({
        "name": name.chars().take(MAX_NAME_CHARS).collect::<String>(),
        "id": format!("{id:016x}"),
        "trace_id": header.trace_id.to_string(),
        "parent_id": format!("{parent:016x}"),
        "type": "subsegment",
        "namespace": "remote",
        "start_time": ended.saturating_sub(report.latency).as_secs_f64(),
        "end_time": ended.as_secs_f64(),
    });
    for flag in error.into_iter().flat_map(flags) {
        subsegment[*flag] = true.into();
    }
    let attributes = attributes(call, report, error);
    let indexed = INDEXED.iter().filter_map(|name| Some((*name, attributes.get(*name)?)));
    let indexed = indexed.map(|(name, value)| (name.replace('.', "_"), value.clone()));
    subsegment["annotations"] = indexed.collect::<Map<_, _>>().into();
    subsegment["metadata"] = json!({ "default": attributes });
    Some(subsegment.to_string())
}

/// Returns the flags by which X-Ray colours a failed call: `fault` if the service failed, otherwise `error`.
fn flags(error: ErrorName) -> &'static [&'static str] {
    match error {
        ErrorName::TargetThrottled => &["error", "throttle"],
        ErrorName::TargetUnavailable
        | ErrorName::TargetTimeout
        | ErrorName::TargetBroken
        | ErrorName::Internal => &["fault"],
        _ => &["error"],
    }
}

fn attributes(
    call: &ModelCall<'_>,
    report: &CallReport,
    error: Option<ErrorName>,
) -> Map<String, Value> {
    let (target, parameters) = (call.target, call.parameters);
    let stop_reason = report.result.as_ref().ok().map(|answer| [&answer.stop_reason]);
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    // BCCE sets these entries in every call of a run, so none of them is a tag.
    let known = |name: &str| call.metadata.get(name);
    let attributes = json!({
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.request.model": target.model_id,
        "gen_ai.request.max_tokens": parameters.max_tokens,
        "gen_ai.request.temperature": parameters.temperature.and_then(shortest),
        "gen_ai.output.type": parameters.schema.as_ref().map(|_| "json"),
        "gen_ai.response.finish_reasons": stop_reason,
        "aws.bedrock.guardrail.id": target.guardrail.as_ref().map(|guardrail| &guardrail.id),
        "error.type": error.map(ErrorName::as_str),
        "bcce.run_id": known("run_id"),
        "bcce.workflow": known("workflow"),
        "bcce.step": known("step"),
        "bcce.tenant": known("tenant"),
        "bcce.region": target.region,
        "bcce.attempt_kind": if call.repair.is_some() { "repair" } else { "first" },
        "bcce.first_token_ms": report.first_token.map(millis),
        "bcce.service_tier": report.served.service_tier,
    });
    let Value::Object(mut attributes) = attributes else { return Map::new() };
    attributes.extend(report.usage.iter().flat_map(tokens));
    attributes.retain(|_, value| !value.is_null());
    attributes
}

/// Returns the number with the fewest digits that is the same `f32`. A cast to `f64` makes 0.699999988079071 of 0.7.
fn shortest(value: f32) -> Option<f64> {
    value.to_string().parse().ok()
}

/// Returns the tokens of a call. OpenTelemetry counts cached tokens as input tokens.
fn tokens(usage: &Usage) -> [(String, Value); 4] {
    let written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens;
    let unless_none = |tokens: u64| if tokens == 0 { Value::Null } else { tokens.into() };
    [
        ("gen_ai.usage.input_tokens", usage.prompt_tokens().into()),
        ("gen_ai.usage.output_tokens", usage.output_tokens.into()),
        ("gen_ai.usage.cache_read.input_tokens", unless_none(usage.cache_read_tokens)),
        ("gen_ai.usage.cache_creation.input_tokens", unless_none(written)),
    ]
    .map(|(name, tokens)| (name.to_owned(), tokens))
}

#[cfg(test)]
mod tests;
