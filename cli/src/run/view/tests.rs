use bcce_core::run::ids::RunRef;
use serde_json::json;

use super::*;
use crate::paint::render;
use crate::run::samples::*;

fn drawn(run: &Run) -> Vec<String> {
    let now = STARTED + std::time::Duration::from_millis(4_500);
    let lines = picture(run, Moment { now, since: STARTED, frame: 0 }, 100);
    lines.iter().map(|line| render(line, false, 100)).collect()
}

#[test]
fn a_run_under_way_shows_waves_steps_and_what_they_cost() {
    let run = RunRef::first("default", "code-review", "m-1").run_id;
    #[rustfmt::skip]
    assert_eq!(drawn(&review(&["summarise", "security"])), [
        &format!("{run}  RUNNING  4.5 s"),
        "",
        "     step         model   region     first token   time  tokens in  out     cost",
        " 1 ✓ summarise    haiku   us-east-1       300 ms  1.2 s      1,204  312  $0.0031",
        " 2 ⣾ correctness  sonnet                          2.3 s",
        "   ✓ security     sonnet  us-east-1       300 ms  1.2 s      1,204  312  $0.0031",
        "   ⣾ tests        haiku                           2.3 s",
        " 3 · verdict      sonnet",
        "",
        "2 of 5 steps · 2,408 tokens in, 624 out · $0.0062",
    ]);
}

#[test]
fn a_narrow_terminal_keeps_what_matters_most() {
    let moment = Moment { now: STARTED, since: STARTED, frame: 0 };
    let lines = picture(&review(&["summarise"]), moment, 60);
    let lines: Vec<String> = lines.iter().map(|line| render(line, false, 60)).collect();
    assert_eq!(lines[2], "     step         region      time  tokens in  out     cost");
    assert_eq!(lines[3], " 1 ✓ summarise    us-east-1  1.2 s      1,204  312  $0.0031");
}

#[test]
fn a_failover_shows_the_region_that_failed() {
    let lines = drawn(&failing_over());
    assert!(lines[3].starts_with(" 1 ✓ summarise    haiku   us-west-2"), "{lines:#?}");
    assert_eq!(lines[4], "     ↳ us-east-1 failed with Bcce.TargetThrottled after 40 ms");
}

#[test]
fn an_answer_that_was_cut_is_noted_below_its_step_and_in_a_log() {
    let mut run = review(&["summarise"]);
    let mut cut = step_record("correctness", json!([answer("us-east-1")]));
    cut["truncated"] = json!(true);
    let key = run.reference.step_key("correctness", None);
    run.absorb(&key, cut.to_string().as_bytes()).unwrap();
    let lines = drawn(&run);
    assert!(lines[4].contains("✓ correctness"), "{lines:#?}");
    assert_eq!(lines[5], "     the answer was cut by max_tokens");
    assert_eq!(lines.iter().filter(|line| line.contains("cut by")).count(), 1);
    let lines = super::lines::all(&run);
    assert!(lines.contains(&"correctness: the answer was cut by max_tokens".into()), "{lines:#?}");
}

#[test]
fn what_a_person_should_do_stands_behind_what_the_service_said() {
    let mut run = review(&[]);
    let mut denied = throttled();
    denied["message"] = json!("AccessDeniedException (403): no");
    denied["advice"] = json!("fill in the form");
    let step_record = step_record("summarise", json!([denied, answer("us-west-2")]));
    let key = run.reference.step_key("summarise", None);
    run.absorb(&key, step_record.to_string().as_bytes()).unwrap();
    let moment = Moment { now: STARTED, since: STARTED, frame: 0 };
    let detail = |messages| Detail { width: 200, attempts: usize::MAX, messages };
    let line = |messages| render(&table(&run, moment, detail(messages))[2], false, 200);
    assert!(line(true).ends_with(": AccessDeniedException (403): no; to do: fill in the form"));
    assert!(!line(false).contains("to do"), "{}", line(false));
}

#[test]
fn a_failed_step_says_why_and_nothing_after_it_runs() {
    let lines = drawn(&failed());
    assert_eq!(lines[7], "     1 earlier failed attempt");
    assert_eq!(lines[11], "     Bcce.NoTarget: the step's calls are used up");
    assert_eq!(lines[12], " 3 · verdict      sonnet");
}

