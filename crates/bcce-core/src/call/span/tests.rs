use std::collections::BTreeMap;

use super::*;
use crate::base::target::{Guardrail, Target, tests::target};
use crate::base::trace::tests::{ROOT, header};
use crate::call::model::{Blame, CallFailure, CallLimits, ModelAnswer, Repair, Served};
use crate::call::parameters::Parameters;
use crate::document::prompt::Prompt;

/// A text that stands for everything that must not be in a span.
const SECRET: &str = "hunter2";
const ENDED: Duration = Duration::from_millis(1_796_000_012_500);

fn limits() -> CallLimits {
    let time = Duration::from_secs(60);
    CallLimits { first_token: time, stall: time, attempt: time }
}

fn metadata() -> BTreeMap<String, String> {
    let entries = [
        ("run_id", "explain-1"),
        ("workflow", "explain"),
        ("step", "answer"),
        ("tenant", "default"),
        ("item", SECRET),
        ("title", SECRET),
    ];
    entries.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn report(result: Result<ModelAnswer, CallFailure>) -> CallReport {
    CallReport {
        result,
        latency: Duration::from_millis(2_500),
        first_token: Some(Duration::from_millis(420)),
        usage: Some(Usage {
            input_tokens: 7,
            output_tokens: 90,
            cache_read_tokens: 1_000,
            cache_write_5m_tokens: 0,
            cache_write_1h_tokens: 0,
        }),
        served: Served::default(),
    }
}

fn answer(stop_reason: &str) -> Result<ModelAnswer, CallFailure> {
    Ok(ModelAnswer { text: SECRET.into(), stop_reason: stop_reason.into(), thought: false })
}

fn failure(name: ErrorName) -> Result<ModelAnswer, CallFailure> {
    let message = format!("ValidationException (400): {SECRET}");
    let blame = Blame::Target;
    Err(CallFailure { name, message, advice: Some(SECRET.into()), retry_after_s: None, blame })
}

/// Returns the span of a call whose every text is secret.
fn span(target: &Target, parameters: &Parameters<'_>, report: &CallReport) -> Option<String> {
    let prompt = Prompt { user: SECRET.into(), ..Prompt::default() };
    let repair = Repair { answer: SECRET, fault: SECRET };
    let call = ModelCall {
        target,
        prompt: &prompt,
        repair: Some(repair),
        parameters,
        cache: None,
        metadata: metadata(),
        limits: limits(),
    };
    subsegment(&header(true), 0x00ab, &call, report, ENDED)
}

fn of(report: &CallReport) -> Value {
    let parameters = Parameters { max_tokens: 400, ..Parameters::default() };
    let span = span(&target("us-west-2"), &parameters, report).unwrap();
    serde_json::from_str(&span).unwrap()
}

#[test]
fn the_span_of_an_answer_has_the_names_of_open_telemetry() {
    let expected = json!({
        "name": "chat us.anthropic.claude-haiku-5-5",
        "id": "00000000000000ab",
        "trace_id": ROOT,
        "parent_id": "53995c3f42cd8ad8",
        "type": "subsegment",
        "namespace": "remote",
        "start_time": 1_796_000_010.0,
        "end_time": 1_796_000_012.5,
        "annotations": {
            "gen_ai_request_model": "us.anthropic.claude-haiku-5-5",
            "bcce_run_id": "explain-1",
            "bcce_step": "answer",
        },
        "metadata": { "default": {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "aws.bedrock",
            "gen_ai.request.model": "us.anthropic.claude-haiku-5-5",
            "gen_ai.request.max_tokens": 400,
            "gen_ai.response.finish_reasons": ["end_turn"],
            "gen_ai.usage.input_tokens": 1_007,
            "gen_ai.usage.output_tokens": 90,
            "gen_ai.usage.cache_read.input_tokens": 1_000,
            "bcce.run_id": "explain-1",
            "bcce.workflow": "explain",
            "bcce.step": "answer",
            "bcce.tenant": "default",
            "bcce.region": "us-west-2",
            "bcce.attempt_kind": "repair",
            "bcce.first_token_ms": 420,
        } },
    });
    assert_eq!(of(&report(answer("end_turn"))), expected);
}

#[test]
fn a_failed_call_has_its_error_name_and_the_flags_of_x_ray() {
    for (result, name, flags) in [
        (failure(ErrorName::TargetThrottled), "Bcce.TargetThrottled", [true, true, false]),
        (failure(ErrorName::TargetTimeout), "Bcce.TargetTimeout", [false, false, true]),
        (failure(ErrorName::RequestRejected), "Bcce.RequestRejected", [true, false, false]),
        (answer("guardrail_intervened"), "Bcce.GuardrailIntervened", [true, false, false]),
    ] {
        let span = of(&report(result));
        assert_eq!(span["annotations"]["error_type"], name);
        assert_eq!(span["metadata"]["default"]["error.type"], name);
        let set = ["error", "throttle", "fault"].map(|flag| span[flag] == true);
        assert_eq!(set, flags, "{name}");
    }
}

/// A datagram has to stay far below the 64 KiB of a segment document, and a trace below 500 kB.
#[test]
fn a_span_is_small_and_has_no_text_and_no_tag() {
    let long = Target {
        model_id: format!("arn:aws:bedrock:us-east-1:1:inference-profile/{}", "m".repeat(250)),
        guardrail: Some(Guardrail { id: "abcdefghijkl".into(), version: "1".into(), name: None }),
        ..target("us-east-1")
    };
    let schema = json!({ "type": "object", "description": SECRET });
    let parameters = Parameters {
        max_tokens: 64_000,
        temperature: Some(0.7),
        schema: Some(schema),
        adapted: vec![SECRET.into()],
        ..Parameters::default()
    };
    for result in [answer("max_tokens"), failure(ErrorName::TargetUnavailable)] {
        let span = span(&long, &parameters, &report(result)).unwrap();
        assert!(!span.contains(SECRET), "{span}");
        assert!(span.len() < 2_500, "{} bytes", span.len());
        let span: Value = serde_json::from_str(&span).unwrap();
        assert_eq!(span["name"].as_str().unwrap().chars().count(), MAX_NAME_CHARS);
        let attributes = &span["metadata"]["default"];
        assert_eq!(attributes["aws.bedrock.guardrail.id"], "abcdefghijkl");
        assert_eq!(attributes["gen_ai.output.type"], "json");
        assert_eq!(attributes["gen_ai.request.temperature"].to_string(), "0.7");
        for name in span["annotations"].as_object().unwrap().keys() {
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{name}");
        }
    }
}

#[test]
fn unknown_tokens_are_left_out() {
    let cut = CallReport { usage: None, ..report(failure(ErrorName::TargetBroken)) };
    let span = of(&cut);
    let attributes = span["metadata"]["default"].as_object().unwrap();
    assert!(attributes.keys().all(|name| !name.starts_with("gen_ai.usage")), "{span}");
}

#[test]
fn only_a_recorded_trace_gets_spans() {
    let (target, parameters, prompt) =
        (target("us-east-1"), Parameters::default(), Prompt::default());
    let call = ModelCall {
        target: &target,
        prompt: &prompt,
        repair: None,
        parameters: &parameters,
        cache: None,
        metadata: BTreeMap::new(),
        limits: limits(),
    };
    let report = report(answer("end_turn"));
    let of = |header: TraceHeader| subsegment(&header, 1, &call, &report, ENDED);
    assert_eq!(of(header(false)), None);
    assert_eq!(of(TraceHeader { parent: None, ..header(true) }), None);
    let span: Value = serde_json::from_str(&of(header(true)).unwrap()).unwrap();
    assert_eq!(span["metadata"]["default"]["bcce.attempt_kind"], "first");
    assert_eq!(span["metadata"]["default"]["bcce.run_id"], Value::Null);
}
