use rust_decimal::Decimal;
use serde_json::{Value, json};
use time::macros::{date, datetime};
use time::{Date, OffsetDateTime};

use super::*;
use crate::base::error::ErrorName;
use crate::base::target::Guardrail;
use crate::base::usage::Usage;
use crate::call::attempt::AttemptKind;
use crate::config::policy::Policy;
use crate::config::pricing::{LongPrompt, Price, PriceRow, PriceRows};
use crate::document::prompt::Prompt;
use crate::run::ids::RunRef;
use crate::run::plan::Plan;
use crate::run::plan::tests::of;

const ONE: &str = "version: 1\nname: w\ninputs:\n  texts: { type: list }\nsteps:\n- { id: a, model: haiku, prompt: p, system: s, max_tokens: 9, effort: max, cache: 5m, output: { type: json, schema: { type: object, properties: { a: { type: string } } } } }\n";

fn plan(template: &str, policy: Policy) -> Plan {
    of(template, json!({ "workflow": "w", "tags": { "team": "x" } }), policy).unwrap()
}

fn asked<R>(with: impl FnOnce(&Asking<'_>) -> R) -> R {
    let (plan, run) = (plan(ONE, Policy::default()), RunRef::first("default", "w", "1"));
    let prompt = Prompt {
        system: Some("s".into()),
        data_rule: Some("n".into()),
        user: "p".into(),
        ..Prompt::default()
    };
    let fit = fit(&plan, "us-east-1").unwrap();
    let (prompt, parameters) = (&prompt, &fit.parameters());
    with(&Asking { run: &run, plan: &plan, step: fit.step, prompt, parameters })
}

#[test]
fn a_record_is_a_body_of_converse_without_a_cache_point() {
    let line = asked(|asked| asked.line(7));
    assert_eq!(line.matches('\n').count(), 1);
    let record: Value = serde_json::from_str(&line).unwrap();
    let schema = &record["modelInput"]["outputConfig"]["textFormat"]["structure"]["jsonSchema"];
    let schema = schema["schema"].as_str().unwrap();
    let part: Value = serde_json::from_str(schema).unwrap();
    assert_eq!(part["additionalProperties"], json!(false));
    let expected = json!({ "recordId": "R0000000007", "modelInput": {
        "system": [{ "text": "s" }, { "text": "n" }],
        "messages": [{ "role": "user", "content": [{ "text": "p" }] }],
        "inferenceConfig": { "maxTokens": 9 },
        "additionalModelRequestFields": { "thinking": { "type": "adaptive" } },
        "outputConfig": { "effort": "max", "textFormat": { "type": "json_schema", "structure": {
            "jsonSchema": { "schema": schema, "name": "answer" } } } },
        "requestMetadata": { "team": "x", "tenant": "default", "workflow": "w", "step": "a",
            "run_id": RunRef::first("default", "w", "1").run_id },
    }});
    assert_eq!(record, expected);
}

#[test]
fn record_ids_are_eleven_characters_and_lead_back() {
    for n in [1, 999_999, 9_999_999_999] {
        assert_eq!((record_id(n).len(), item(&record_id(n))), (11, Some(n)));
    }
    for foreign in ["", "R", "R7", "X0000000007", "R000000000x", "R+000000007", "CALL0000001"] {
        assert_eq!(item(foreign), None, "{foreign}");
    }
}

fn response(text: &str, stop_reason: &str) -> Value {
    json!({
        "output": { "message": { "role": "assistant", "content": [
            { "reasoningContent": { "reasoningText": { "text": "hm" } } }, { "text": text } ] } },
        "stopReason": stop_reason,
        "usage": { "inputTokens": 1_000, "outputTokens": 100, "totalTokens": 1_100 },
    })
}

fn line(n: u64, key: &str, value: Value) -> String {
    format!("{}\n", json!({ "recordId": record_id(n), "modelInput": {}, key: value }))
}

fn returned(key: &str, value: Value) -> Returned {
    read(line(1, key, value).as_bytes()).records.remove(&1).unwrap()
}

#[test]
fn an_answer_is_text_without_reasoning_and_what_it_used() {
    let returned = returned("modelOutput", response("Yes.", "end_turn"));
    let answer = returned.result.unwrap();
    assert_eq!((answer.text.as_str(), answer.stop_reason.as_str()), ("Yes.", "end_turn"));
    let used = Usage { input_tokens: 1_000, output_tokens: 100, ..Usage::default() };
    assert_eq!(returned.usage, Some(used));
}

#[test]
fn an_error_gets_a_bcce_name_and_used_nothing() {
    use ErrorName::*;
    #[rustfmt::skip]
    let table = [
        (json!(400), "bad request", RequestRejected),
        (json!("400"), "bad request", RequestRejected),
        (json!(400), "The provided model identifier is invalid.", TargetRejected),
        (json!(408), "", TargetTimeout),
        (json!(429), "", TargetThrottled),
        (json!(503), "", TargetUnavailable),
        (json!("ThrottlingException"), "", TargetThrottled),
        (json!("RequestExpired"), "", TargetUnavailable),
        (json!("ExpiredTokenException"), "", TargetUnavailable),
        (json!("NewException"), "", TargetUnavailable),
        (Value::Null, "", TargetUnavailable),
    ];
    for (code, message, name) in table {
        let error = json!({ "errorCode": code, "errorMessage": message });
        let returned = returned("error", error.clone());
        assert_eq!(returned.result.unwrap_err().name, name, "{error}");
        assert_eq!(returned.usage, Some(Usage::default()), "{error}");
    }
}

#[test]
fn what_is_no_response_is_broken_and_may_have_been_paid() {
    for odd in [json!({ "content": "hunter2" }), json!("hunter2"), json!({ "output": {} })] {
        let returned = returned("modelOutput", odd);
        let failure = returned.result.unwrap_err();
        assert_eq!((failure.name, returned.usage), (ErrorName::TargetBroken, None));
        assert!(!failure.message.contains("hunter2"));
    }
    assert!(read(line(1, "x", json!(1)).as_bytes()).records[&1].result.is_err());
}

#[test]
fn a_line_that_cannot_be_read_is_reported_and_loses_nothing() {
    let good = |n| line(n, "modelOutput", response("Yes.", "end_turn"));
    let body = format!(
        "{}hunter2\n\r\n{{\"recordId\":\"hunter2\",\"modelOutput\":1}}\n{{\"modelOutput\":1}}\n{}{{\"recordId\":\"R00",
        good(2),
        good(1)
    );
    let output = read(body.as_bytes());
    assert_eq!(output.records.keys().collect::<Vec<_>>(), [&1, &2]);
    let expected = [
        "line 2: is not a valid record: column 1",
        "line 4: its recordId is not one that BCCE wrote",
        "line 5: has no recordId",
        "line 7: is not a valid record: column 16",
    ];
    assert_eq!(output.unreadable, expected);
}

#[test]
fn of_a_record_that_is_there_twice_the_first_answer_counts() {
    let error = line(1, "error", json!({ "errorCode": 500 }));
    let answer = |text: &str| line(1, "modelOutput", response(text, "end_turn"));
    let body = [error.clone(), answer("first"), error, answer("second")].concat();
    assert_eq!(read(body.as_bytes()).records[&1].result.as_ref().unwrap().text, "first");
}

fn took() -> Took {
    Took { from: datetime!(2026-11-01 12:00 UTC), to: datetime!(2026-11-01 13:00 UTC) }
}

fn taken(returned: &Returned) -> Taken {
    asked(|asked| {
        let target = fit(asked.plan, "us-east-1").unwrap().target;
        take(asked, target, took(), returned).unwrap()
    })
}

#[test]
fn an_answer_is_an_attempt_at_half_the_price() {
    let taken = taken(&returned("modelOutput", response("{}", "end_turn")));
    let answer = taken.result.unwrap();
    assert_eq!((answer.output.json, answer.truncated), (Some(json!({})), false));
    let attempt = taken.attempt;
    assert_eq!((attempt.kind, attempt.latency_ms), (AttemptKind::Bulk, 3_600_000));
    // (1000 x 0.1 + 100 x 0.5) x 1.1 / 2 per million tokens
    assert_eq!(attempt.cost_usd.unwrap().to_string(), "0.0000825");
}

#[test]
fn an_answer_that_does_not_fit_is_paid_and_is_none() {
    let taken = taken(&returned("modelOutput", response("no JSON", "end_turn")));
    assert_eq!(taken.result.unwrap_err().name, ErrorName::OutputInvalid);
    assert_eq!(taken.attempt.error, Some(ErrorName::OutputInvalid));
    assert!(taken.attempt.cost_usd.is_some_and(|cost| !cost.is_zero()));
    let filtered = self::taken(&returned("modelOutput", response("", "content_filtered")));
    assert_eq!(filtered.result.unwrap_err().name, ErrorName::RequestRejected);
    assert_eq!(filtered.attempt.message.unwrap(), "stopped: content_filtered");
}

#[test]
fn the_message_of_the_service_stays_in_the_attempt() {
    let error = json!({ "errorCode": 400, "errorMessage": "no hunter2 here" });
    let taken = taken(&returned("error", error));
    let fault = taken.result.unwrap_err();
    assert_eq!(fault.name, ErrorName::RequestRejected);
    assert!(fault.message.ends_with(": 400") && !fault.message.contains("hunter2"), "{fault}");
    assert_eq!(taken.attempt.message.as_deref(), Some("400: no hunter2 here"));
    assert_eq!(taken.attempt.cost_usd.unwrap().to_string(), "0");
}

#[test]
fn one_step_without_a_list_is_fit_in_its_region() {
    let plan = plan(ONE, Policy::default());
    let fit = fit(&plan, "us-west-2").unwrap();
    assert_eq!((fit.step.id.as_str(), fit.target.region.as_str()), ("a", "us-west-2"));
}

#[test]
fn what_is_not_fit_is_reported_why() {
    let two = ONE.to_owned() + "- { id: b, model: haiku, prompt: p }\n";
    let list = ONE.replace("id: a,", "id: a, for_each: inputs.texts,");
    let reported =
        |template: &str, region: &str| fit(&plan(template, Policy::default()), region).unwrap_err();
    assert_eq!(
        reported(&two, "us-east-1"),
        "the workflow has 2 steps; a bulk job needs exactly one"
    );
    let expected = "step a fans out over inputs.texts; in a bulk job it must not";
    assert_eq!(reported(&list, "us-east-1"), expected);
    let elsewhere = reported(ONE, "eu-west-1");
    assert!(elsewhere.starts_with("no target of haiku can run a bulk job: us."), "{elsewhere}");
    assert!(
        elsewhere.contains("must run in the stack's region, which is eu-west-1"),
        "{elsewhere}"
    );
}

#[test]
fn policy_guardrails_and_other_accounts_keep_a_target_out() {
    let mut plan = plan(ONE, Policy::default());
    let route = plan.routes.get_mut("haiku").unwrap();
    let own = route.targets[0].clone();
    assert_eq!(own.target.region, "us-east-1");
    let mut guarded = own.clone();
    guarded.target.guardrail = Some(Guardrail { id: "g".into(), version: "1".into(), name: None });
    let mut foreign = own.clone();
    foreign.target.account = Some("arn:aws:iam::1:role/x".into());
    let mut global = own.clone();
    global.target.model_id = "global.anthropic.claude-haiku-5-5".into();
    route.targets = vec![foreign.clone(), global.clone(), guarded.clone(), own.clone()];
    assert_eq!(fit(&plan, "us-east-1").unwrap().target, &global.target);
    let route = plan.routes.get_mut("haiku").unwrap();
    route.policy.allowed_regions = ["us-east-1", "us-east-2", "us-west-2"].map(String::from).into();
    assert_eq!(fit(&plan, "us-east-1").unwrap().target, &own.target);
    plan.routes.get_mut("haiku").unwrap().targets.pop();
    let reported = fit(&plan, "us-east-1").unwrap_err();
    for reason in ["not support a guardrail", "it is in another account", "residency: "] {
        assert!(reported.contains(reason), "{reason} is missing in {reported}");
    }
}

/// The list of targets here is one that the check of the models would refuse.
#[test]
fn a_job_does_not_leave_the_guardrail_of_the_first_target() {
    let mut plan = plan(ONE, Policy::default());
    let first = &mut plan.routes.get_mut("haiku").unwrap().targets[0];
    let rail = Guardrail { id: "g".into(), version: "1".into(), name: None };
    first.target.guardrail = Some(rail);
    let reported = fit(&plan, "us-east-1").unwrap_err();
    assert!(reported.contains("its guardrail differs from the first target's"), "{reported}");
}

/// Returns the cost of a record whose job started at `from`. The price is 1 at first, and 2 from 2026-11-02 on.
fn cost(from: OffsetDateTime, input_tokens: u64) -> Option<String> {
    let mut plan = plan(ONE, Policy::default());
    let million = |usd: i64| Decimal::from(usd * 1_000_000);
    let price = |usd: i64| Price {
        input: million(usd),
        output: million(usd),
        cache_read: million(usd),
        cache_write_5m: million(usd),
        cache_write_1h: million(usd),
    };
    let row = |day: Date, usd: i64, batch: i64| PriceRow {
        from: day,
        price: price(usd),
        long_prompt: Some(LongPrompt { above_tokens: 1_000, price: price(10 * usd) }),
        regional_factor: None,
        batch_factor: Some(Decimal::new(batch, 1)),
        tier_factors: Default::default(),
        source: None,
    };
    let rows = vec![row(date!(2026 - 11 - 01), 1, 5), row(date!(2026 - 11 - 02), 2, 2)];
    plan.prices.values_mut().for_each(|old| *old = PriceRows(rows.clone()));
    let run = RunRef::first("default", "w", "1");
    let prompt = Prompt { user: "p".into(), ..Prompt::default() };
    let fit = fit(&plan, "us-east-1").unwrap();
    let (prompt, parameters) = (&prompt, &fit.parameters());
    let asked = Asking { run: &run, plan: &plan, step: fit.step, prompt, parameters };
    let target = fit.target;
    let mut response = response("{}", "end_turn");
    response["usage"] =
        json!({ "inputTokens": input_tokens, "outputTokens": 0, "totalTokens": input_tokens });
    let took = Took { from, to: datetime!(2026-11-02 06:00 UTC) };
    let taken = take(&asked, target, took, &returned("modelOutput", response)).unwrap();
    assert_eq!(taken.attempt.is_unpriced(), taken.attempt.cost_usd.is_none());
    taken.attempt.cost_usd.map(|cost| cost.to_string())
}

#[test]
fn a_record_has_the_price_of_the_day_its_job_was_started_and_that_days_factor() {
    assert_eq!(cost(datetime!(2026-11-01 23:59:59 UTC), 100).unwrap(), "50");
    assert_eq!(cost(datetime!(2026-11-02 00:00 UTC), 100).unwrap(), "40");
    assert_eq!(cost(datetime!(2026-10-31 23:59:59 UTC), 100), None, "never 0");
}

#[test]
fn each_record_is_long_or_short_by_its_own_prompt() {
    assert_eq!(cost(datetime!(2026-11-01 12:00 UTC), 1_000).unwrap(), "500");
    assert_eq!(cost(datetime!(2026-11-01 12:00 UTC), 1_001).unwrap(), "5005");
}