#[test]
fn what_a_service_said_cannot_steer_the_terminal() {
    let moment = Moment { now: STARTED, since: STARTED, frame: 0 };
    let lines =
        table(&failing_over(), moment, Detail { width: 200, attempts: usize::MAX, messages: true });
    let said = render(&lines[2], false, 200);
    assert!(said.ends_with("after 40 ms: Too many [2J requests"), "{said}");
}

#[test]
fn a_run_is_over_when_its_record_is_closed() {
    let mut run = review(&["summarise"]);
    assert_eq!(run.status(), Status::UnderWay);
    run.note_record(record(1, RunStatus::Running));
    assert_eq!(run.status(), Status::UnderWay);
    run.note_record(record(1, RunStatus::Failed));
    assert_eq!(run.status(), Status::Over(RunStatus::Failed));
}

#[test]
fn an_execution_that_ended_without_a_manifest_is_noticed() {
    let mut run = review(&["summarise"]);
    run.note_record(record(1, RunStatus::Running));
    run.execution = Some("TIMED_OUT".into());
    assert_eq!(run.status(), Status::Finalizing("TIMED_OUT".into()));
}

/// The record is closed after the manifest is written. JSON must not say that the run is running in between.
#[test]
fn the_record_of_a_sealed_run_has_the_status_of_the_manifest() {
    let mut run = review(&["summarise"]);
    run.note_record(record(1, RunStatus::Running));
    assert_eq!(run.sealed_record().unwrap().status, RunStatus::Running);
    let manifest = String::from_utf8(crate::seal::tests::manifest(&run.reference, &[])).unwrap();
    let manifest = manifest.replace("SUCCEEDED", "CANCELLED");
    run.absorb(&run.reference.manifest_key(), manifest.as_bytes()).unwrap();
    run.execution = Some("ABORTED".into());
    let sealed = run.sealed_record().unwrap();
    assert_eq!(sealed.status, RunStatus::Cancelled);
    assert_eq!(sealed.manifest, Some(run.reference.manifest_key()));
    assert!(sealed.ended_at.is_some());
}

#[test]
fn without_execution_and_record_nothing_is_known() {
    let mut run = review(&[]);
    run.execution = None;
    assert_eq!(run.status(), Status::Unknown);
}

#[test]
fn a_retry_leaves_the_failures_of_the_attempt_before_aside() {
    let mut run = failed();
    run.note_record(record(2, RunStatus::Running));
    assert!(drawn(&run)[6].starts_with("   ⣾ tests"), "{:#?}", drawn(&run));
    let old = RunRef::first("default", "code-review", "m-1");
    let listed = [
        old.failure_key("tests", None),
        run.reference.manifest_key(),
        old.signature_key(),
        old.request_key(),
    ];
    assert_eq!(run.wanted(&listed), [run.reference.manifest_key()]);
}

#[test]
fn an_answer_from_the_response_cache_is_noted_below_its_step_and_in_a_log() {
    let mut run = review(&["summarise"]);
    let mut cached = step_record("correctness", json!([]));
    cached["cached_from"] = json!({
        "key": "runs/default/earlier/steps/correctness.answer.json", "sha256": "0", "run_id": "earlier",
        "target": { "region": "us-east-1", "model_id": "us.m" }, "stored_at": "2026-11-01T11:00:00Z",
    });
    let key = run.reference.step_key("correctness", None);
    run.absorb(&key, cached.to_string().as_bytes()).unwrap();
    let lines = drawn(&run);
    assert!(lines[4].contains("✓ correctness") && lines[4].ends_with("$0.0000"), "{lines:#?}");
    assert_eq!(lines[5], "     answered from the response cache, by run earlier");
    let lines = super::lines::all(&run);
    let expected = "correctness: answered from the response cache, by run earlier";
    assert!(lines.contains(&expected.into()), "{lines:#?}");
}

#[test]
fn a_narrow_terminal_shows_the_status_and_the_cost_of_a_run() {
    let now = time::macros::datetime!(2026-11-01 12:00:30 UTC);
    let picture = failing_over().picture(Moment { now, since: now, frame: 0 }, 40);
    let lines = crate::screen::broken(picture, 40);
    let lines: Vec<String> = lines.iter().map(|line| render(line, false, 40)).collect();
    let text = lines.join("\n");
    for part in ["RUNNING", "Bcce.TargetThrottled", "1.3 s  $0.0031\n", "1,204 tokens in"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(!text.contains('…'), "{text}");
}
