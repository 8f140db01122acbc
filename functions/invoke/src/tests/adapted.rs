//! Tests of targets that do not take all that the step asks for, or cannot take the request at all.

use super::*;
use bcce_core::call::attempt::Cause;

fn misfits(cause: Cause) -> CallReport {
    let report = plain(ErrorName::RequestRejected);
    let message = "ValidationException (400): hunter2".to_owned();
    let blame = Blame::Fit(cause);
    let result = report.result.map_err(|failure| CallFailure { message, blame, ..failure });
    CallReport { result, ..report }
}

/// Stores a plan whose first target has a context of `tokens` tokens.
fn with_context(ports: &Fakes, tokens: u64) -> Request {
    planned(ports, |plan| {
        plan["routes"]["haiku"]["targets"][0]["context_tokens"] = json!(tokens);
        plan["routes"]["haiku"]["targets"][1]["context_tokens"] = json!(200_000);
    })
}

#[tokio::test]
async fn a_prompt_that_is_too_long_moves_on_to_a_larger_context() {
    let ports = ports([misfits(Cause::ContextTooLong), says("Long.", "end_turn")]);
    let request = with_context(&ports, 100_000);
    assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    assert_eq!(regions(&ports), ["us-east-1", "us-west-2"]);
    let attempt = &artifact(&ports)["attempts"][0];
    assert_eq!(
        (&attempt["error"], &attempt["cause"]),
        (&json!("Bcce.RequestRejected"), &json!("context_too_long"))
    );
    assert_eq!(breaker(&ports, "us-east-1").failures, 0, "nothing is wrong with the target");
}

#[tokio::test]
async fn a_prompt_that_is_too_long_for_the_largest_context_fails_at_once() {
    for tokens in [200_000, 300_000] {
        let ports = ports([misfits(Cause::ContextTooLong)]);
        let request = with_context(&ports, tokens);
        let Ok(Response::Failed { error, .. }) = handle(&ports, request, AMPLE).await else {
            panic!("{tokens}")
        };
        assert_eq!(error.name, ErrorName::RequestRejected);
        assert!(!error.message.contains("hunter2"), "{error}");
        assert_eq!(regions(&ports).len(), 1, "{tokens}");
    }
}

#[tokio::test]
async fn a_target_as_small_as_one_that_was_too_small_is_not_asked() {
    let ports = ports([]);
    let mut request = with_context(&ports, 200_000);
    let Next::Targets(targets) = &request.next else { panic!() };
    let attempt = json!({
        "target": targets[0], "kind": "first", "outcome": "failed", "error": "Bcce.RequestRejected",
        "cause": "context_too_long", "started_at": "2026-11-01T12:00:00Z", "latency_ms": 1,
    });
    request.attempts = vec![serde_json::from_value(attempt).unwrap()];
    let Ok(Response::Exhausted { attempts }) = handle(&ports, request, AMPLE).await else {
        panic!()
    };
    assert_eq!(attempts.len(), 1, "no further call was made");
}

