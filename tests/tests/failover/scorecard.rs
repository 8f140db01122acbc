//! A table of faults. For each one the test checks the result of the run, the calls to each region, the recorded
//! attempts, usage and cost, the time that it takes, and the breakers.

use std::time::Duration;

use bcce_core::failover::breaker::Breaker;
use bcce_tests::harness::stack::{Layout, RunRef, Stack, fresh, model};
use futures::StreamExt;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::time;

use crate::breakers::{EAST, WEST, breaker, regions};

/// The longest silence that [`Layout::Quick`] allows a target.
const SILENCE: Duration = Duration::from_secs(2);

struct Fault {
    name: &'static str,
    layout: Layout,
    script: &'static str,
    /// The status of the run, and the name of its error.
    ends: (&'static str, Option<&'static str>),
    /// The number of calls to us-east-1 and to us-west-2.
    calls: (usize, usize),
    /// The error name of each attempt. An answer has an empty one.
    attempts: &'static [&'static str],
    /// The time after which the failed call is given up.
    silence: Duration,
    /// The usage of the failed calls.
    used: Used,
    /// The state of the breakers of us-east-1 and us-west-2 afterwards.
    held: (Held, Held),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Used {
    /// No tokens, because the service refused the call.
    Nothing,
    /// The stream reported the usage, but was not a valid answer.
    Reported,
    /// The usage was not reported, and the service may have charged for it.
    Unknown,
}

/// The state of a target's breaker.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Held {
    Nothing,
    /// One failure is counted, and more of them open the breaker.
    Failure,
    /// The breaker is open for at least so many seconds from the start of the run.
    Open(i64),
    /// The breaker is open until a day begins, or until its second hour begins.
    ForTheDay,
}

use Held::{Failure, ForTheDay, Nothing, Open};
use Layout::{Quick, Two};

const SUCCEEDED: (&str, Option<&str>) = ("SUCCEEDED", None);
const THROTTLED: &str = "Bcce.TargetThrottled";
const UNAVAILABLE: &str = "Bcce.TargetUnavailable";
const TIMEOUT: &str = "Bcce.TargetTimeout";
const BROKEN: &str = "Bcce.TargetBroken";
const REJECTED: &str = "Bcce.TargetRejected";
const REQUEST: &str = "Bcce.RequestRejected";
const GUARDRAIL: &str = "Bcce.GuardrailIntervened";

/// Returns a fault of the first region, after which the second region answers.
const fn moves_on(
    name: &'static str,
    script: &'static str,
    attempts: &'static [&'static str],
) -> Fault {
    Fault {
        name,
        layout: Two,
        script,
        ends: SUCCEEDED,
        calls: (1, 1),
        attempts,
        silence: Duration::ZERO,
        used: Used::Nothing,
        held: (Failure, Nothing),
    }
}

/// Returns a fault like [`moves_on`] of a call that the service had accepted, so that its usage is unknown.
const fn unknown(
    name: &'static str,
    script: &'static str,
    attempts: &'static [&'static str],
) -> Fault {
    Fault { used: Used::Unknown, ..moves_on(name, script, attempts) }
}

/// Returns a fault like [`unknown`] that is found by silence.
const fn silent(name: &'static str, script: &'static str) -> Fault {
    Fault { layout: Quick, silence: SILENCE, ..unknown(name, script, &[TIMEOUT, ""]) }
}

/// Returns a fault that a person has to correct, so that the breaker of the first region's target opens for minutes.
const fn rejects(name: &'static str, script: &'static str) -> Fault {
    Fault { held: (Open(290), Nothing), ..moves_on(name, script, &[REJECTED, ""]) }
}

/// Returns a fault of the request, which no other target would accept, so that only one is called.
const fn fails(
    name: &'static str,
    script: &'static str,
    attempts: &'static [&'static str],
) -> Fault {
    Fault {
        ends: ("FAILED", Some(attempts[0])),
        calls: (1, 0),
        held: (Nothing, Nothing),
        ..moves_on(name, script, attempts)
    }
}

