use rust_decimal::Decimal;
use serde_json::json;
use time::OffsetDateTime;
use time::macros::{date, datetime};

use super::*;
use crate::base::target::tests::target;
use crate::base::usage::Usage;
use crate::call::attempt::tests::failed;
use crate::config::policy::Policy;
use crate::config::profiles::Profile;
use crate::run::artifact::{FinishedStep, StepRecord};
use crate::run::call_log::{LoggedCall, LoggedStep};
use crate::run::ids::{Run, RunRef};
use crate::run::manifest::Manifest;

const NOON: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

fn answered(at: OffsetDateTime, usage: Usage, cost: i64) -> Attempt {
    Attempt {
        outcome: AttemptOutcome::Answered,
        error: None,
        started_at: at,
        latency_ms: 900,
        first_token_ms: Some(120),
        usage: Some(usage),
        cost_usd: Some(Decimal::new(cost, 6)),
        ..failed("us-east-1", ErrorName::Internal)
    }
}

fn plan() -> Plan {
    let request = json!({ "workflow": "code-review", "inputs": { "diff": "+x" } });
    crate::run::plan::tests::plan(request, Policy::default()).unwrap()
}

/// Returns the manifest of a run whose steps made these calls.
fn lines(plan: &Plan, calls: &[(&str, Attempt)], lost: &[&str]) -> Manifest {
    let answers = calls.iter().map(|(step, attempt)| FinishedStep {
        record: StepRecord {
            version: 1,
            run_id: "r".into(),
            attempt_no: 1,
            step_id: (*step).into(),
            item: None,
            decisions: vec![],
            attempts: vec![attempt.clone()],
            cached_from: None,
            totals: Totals::of([attempt]),
        },
        truncated: false,
    });
    let logged_calls = lost.iter().map(|step| LoggedStep {
        step: (*step).into(),
        item: None,
        call: LoggedCall::new(NOON + time::Duration::HOUR, target("us-east-1")),
        is_committed: false,
    });
    sealed(plan, answers.collect(), logged_calls.collect())
}

fn sealed(plan: &Plan, answers: Vec<FinishedStep>, logged_calls: Vec<LoggedStep>) -> Manifest {
    let run = Run {
        reference: RunRef::first("default", "code-review", "m-1"),
        execution_arn: "arn".into(),
        started_at: NOON,
    };
    Manifest::seal(Evidence {
        run: &run,
        plan: Some(plan),
        artifacts: vec![],
        answers,
        failures: vec![],
        broken: vec![],
        logged_calls,
        fault: None,
        ending: None,
        ended_at: NOON,
    })
}

fn input(tokens: u64) -> Usage {
    Usage { input_tokens: tokens, ..Usage::default() }
}

#[test]
fn a_line_names_the_model_behind_an_arn() {
    let mut plan = plan();
    let arn = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a1b2";
    let regions = vec!["us-east-1".to_owned()];
    let (region, id, model) = ("us-east-1".into(), arn.into(), "anthropic.c".into());
    let route = plan.routes.get_mut("haiku").unwrap();
    route.profiles.0.push(Profile { region, id, model, regions });
    let mut called = answered(NOON, input(7), 1);
    called.target.model_id = arn.into();
    let direct = answered(NOON, input(7), 1);
    let lines = lines(&plan, &[("tests", called), ("tests", direct)], &[]).usage_by_model;
    let of = |line: &UsageLine| (line.model_id.clone(), line.resolved_id().to_owned());
    let us = "us.anthropic.claude-haiku-5-5";
    let expected = [(arn, "anthropic.c"), (us, us)].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(lines.iter().map(of).collect::<Vec<_>>(), expected);
}

