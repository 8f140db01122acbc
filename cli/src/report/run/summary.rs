//! The first screen: how the run went, in a headline, one or two sentences and four numbers.

use bcce_core::call::attempt::Attempt;
use bcce_core::run::notification::RunStatus;

use super::Reported;
use crate::figures::{self, count, plural};
use crate::report::page::{Number, Tone};
use crate::run::StepState;
use crate::run::timeline::has_failed;
use crate::run::view::explained::names::Names;
use crate::tracked::Status;

pub fn tone(reported: &Reported<'_>) -> Tone {
    match reported.run.status() {
        Status::Over(RunStatus::Succeeded) => Tone::Good,
        Status::Over(RunStatus::Cancelled) => Tone::Warn,
        Status::Over(_) | Status::Finalizing(_) => Tone::Bad,
        Status::UnderWay | Status::Unknown => Tone::Neutral,
    }
}

pub fn headline(reported: &Reported<'_>) -> String {
    let took = figures::between(reported.record.started_at, reported.until());
    match reported.run.status() {
        Status::Over(RunStatus::Succeeded) => format!("Answered in {took}."),
        Status::Over(RunStatus::Cancelled) => format!("Cancelled after {took}."),
        Status::Over(_) => format!("Failed after {took}."),
        Status::Finalizing(_) => "Ended, and not finalized.".to_owned(),
        Status::UnderWay | Status::Unknown => format!("Under way for {took}."),
    }
}

/// Returns the sentences: the error, then how many calls failed and who answered instead.
pub fn lead(reported: &Reported<'_>) -> Vec<String> {
    let error = reported.record.error_name.as_ref().map(|name| {
        let message = reported.record.error_message.as_deref().unwrap_or_default();
        format!("{name}: {message}")
    });
    let calls = match reported.is_over() {
        true => failures(reported),
        false => Some(so_far(reported)),
    };
    error.into_iter().chain(calls).collect()
}

fn so_far(reported: &Reported<'_>) -> String {
    let executions = reported.account.executions;
    let ended = executions.iter().filter(|e| matches!(e.state, StepState::Ended(_))).count();
    match executions.len() {
        0 => "No plan was made so far.".to_owned(),
        all => format!(
            "{ended} of {} ended so far. The page shows those.",
            plural(all, "step execution")
        ),
    }
}

/// Tells which targets failed and which ones answered in the same steps.
fn failures(reported: &Reported<'_>) -> Option<String> {
    let attempts = attempts(reported);
    let names = Names::of(attempts.iter().map(|attempt| &attempt.target));
    let distinct = |of: &dyn Fn(&Attempt) -> bool| {
        let mut all: Vec<String> =
            attempts.iter().filter(|a| of(a)).map(|a| names.target(&a.target)).collect();
        all.sort();
        all.dedup();
        all.join(" and ")
    };
    let failed = attempts.iter().filter(|attempt| has_failed(attempt)).count();
    let answered = distinct(&|attempt| !has_failed(attempt));
    let all = plural(attempts.len(), "call");
    match (attempts.len(), failed) {
        (0, _) => None,
        (1, 0) => Some(format!("One call, answered by {answered}.")),
        (_, 0) => Some(format!("{all}, all answered by {answered}.")),
        (_, failed) if answered.is_empty() => {
            Some(format!("{all}, of which none was answered; {failed} failed."))
        }
        (_, failed) => {
            let by = distinct(&has_failed);
            Some(format!("{failed} of {all} failed in {by}. Answers came from {answered}."))
        }
    }
}

pub fn numbers(reported: &Reported<'_>) -> Vec<Number> {
    let totals = reported.run.totals();
    let attempts = attempts(reported);
    let failed = attempts.iter().filter(|attempt| has_failed(attempt)).count();
    let usage = totals.usage.or(totals.known_usage).unwrap_or_default();
    let unknown =
        if totals.usage.is_none() && !attempts.is_empty() { ", and unknown ones" } else { "" };
    let platform = match reported.platform {
        Some(usd) => format!("and {} for AWS itself", figures::usd(usd)),
        None => "without AWS itself".to_owned(),
    };
    vec![
        Number {
            value: figures::between(reported.record.started_at, reported.until()),
            label: "from start to end",
            note: format!("since {}", figures::stamp(reported.record.started_at)),
        },
        Number { value: figures::cost(&totals), label: "for tokens", note: platform },
        Number {
            value: count(figures::tokens_in(&usage) + usage.output_tokens),
            label: "tokens",
            note: format!(
                "{} in, {} out{unknown}",
                count(figures::tokens_in(&usage)),
                count(usage.output_tokens)
            ),
        },
        Number {
            value: count(attempts.len() as u64),
            label: "calls of a model",
            note: match failed {
                0 => "none failed".to_owned(),
                failed => format!("{failed} failed"),
            },
        },
    ]
}

fn attempts<'a>(reported: &Reported<'a>) -> Vec<&'a Attempt> {
    let records = reported.executions().filter_map(|execution| execution.record);
    records.flat_map(|record| &record.attempts).collect()
}
