//! The first screen: how the run went, in a headline, one or two sentences and four numbers.

use std::collections::BTreeSet;

use bcce_core::base::error::ErrorName;
use bcce_core::call::attempt::{Attempt, AttemptKind};
use bcce_core::run::artifact::StepRecord;
use bcce_core::run::notification::RunStatus;

use super::Reported;
use crate::figures::{self, count, plural};
use crate::report::page::{Number, Tone};
use crate::run::StepState;
use crate::run::timeline::has_failed;
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

pub fn error(reported: &Reported<'_>) -> Option<(String, String)> {
    let name = reported.record.error_name.clone()?;
    Some((name, reported.record.error_message.clone().unwrap_or_default()))
}

/// Returns a sentence about the calls: how many failed, and who answered instead.
pub fn lead(reported: &Reported<'_>) -> Option<String> {
    if reported.is_over() { failures(reported) } else { Some(so_far(reported)) }
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

/// Tells how many calls failed, with what and in which regions, and which regions answered in the same steps.
fn failures(reported: &Reported<'_>) -> Option<String> {
    let attempts = attempts(reported);
    let failed: Vec<&Attempt> = attempts.iter().copied().filter(|a| has_failed(a)).collect();
    let all = plural(attempts.len(), "call");
    if attempts.is_empty() {
        return None;
    }
    if failed.is_empty() {
        let regions = listed(attempts.iter().map(|attempt| &*attempt.target.region));
        let is_bulk = attempts.iter().all(|attempt| attempt.kind == AttemptKind::Bulk);
        return Some(match is_bulk {
            true => format!("Answered by a bulk job in {regions}."),
            false => format!("{all}, answered at the first try by {regions}."),
        });
    }
    let errors = listed(failed.iter().filter_map(|attempt| attempt.error).map(ErrorName::as_str));
    let regions = listed(failed.iter().map(|attempt| &*attempt.target.region));
    let which = match (failed.len(), attempts.len()) {
        (_, 1) => "The only call".to_owned(),
        (n, calls) if n == calls => format!("All {all}"),
        (n, _) => format!("{n} of {all}"),
    };
    Some(format!("{which} failed with {errors} in {regions}. {}", instead(reported)))
}

/// Tells who answered the step executions in which calls failed.
fn instead(reported: &Reported<'_>) -> String {
    let records = reported.executions().filter_map(|execution| execution.record);
    let failing: Vec<&StepRecord> =
        records.filter(|record| record.attempts.iter().any(has_failed)).collect();
    let answers: Vec<&Attempt> = failing
        .iter()
        .filter_map(|record| record.attempts.iter().find(|attempt| !has_failed(attempt)))
        .collect();
    let regions = listed(answers.iter().map(|attempt| &*attempt.target.region));
    let targets: BTreeSet<String> = failing
        .iter()
        .flat_map(|r| &r.attempts)
        .map(|attempt| attempt.target.to_string())
        .collect();
    match (answers.len(), failing.len()) {
        (0, _) if targets.len() == 1 => "No other target was called.".to_owned(),
        (0, _) => "No target answered.".to_owned(),
        (answered, all) if answered == all => format!("{regions} answered in the end."),
        (answered, all) => {
            format!("{regions} answered {answered} of these {all} step executions in the end.")
        }
    }
}

/// Lists texts, each once: `a, b and c`.
fn listed<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let texts: Vec<&str> = texts.collect::<BTreeSet<_>>().into_iter().collect();
    match texts.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => (*last).to_owned(),
        None => String::new(),
    }
}

pub fn numbers(reported: &Reported<'_>) -> Vec<Number> {
    let totals = reported.run.totals();
    let attempts = attempts(reported);
    let failed = attempts.iter().filter(|attempt| has_failed(attempt)).count();
    let usage = totals.usage.or(totals.known_usage).unwrap_or_default();
    let unknown =
        if totals.usage.is_none() && !attempts.is_empty() { ", and unknown ones" } else { "" };
    let platform = Number {
        value: reported.platform.map_or("unknown".to_owned(), figures::usd),
        label: "for AWS itself",
        note: match reported.platform {
            Some(_) => "without logs".to_owned(),
            None if !reported.is_over() => "known at the end".to_owned(),
            None if reported.run.packed_attempt().is_some() => "counted with its batch".to_owned(),
            None => "no manifest states it".to_owned(),
        },
    };
    let prices = reported.run.manifest.as_ref().and_then(|manifest| manifest.prices_date);
    let prices = prices.map(|date| format!("at the prices of {date}")).unwrap_or_default();
    vec![
        Number { value: figures::cost(&totals), label: "for tokens", note: prices },
        platform,
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