#[test]
fn calls_of_another_step_target_day_tier_or_price_have_a_line_of_their_own() {
    let mut plan = plan();
    let long = plan.prices.values_mut().flat_map(|rows| &mut rows.0);
    long.for_each(|row| {
        let price = row.price;
        row.long_prompt = Some(crate::config::pricing::LongPrompt { above_tokens: 50, price });
    });
    let one = answered(NOON, input(7), 1);
    let elsewhere = Attempt { target: target("us-west-2"), ..one.clone() };
    let late = answered(datetime!(2026-11-01 23:30 -1), input(7), 1);
    let flex = Attempt { service_tier: Some("flex".into()), ..one.clone() };
    let bulk = Attempt { kind: AttemptKind::Bulk, ..one.clone() };
    let default = Attempt { service_tier: Some("default".into()), ..one.clone() };
    let calls = [
        ("tests", one.clone()),
        ("tests", one.clone()),
        ("tests", default),
        ("tests", elsewhere),
        ("tests", late),
        ("tests", flex),
        ("tests", bulk),
        ("tests", answered(NOON, input(51), 1)),
        ("verdict", one),
    ];
    let lines = lines(&plan, &calls, &[]).usage_by_step;
    let of = |line: &StepUsage| {
        let StepUsage { day, step, tier, long_prompt, line, .. } = line;
        format!("{day} {step} {} {tier} {long_prompt} {}", line.region, line.calls)
    };
    let found: Vec<String> = lines.iter().map(of).collect();
    assert_eq!(
        found,
        [
            "2026-11-01 tests us-east-1 batch false 1",
            "2026-11-01 tests us-east-1 default false 3",
            "2026-11-01 tests us-east-1 default true 1",
            "2026-11-01 tests us-east-1 flex false 1",
            "2026-11-01 tests us-west-2 default false 1",
            "2026-11-01 verdict us-east-1 default false 1",
            "2026-11-02 tests us-east-1 default false 1",
        ]
    );
    let bulk = &lines[0].detail;
    assert!(bulk.answer.is_empty(), "the time of a job is no latency");
    assert_eq!(lines[1].detail.answer.count(), 3);
}

#[test]
fn the_lines_add_up_to_the_totals_and_the_models() {
    let cut =
        Attempt { usage: None, cost_usd: None, ..failed("us-west-2", ErrorName::TargetBroken) };
    let invalid = Attempt {
        outcome: AttemptOutcome::Failed,
        error: Some(ErrorName::OutputInvalid),
        ..answered(NOON, input(3), 30)
    };
    let calls = [("tests", answered(NOON, input(7), 100)), ("tests", invalid), ("verdict", cut)];
    let manifest = lines(&plan(), &calls, &["security"]);
    let mut sum = UsageLine::default();
    manifest.usage_by_step.iter().for_each(|step| sum.add(&step.line));
    assert_eq!(sum.totals.known_cost(), manifest.totals.known_cost());
    assert_eq!((sum.calls, sum.failed_calls, sum.unknown_calls, sum.lost_calls), (4, 3, 2, 1));
    let by_model: Vec<_> =
        manifest.usage_by_model.iter().map(|line| (line.calls, line.runs)).collect();
    assert_eq!(by_model, [(3, 1), (1, 1)]);
    let of = |step: &str| manifest.usage_by_step.iter().find(|line| line.step == step).unwrap();
    assert_eq!(of("tests").detail.failed_cost_usd, Decimal::new(30, 6));
    assert_eq!(of("tests").detail.errors, [("Bcce.OutputInvalid".to_owned(), 1)].into());
    assert_eq!(of("tests").detail.first_token.count(), 1, "an invalid answer is no answer");
    let lost = of("security");
    assert_eq!((lost.line.lost_calls, lost.line.totals.cost_usd), (1, None));
    assert!(lost.detail.errors.is_empty());
}

fn output(tokens: u64) -> Usage {
    Usage { output_tokens: tokens, ..input(7) }
}

/// Returns the detail of the only line of a run whose steps made these calls.
fn detail(calls: &[(&str, Attempt)]) -> Detail {
    let mut found = lines(&plan(), calls, &[]).usage_by_step;
    assert_eq!(found.len(), 1);
    found.remove(0).detail
}

#[test]
fn the_length_of_each_answer_is_counted_also_if_it_is_invalid_or_of_a_bulk_job() {
    let invalid = Attempt {
        outcome: AttemptOutcome::Failed,
        error: Some(ErrorName::OutputInvalid),
        ..answered(NOON, output(900), 30)
    };
    let unknown = Attempt { usage: None, cost_usd: None, ..answered(NOON, output(1), 1) };
    let throttled = failed("us-east-1", ErrorName::TargetThrottled);
    let answer = answered(NOON, output(30), 1);
    let found =
        detail(&[("tests", answer), ("tests", invalid), ("tests", unknown), ("tests", throttled)]);
    let lengths = |detail: &Detail| (detail.answer_tokens.count(), detail.answer_tokens.highest());
    assert_eq!(lengths(&found), (2, Some(959)), "900 tokens are in the bucket that ends there");
    let bulk = Attempt { kind: AttemptKind::Bulk, ..answered(NOON, output(30), 1) };
    assert_eq!(lengths(&detail(&[("tests", bulk)])), (1, Some(31)));
}