fn faults() -> Vec<Fault> {
    vec![
        Fault {
            held: (Open(3), Nothing),
            ..moves_on(
                "429 once with Retry-After",
                "@model us-east-1: throttle(4), answer",
                &[THROTTLED, ""],
            )
        },
        moves_on(
            "429 for good in the first region",
            "@model us-east-1: throttle",
            &[THROTTLED, ""],
        ),
        moves_on("one 500", "@model us-east-1: internal, answer", &[UNAVAILABLE, ""]),
        moves_on("503 for good", "@model us-east-1: unavailable", &[UNAVAILABLE, ""]),
        unknown("connection reset", "@model us-east-1: reset", &[UNAVAILABLE, ""]),
        silent("accepts and never answers", "@model us-east-1: silent"),
        silent("a slow first token", "@model us-east-1: slow(5000)"),
        unknown("a stream cut in the middle", "@model us-east-1: cut", &[BROKEN, ""]),
        silent("a stream that stalls", "@model us-east-1: stall"),
        unknown("a frame with a wrong checksum", "@model us-east-1: bad-crc", &[BROKEN, ""]),
        Fault {
            used: Used::Reported,
            ..moves_on("a stream without messageStop", "@model us-east-1: no-stop", &[BROKEN, ""])
        },
        unknown(
            "a body that ends cleanly and early",
            "@model us-east-1: ends-early",
            &[BROKEN, ""],
        ),
        fails("context too long", "@model *: too-long", &[REQUEST]),
        Fault { used: Used::Reported, ..fails("guardrail", "@model *: guardrail", &[GUARDRAIL]) },
        Fault { used: Used::Reported, ..fails("content filter", "@model *: filtered", &[REQUEST]) },
        Fault {
            calls: (2, 1),
            attempts: &[UNAVAILABLE, REJECTED, ""],
            // The answer of us-east-1 clears its failure. The rejection opens the breaker of us-west-2 only.
            held: (Nothing, Open(290)),
            ..moves_on(
                "a second region that rejects",
                "@model us-east-1: unavailable, answer\n@model us-west-2: denied",
                &[],
            )
        },
        unknown(
            "throttled inside the stream",
            "@model us-east-1: stream-throttle",
            &[THROTTLED, ""],
        ),
        unknown(
            "an error inside the stream",
            "@model us-east-1: stream-error(internalServerException)",
            &[UNAVAILABLE, ""],
        ),
        Fault {
            held: (Nothing, Nothing),
            ..unknown(
                "the model fails inside the stream",
                "@model us-east-1: stream-error(modelStreamErrorException)",
                &[BROKEN, ""],
            )
        },
        Fault {
            held: (Open(1), Nothing),
            ..moves_on(
                "529 with Retry-After",
                "@model us-east-1: overloaded(2)",
                &[UNAVAILABLE, ""],
            )
        },
        moves_on("408", "@model us-east-1: model-timeout", &[TIMEOUT, ""]),
        Fault {
            held: (Nothing, Nothing),
            ..moves_on("424", "@model us-east-1: model-error", &[BROKEN, ""])
        },
        moves_on("a service quota", "@model us-east-1: quota", &[THROTTLED, ""]),
        // The error codes of the next ones blame the request, and only their texts name the target as the cause.
        rejects("a model that the account may not call", "@model us-east-1: not-allowed"),
        rejects("a guardrail that is not there", "@model us-east-1: no-guardrail"),
        rejects("a model that ConverseStream does not take", "@model us-east-1: no-such-action"),
        rejects("a service tier that is not there", "@model us-east-1: no-tier"),
        rejects("a Legacy model", "@model us-east-1: legacy"),
        rejects("a model at the end of its life", "@model us-east-1: retired"),
        rejects("an explicit deny", "@model us-east-1: explicit-deny"),
        rejects("a model without a subscription", "@model us-east-1: no-subscription"),
        rejects("a form that was never sent", "@model us-east-1: form-not-filled"),
        Fault {
            held: (ForTheDay, Nothing),
            ..moves_on(
                "a quota of the day",
                "@model us-east-1: too-many-tokens-per-day",
                &[THROTTLED, ""],
            )
        },
        Fault {
            held: (Open(290), Nothing),
            ..moves_on("access denied in one region", "@model us-east-1: denied", &[REJECTED, ""])
        },
        Fault {
            held: (Open(290), Nothing),
            ..moves_on("a model that is not there", "@model us-east-1: not-found", &[REJECTED, ""])
        },
    ]
}