#[tokio::test]
async fn a_schema_that_cannot_be_compiled_is_in_the_prompt_once() {
    let ports = ports([misfits(Cause::GrammarTooLarge), says(r#"{"ok":true}"#, "end_turn")]);
    let request = json_request(&ports);
    assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    assert_eq!(regions(&ports), ["us-east-1", "us-east-1"]);
    let asked = ports.caller.model.asked.borrow();
    assert!(asked[0].schema.is_some() && !asked[0].system.contains("JSON schema"));
    assert!(asked[1].schema.is_none() && asked[1].system.contains("JSON schema"));
    let attempts = &artifact(&ports)["attempts"];
    assert_eq!(attempts[0]["cause"], "grammar_too_large");
    let adapted = attempts[1]["adapted"][0].as_str().unwrap();
    let expected = "the schema is in the prompt: the service refused it before";
    assert!(adapted.contains(expected), "{adapted}");
}

/// The calls after the refusal, to the same target and to the next one, have the schema in the prompt.
#[tokio::test]
async fn a_refused_schema_is_not_sent_to_another_target() {
    let throttled = plain(ErrorName::TargetThrottled);
    let ports =
        ports([misfits(Cause::GrammarTooLarge), throttled, says(r#"{"ok":true}"#, "end_turn")]);
    assert_eq!(handle(&ports, json_request(&ports), AMPLE).await, Ok(ANSWERED));
    let asked = ports.caller.model.asked.borrow();
    let schemas: Vec<bool> = asked.iter().map(|asked| asked.schema.is_some()).collect();
    assert_eq!(schemas, [true, false, false]);
    assert_eq!(regions(&ports), ["us-east-1", "us-east-1", "us-west-2"]);
}

#[tokio::test]
async fn the_attempt_says_what_its_target_does_not_take() {
    let ports = ports([plain(ErrorName::TargetUnavailable), says("Yes.", "end_turn")]);
    let request = planned(&ports, |plan| {
        plan["steps"][0]["effort"] = json!("max");
        plan["takes"]["haiku"][0]["effort"] = json!(["high", "max"]);
        plan["takes"]["haiku"][1]["effort"] = json!([]);
    });
    assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    let artifact = artifact(&ports);
    assert_eq!(artifact["attempts"][0]["adapted"], Value::Null);
    let expected = json!(["effort max is left out: the target takes none"]);
    assert_eq!(artifact["attempts"][1]["adapted"], expected);
}

#[tokio::test]
async fn an_answer_without_text_says_that_thinking_took_its_place() {
    let mut report = says("", "max_tokens");
    report.result.as_mut().unwrap().thought = true;
    let ports = ports([report]);
    let Ok(Response::Failed { error, .. }) = handle(&ports, request(), AMPLE).await else {
        panic!()
    };
    assert_eq!(error.name, ErrorName::OutputInvalid);
    assert!(error.message.contains("thinking used all of them"), "{error}");
    assert!(error.message.contains("raise steps.answer.max_tokens"), "{error}");
}

fn silent() -> CallReport {
    let report = plain(ErrorName::TargetTimeout);
    let blame = Blame::Limit(Limit::FirstToken);
    CallReport { result: report.result.map_err(|f| CallFailure { blame, ..f }), ..report }
}

#[tokio::test]
async fn the_first_call_with_a_schema_may_be_silent_for_longer_and_is_not_held_against_the_target()
{
    let ports = ports([silent(), says(r#"{"ok":true}"#, "end_turn")]);
    assert_eq!(handle(&ports, json_request(&ports), AMPLE).await, Ok(ANSWERED));
    assert_eq!(breaker(&ports, "us-east-1").failures, 0);
    let waited: Vec<u64> =
        ports.caller.model.asked.borrow().iter().map(|a| a.first_token_s).collect();
    assert_eq!(waited, [180, 180], "neither region has answered with the schema");
}

/// One instance of the function reads from the ledger what another one recorded.
#[tokio::test]
async fn a_schema_that_was_compiled_is_waited_for_as_for_any_answer() {
    let first = ports([says(r#"{"ok":true}"#, "end_turn")]);
    handle(&first, json_request(&first), AMPLE).await.unwrap();
    let mut ports = ports([silent(), says(r#"{"ok":true}"#, "end_turn")]);
    ports.caller.health = SharedBreakers::new(*first.caller.health.ledger());
    assert_eq!(handle(&ports, json_request(&ports), AMPLE).await, Ok(ANSWERED));
    assert_eq!(
        breaker(&ports, "us-east-1").failures,
        1,
        "it has compiled the schema and is silent"
    );
    let waited: Vec<u64> =
        ports.caller.model.asked.borrow().iter().map(|a| a.first_token_s).collect();
    assert_eq!(waited, [30, 180]);
}

#[tokio::test]
async fn a_schema_that_was_refused_is_not_sent_by_another_function_either() {
    let first = ports([misfits(Cause::GrammarTooLarge), says(r#"{"ok":true}"#, "end_turn")]);
    handle(&first, json_request(&first), AMPLE).await.unwrap();
    let mut ports = ports([says(r#"{"ok":true}"#, "end_turn")]);
    ports.caller.health = SharedBreakers::new(*first.caller.health.ledger());
    assert_eq!(handle(&ports, json_request(&ports), AMPLE).await, Ok(ANSWERED));
    let asked = ports.caller.model.asked.borrow();
    assert!(asked[0].schema.is_none() && asked[0].system.contains("JSON schema"));
}

#[tokio::test]
async fn a_call_that_may_compile_a_schema_measures_no_target() {
    let ports = ports([says(r#"{"ok":true}"#, "end_turn")]);
    let request = planned(&ports, |plan| {
        wants_json(plan);
        plan["routes"]["haiku"]["routing"]["strategy"] = json!("latency");
    });
    assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    assert!(ports.caller.health.ledger().latencies.borrow().is_empty());
}