#[test]
fn the_time_of_calls_that_failed_over_is_counted() {
    let throttled = Attempt { latency_ms: 40, ..failed("us-east-1", ErrorName::TargetThrottled) };
    let refused = Attempt { latency_ms: 900, ..failed("us-east-1", ErrorName::RequestRejected) };
    let found = detail(&[("tests", throttled.clone()), ("tests", throttled), ("tests", refused)]);
    assert_eq!(found.failed_over_ms, 80, "no other target is tried for a rejected request");
}

#[test]
fn answers_that_max_tokens_cut_are_counted_once_for_each_step_execution() {
    let plan = plan();
    let invalid = Attempt { outcome: AttemptOutcome::Failed, ..answered(NOON, output(9), 1) };
    let line_of = |truncated: bool| {
        let attempts = vec![invalid.clone(), answered(NOON, output(9), 1)];
        let totals = Totals::of(&attempts);
        let record = StepRecord {
            version: 1,
            run_id: "r".into(),
            attempt_no: 1,
            step_id: "tests".into(),
            item: None,
            decisions: vec![],
            attempts,
            cached_from: None,
            totals,
        };
        sealed(&plan, vec![FinishedStep { record, truncated }], vec![]).usage_by_step.remove(0)
    };
    assert_eq!(line_of(true).detail.cut_answers, 1);
    let whole = line_of(false);
    assert_eq!(whole.detail.cut_answers, 0);
    let mut sum = line_of(true);
    sum.add(&whole);
    sum.add(&line_of(true));
    assert_eq!((sum.detail.cut_answers, sum.detail.answer_tokens.count()), (2, 6));
}

#[test]
fn the_cache_is_compared_with_input_at_the_price_of_the_call() {
    let plan = plan();
    let price = plan.prices[&target("us-east-1").model_id].on(date!(2026 - 11 - 01)).unwrap().price;
    let cached = Usage {
        cache_read_tokens: 1_000,
        cache_write_5m_tokens: 100,
        cache_write_1h_tokens: 10,
        ..input(5)
    };
    let usd =
        |tokens: i64, price: Decimal| Decimal::from(tokens) * price / Decimal::from(1_000_000);
    let saved = usd(1_000, price.input - price.cache_read);
    let extra =
        usd(100, price.cache_write_5m - price.input) + usd(10, price.cache_write_1h - price.input);
    let detail =
        |call: Attempt| lines(&plan, &[("tests", call)], &[]).usage_by_step.remove(0).detail;
    let found = detail(answered(NOON, cached, 1));
    assert_eq!((found.cache_saved_usd, found.cache_extra_usd), (saved, extra));
    assert!(saved > Decimal::ZERO && extra > Decimal::ZERO);
    let before = detail(answered(datetime!(2020-01-01 0:00 UTC), cached, 1));
    assert_eq!(before.cache_saved_usd, Decimal::ZERO, "there is no price of that day");
}

#[test]
fn a_line_is_read_back_as_it_was_written() {
    let calls = [("tests", answered(NOON, input(7), 1)), ("tests", answered(NOON, input(8), 2))];
    let line = lines(&plan(), &calls, &[]).usage_by_step.remove(0);
    let json = serde_json::to_value(&line).unwrap();
    assert_eq!((&json["answer"], &json["first_token"]), (&json!([[62, 2]]), &json!([[39, 2]])));
    assert_eq!((json.get("runs"), json.get("errors")), (None, None));
    assert_eq!(serde_json::from_value::<StepUsage>(json).unwrap(), line);
}

#[test]
fn the_runs_of_a_model_add_up_and_the_line_of_one_run_leaves_them_out() {
    let lines = lines(&plan(), &[("tests", answered(NOON, input(7), 1))], &[]).usage_by_model;
    let mut sum = Vec::new();
    (0..3).for_each(|_| add_usage(&mut sum, &lines));
    assert_eq!((sum.len(), sum[0].runs, sum[0].calls), (1, 3, 3));
    let runs = |line: &UsageLine| serde_json::to_value(line).unwrap().get("runs").cloned();
    assert_eq!((runs(&lines[0]), runs(&sum[0])), (None, Some(3.into())));
}
