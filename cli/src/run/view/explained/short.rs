//! Summarizes a run in a few sentences: the failures, the targets passed over, the times and the cost.

use std::collections::{BTreeMap, BTreeSet};

use bcce_core::base::usage::Usage;
use bcce_core::call::attempt::Attempt;
use bcce_core::failover::decision::{Candidate, Decision, Next};
use bcce_core::run::artifact::StepRecord;
use time::OffsetDateTime;

use super::Account;
use super::names::Names;
use crate::figures;
use crate::page::Page;
use crate::paint::{Ink, span};
use crate::run::timeline::{Execution, Sums, has_failed};

/// The largest number of different reasons that are listed.
const REASONS_LISTED: usize = 3;
/// The largest number of waves that are listed with their times.
const WAVES_LISTED: usize = 6;
/// The width of the label before a sentence, in characters.
const MARGIN: usize = 10;

/// Summarizes a step execution in one line.
pub fn sums(sums: &Sums) -> String {
    let failed = match sums.failed_calls {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    let calls = figures::plural(sums.calls, "call");
    let [in_calls, waited] = [sums.in_calls_ms, sums.waited_ms].map(figures::milliseconds);
    let tokens = match sums.totals.usage {
        None if sums.totals.known_usage() == Usage::default() => "tokens unknown".to_owned(),
        _ => figures::tokens(&sums.totals),
    };
    let cost = figures::exact_cost(&sums.totals);
    format!("{calls}{failed}; {in_calls} in calls, waited {waited}; {tokens}; cost {cost}")
}

/// Adds the summary.
pub fn put(page: &mut Page, account: Account<'_>) {
    for (n, sentence) in sentences(account).into_iter().enumerate() {
        let heading = if n == 0 { "in short" } else { "" };
        let heading = span(Ink::Bold, format!("{heading:<MARGIN$}"));
        page.put(MARGIN, vec![heading, span(Ink::Plain, sentence)]);
    }
}

/// Returns the sentences of the summary.
pub fn sentences(account: Account<'_>) -> Vec<String> {
    if account.run.plan.is_none() {
        return vec!["no plan was made, so nothing was decided and no call was made".into()];
    }
    let attempt_no = account.run.reference.attempt_no;
    let is_of_attempt =
        |e: &&Execution| e.record.is_some_and(|step_record| step_record.attempt_no == attempt_no);
    let executed: Vec<&Execution> = account.executions.iter().filter(is_of_attempt).collect();
    let step_records: Vec<&StepRecord> =
        executed.iter().filter_map(|execution| execution.record).collect();
    let attempts: Vec<&Attempt> =
        step_records.iter().flat_map(|step_record| &step_record.attempts).collect();
    let names = names(account, &attempts);
    let sums = Sums::of(step_records.iter().copied());
    let is_over = account.records.last().is_some_and(|record| record.ended_at.is_some());
    let so_far = if is_over { "" } else { " so far" };
    let mut sentences = vec![if step_records.is_empty() && !is_over {
        "no step has ended so far in this run attempt".to_owned()
    } else {
        format!("{}{so_far}", calls(&attempts, &names))
    }];
    sentences.extend(cached(&step_records));
    sentences.extend(passed_over(&step_records, &names));
    sentences.extend(failing_over(&sums));
    sentences.extend(waited(&step_records, &sums));
    sentences.extend(took(account, &executed));
    sentences.extend(cost(&sums, &attempts));
    sentences
}

/// Returns the names of all targets that the run may call.
fn names(account: Account<'_>, attempts: &[&Attempt]) -> Names {
    let routes = account.run.plan.iter().flat_map(|plan| plan.routes.values());
    let listed = routes.flat_map(|route| &route.targets).map(|listed| &listed.target);
    Names::of(listed.chain(attempts.iter().map(|attempt| &attempt.target)))
}

/// Summarizes the calls: `2 of 3 calls failed: Bcce.TargetThrottled twice in us-east-1`.
fn calls(attempts: &[&Attempt], names: &Names) -> String {
    let mut failures: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for attempt in attempts.iter().filter(|attempt| has_failed(attempt)) {
        let error = attempt.error.map_or("no reason given", |error| error.as_str());
        *failures.entry((names.target(&attempt.target), error)).or_default() += 1;
    }
    let counted = |((target, error), n): (&(String, &str), &usize)| {
        format!("{error} {} in {target}", times(*n))
    };
    let counts = failures.iter().map(counted).collect::<Vec<_>>().join(", ");
    let failed: usize = failures.values().sum();
    match (attempts.len(), failed) {
        (0, _) => "no calls are recorded".into(),
        (1, 0) => "the only call was answered".into(),
        (1, _) => format!("the only call failed: {counts}"),
        (all, 0) => format!("all {all} calls were answered"),
        (all, failed) => format!("{failed} of {all} calls failed: {counts}"),
    }
}

/// Counts the step executions that the response cache answered.
fn cached(step_records: &[&StepRecord]) -> Option<String> {
    let cached = step_records.iter().filter(|record| record.cached_from.is_some()).count();
    let executions = figures::plural(cached, "answer");
    (cached > 0).then(|| format!("{executions} came from the response cache, without a call"))
}

fn times(count: usize) -> String {
    match count {
        1 => "once".into(),
        2 => "twice".into(),
        more => format!("{more} times"),
    }
}

/// Lists the targets that were passed over although they had not failed in the step, with the reasons. Targets that
/// failed in the step are left out because its calls show them. Decisions to stop are left out because their reasons do
/// not concern a target.
fn passed_over(step_records: &[&StepRecord], names: &Names) -> Vec<String> {
    let mut passed: BTreeMap<&str, (usize, BTreeSet<&str>)> = BTreeMap::new();
    for step_record in step_records {
        for decision in step_record.decisions.iter().filter(|d| !matches!(d.next, Next::Stop(_))) {
            let passed_here = decision.candidates.iter().filter(|candidate| !candidate.taken);
            for candidate in passed_here.filter(|c| !had_failed(step_record, decision, c)) {
                let (count, reasons) = passed.entry(&candidate.target).or_default();
                *count += 1;
                reasons.insert(&candidate.because);
            }
        }
    }
    let sentences = passed.into_iter().map(|(target, (count, reasons))| {
        format!("{} was passed over {}: {}", names.short(target), times(count), some(reasons))
    });
    sentences.collect()
}

fn had_failed(step_record: &StepRecord, decision: &Decision, candidate: &Candidate) -> bool {
    step_record.attempts.iter().any(|attempt| {
        attempt.started_at < decision.at
            && attempt.error.is_some()
            && attempt.target.to_string() == candidate.target
    })
}

fn some(reasons: BTreeSet<&str>) -> String {
    let more = reasons.len().saturating_sub(REASONS_LISTED);
    let more = (more > 0).then(|| format!("and {}", figures::plural(more, "more reason")));
    let listed = reasons.iter().take(REASONS_LISTED).map(|reason| (*reason).to_owned());
    listed.chain(more).collect::<Vec<_>>().join("; ")
}

fn failing_over(sums: &Sums) -> Option<String> {
    let [all, in_calls] =
        [sums.failing_over_ms, sums.failing_over_in_calls_ms].map(figures::milliseconds);
    (sums.failing_over_ms > 0)
        .then(|| format!("failing over took {all}, {in_calls} of it in the failed calls"))
}

fn waited(step_records: &[&StepRecord], sums: &Sums) -> Option<String> {
    let waits = |step_record: &&&StepRecord| {
        step_record.decisions.iter().any(|d| matches!(d.next, Next::WaitS(_)))
    };
    let decisions = step_records.iter().flat_map(|step_record| &step_record.decisions);
    let reasons = decisions.filter(|decision| matches!(decision.next, Next::WaitS(_)));
    let reasons = reasons.flat_map(|decision| &decision.because).map(String::as_str).collect();
    let among = match step_records.iter().filter(waits).count() {
        0 | 1 => String::new(),
        many => format!(" in {many} step executions"),
    };
    let ms = figures::milliseconds(sums.waited_ms);
    (sums.waited_ms > 0).then(|| format!("waited {ms}{among}: {}", some(reasons)))
}

/// Describes the times of the waves. Waves run one after the other, so their times add up to the time of the run.
fn took(account: Account<'_>, executions: &[&Execution<'_>]) -> Option<String> {
    let record = account.records.last()?;
    let waves = &account.run.plan.as_ref()?.waves;
    let planned: usize = waves.iter().map(|wave| wave.steps.len()).sum();
    let is_whole = account.executions.len() == planned;
    let whole = record.ended_at.filter(|_| is_whole)? - record.started_at;
    let waves = executions.chunk_by(|one, other| one.wave == other.wave);
    let waves: Vec<(time::Duration, String)> = waves.filter_map(wave).collect();
    let in_steps: time::Duration = waves.iter().map(|(took, _)| *took).sum();
    let more = waves.len().saturating_sub(WAVES_LISTED);
    let more = (more > 0).then(|| figures::plural(more, "more wave"));
    let listed = waves.into_iter().take(WAVES_LISTED).map(|(_, wave)| wave).chain(more);
    let listed = listed.collect::<Vec<_>>().join(", then ");
    let [whole, rest] = [whole, whole - in_steps].map(figures::duration);
    (!listed.is_empty())
        .then(|| format!("took {whole}: {listed}; {rest} before, between and after"))
}