/// Each fault of the table has the expected result, calls, usage, cost, delay and breakers.
#[tokio::test]
async fn each_fault_has_its_expected_result_calls_cost_and_breakers() {
    let stack = Stack::connect().await;
    let wrong = futures::stream::iter(faults())
        .map(|fault| look(&stack, fault))
        .buffer_unordered(4)
        .filter_map(|what| async { what })
        .collect::<Vec<String>>()
        .await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs a workflow with a fault, and returns what differs from the table.
async fn look(stack: &Stack, fault: Fault) -> Option<String> {
    let (model, id) = (model(fault.layout), fresh("fault"));
    let manifest = stack.explain_by(&model, &id, fault.script).await;
    let run = RunRef::first("default", "explain", &id);
    let ended = (manifest["status"].as_str().unwrap(), manifest["error"]["name"].as_str());
    let regions = regions(&run);
    let calls = |region: &str| regions.iter().filter(|called| *called == region).count();
    let mut wrong = Vec::new();
    if ended != fault.ends {
        wrong.push(format!("it ended as {ended:?}: {}", manifest["error"]));
    }
    if (calls(EAST), calls(WEST)) != fault.calls {
        wrong.push(format!("it called {regions:?}"));
    }
    let record = match ended {
        SUCCEEDED => run.step_key("answer", None),
        _ => run.failure_key("answer", None),
    };
    let record = stack.object(&record).await.expect("the record of the step");
    let record: Value = serde_json::from_slice(&record).unwrap();
    wrong.extend(recorded(&record, &fault));
    wrong.extend(delayed(&manifest, &record, &fault));
    wrong.extend(counted(&manifest, &fault));
    for (region, expected) in [(EAST, fault.held.0), (WEST, fault.held.1)] {
        let held = held(&breaker(stack, &model, region).await, &manifest);
        let is_held = match (expected, held) {
            (Open(least), Open(seconds)) => seconds >= least,
            (expected, found) => expected == found,
        };
        if !is_held {
            wrong.push(format!("{held:?} is held against {region}, not {expected:?}"));
        }
    }
    (!wrong.is_empty()).then(|| format!("{}: {}", fault.name, wrong.join("; ")))
}

/// Checks the attempts of the step, their usage and their cost.
fn recorded(artifact: &Value, fault: &Fault) -> Vec<String> {
    let mut wrong = Vec::new();
    let attempts = artifact["attempts"].as_array().unwrap();
    let classes: Vec<&str> =
        attempts.iter().map(|attempt| attempt["error"].as_str().unwrap_or_default()).collect();
    if classes != fault.attempts {
        wrong.push(format!("the attempts are {classes:?}"));
    }
    let (first, last) = (&attempts[0], &attempts[attempts.len() - 1]);
    let used = match &first["usage"] {
        Value::Null => Used::Unknown,
        usage if usage["output_tokens"] == 0 => Used::Nothing,
        _ => Used::Reported,
    };
    if used != fault.used {
        wrong.push(format!("the failed call used {used:?}: {}", first["usage"]));
    }
    // Known costs are summed, and a total that contains an unknown cost is `null`.
    let (cost, part) = (&artifact["cost_usd"], &artifact["priced_subtotal_usd"]);
    let known: f64 = attempts.iter().filter_map(|attempt| usd(&attempt["cost_usd"])).sum();
    let charged = usd(if used == Used::Unknown { part } else { cost }).unwrap_or(-1.0);
    let is_whole = cost.is_string() == (used != Used::Unknown);
    if !is_whole || (charged - known).abs() > 1e-9 || known < usd(&last["cost_usd"]).unwrap() {
        wrong.push(format!("it is charged with {cost}, or {part} as far as that is known"));
    }
    wrong
}

/// Checks that failing over takes less time than the rest of the same run, which enters a dozen states and calls five
/// functions. Waits that the router decided do not count.
fn delayed(manifest: &Value, artifact: &Value, fault: &Fault) -> Vec<String> {
    let attempts = artifact["attempts"].as_array().unwrap();
    let latency = |attempt: &Value| Duration::from_millis(attempt["latency_ms"].as_u64().unwrap());
    let (first, last) = (&attempts[0], &attempts[attempts.len() - 1]);
    let calls = at(&last["started_at"]) - at(&first["started_at"]) + latency(last);
    let all_else = at(&manifest["ended_at"]) - at(&manifest["started_at"]) - calls;
    let waits = artifact["decisions"].as_array().unwrap().iter();
    let waits: u64 = waits.filter_map(|decision| decision["wait_s"].as_u64()).sum();
    let in_calls: Duration = attempts.iter().map(latency).sum();
    let between = calls - in_calls - Duration::from_secs(waits);
    let mut wrong = Vec::new();
    // The next target is called inside the same invocation, without a further decision.
    let decisions = artifact["decisions"].as_array().unwrap().len();
    if decisions != if waits > 0 { 3 } else { 1 } {
        wrong.push(format!("it took {decisions} decisions"));
    }
    // After a wait, the state machine calls the router and `invoke` once more.
    if between > all_else * if waits > 0 { 2 } else { 1 } {
        wrong.push(format!("failing over took {between}, and all else {all_else}"));
    }
    if latency(first) > fault.silence + all_else {
        wrong.push(format!("the failed call took {:?}, and all else {all_else}", latency(first)));
    }
    wrong
}

/// Checks that the usage, which the ledger counts, has the calls of each region.
fn counted(manifest: &Value, fault: &Fault) -> Option<String> {
    let lines = manifest["usage_by_model"].as_array().unwrap();
    let calls = |region: &str| {
        let of = lines.iter().filter(|line| line["region"] == region);
        of.map(|line| line["calls"].as_u64().unwrap() as usize).sum::<usize>()
    };
    let failed: u64 = lines.iter().map(|line| line["failed_calls"].as_u64().unwrap()).sum();
    let all_failed = fault.attempts.iter().filter(|class| !class.is_empty()).count() as u64;
    let right = (calls(EAST), calls(WEST)) == fault.calls && failed == all_failed;
    (!right).then(|| format!("the usage is {}", manifest["usage_by_model"]))
}

fn usd(value: &Value) -> Option<f64> {
    value.as_str()?.parse().ok()
}

/// Returns the state of a breaker after a run.
fn held(breaker: &Breaker, manifest: &Value) -> Held {
    match (breaker.open_until, breaker.failures) {
        (Some(until), _) if [time!(0:00), time!(1:00)].contains(&until.time()) => ForTheDay,
        (Some(until), _) => Open((until - at(&manifest["started_at"])).whole_seconds()),
        (None, 0) => Nothing,
        (None, _) => Failure,
    }
}

fn at(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().unwrap(), &Rfc3339).unwrap()
}