/// Returns the time and the description of a wave. It counts from the first decision to the last end, because not all
/// items of a step start together.
fn wave(executions: &[&Execution<'_>]) -> Option<(time::Duration, String)> {
    let ran = executions.iter().filter_map(|execution| Some((execution.ran()?, execution)));
    let ran: Vec<((OffsetDateTime, OffsetDateTime), &&Execution)> = ran.collect();
    let began = ran.iter().map(|((from, _), _)| *from).min()?;
    let ended = ran.iter().map(|((_, to), _)| *to).max()?;
    let ((from, to), longest) = ran.iter().max_by_key(|((from, to), _)| *to - *from)?;
    let (took, name) = (ended - began, longest.name());
    let text = match ran.len() {
        1 => format!("{name} ({})", figures::duration(took)),
        many => {
            let (all, one) = (figures::duration(took), figures::duration(*to - *from));
            format!("{many} step executions ({all}, the longest {name} with {one})")
        }
    };
    Some((took, text))
}

/// Describes the cost: `cost $0.0021, of which $0 for failed calls`.
fn cost(sums: &Sums, attempts: &[&Attempt]) -> Option<String> {
    attempts.first()?;
    let mut parts = vec![format!("cost {}", figures::exact_cost(&sums.totals))];
    if sums.failed_calls > 0 {
        parts.push(format!(", of which {} for failed calls", figures::exact_cost(&sums.failed)));
    }
    let unknown = attempts.iter().filter(|attempt| attempt.usage.is_none()).count();
    if unknown > 0 {
        parts.push(format!("; usage of {} unknown", figures::plural(unknown, "call")));
    }
    if !sums.totals.unpriced.is_empty() {
        parts.push(format!("; without a price: {}", sums.totals.unpriced.join(", ")));
    }
    Some(parts.concat())
}
