//! Displays a run as a table of waves, steps, attempts, tokens and cost. The functions do no IO.

pub mod cache; // describes what the prompt cache did
mod columns; // lays out the columns of the table
pub mod explained; // displays the timeline of a run
pub mod fields; // formats the heading of a run
pub mod lines; // formats one line per event, for a log

use bcce_core::call::attempt::{Attempt, AttemptOutcome, Totals};
use bcce_core::run::artifact::StepStatus;
use bcce_core::run::notification::RunStatus;
use time::OffsetDateTime;

use self::columns::{Cells, lay_out};
use crate::figures;
use crate::paint::{Ink, Line, span};
use crate::run::{Run, StepState, StepView};
use crate::screen::{Moment, Shown};
use crate::tracked::Status;

/// The level of detail of a table.
#[derive(Clone, Copy, Debug)]
pub struct Detail {
    /// The width of a line in characters.
    pub width: usize,
    /// The largest number of failed attempts that are shown for a step.
    pub attempts: usize,
    /// True if the messages of services are shown.
    pub messages: bool,
}

/// The largest number of failed attempts that the live picture shows for a step.
const ATTEMPTS_SHOWN: usize = 3;
const SPINNER: [&str; 8] = ["⣾", "⣽", "⣻", "⢿", "⡿", "⣟", "⣯", "⣷"];

impl Shown for Run {
    fn picture(&self, moment: Moment, width: usize) -> Vec<Line> {
        picture(self, moment, width)
    }

    fn lines(&self) -> Vec<String> {
        lines::all(self)
    }

    fn sum(&self) -> Option<String> {
        sum(self)
    }
}

/// Draws the whole live picture.
fn picture(run: &Run, moment: Moment, width: usize) -> Vec<Line> {
    let detail = Detail { width, attempts: ATTEMPTS_SHOWN, messages: false };
    let mut lines = vec![heading(run, moment), vec![]];
    match table(run, moment, detail) {
        table if table.is_empty() => lines.push(vec![span(Ink::Dim, waiting(run))]),
        table => lines.extend(table),
    }
    lines.push(vec![]);
    lines.extend(sum(run).map(|sum| vec![span(Ink::Plain, sum)]));
    lines
}

fn heading(run: &Run, moment: Moment) -> Line {
    let (ink, status) = match run.status() {
        Status::Unknown => (Ink::Yellow, "SENT"),
        Status::UnderWay => (Ink::Yellow, "RUNNING"),
        Status::Over(status) => (status_ink(status), status.as_str()),
        Status::Finalizing(_) => (Ink::Yellow, "FINALIZING"),
    };
    vec![
        span(Ink::Bold, &run.reference.run_id),
        span(ink, format!("  {status}")),
        span(Ink::Dim, format!("  {}", elapsed(run, moment))),
    ]
}

/// Returns the duration of a run that has ended, or else the time since its start.
pub fn elapsed(run: &Run, moment: Moment) -> String {
    let record = run.record.as_ref();
    match record.and_then(|record| Some((record.started_at, record.ended_at?))) {
        Some((started, ended)) => figures::between(started, ended),
        None => {
            figures::between(record.map_or(moment.since, |record| record.started_at), moment.now)
        }
    }
}

fn waiting(run: &Run) -> &'static str {
    match (run.status(), &run.record) {
        (Status::Unknown, _) => "waiting for the run to start",
        (Status::UnderWay, None) => "started",
        (Status::UnderWay, _) => "planning",
        _ => "no plan was made",
    }
}

/// Summarizes a run: `2 of 5 steps · 3,408 tokens in, 724 out · $0.0162`. Returns `None` if there is no plan yet.
pub fn sum(run: &Run) -> Option<String> {
    let steps: Vec<StepState> = run.waves().iter().flatten().map(|step| step.state).collect();
    let done =
        steps.iter().filter(|state| **state == StepState::Ended(StepStatus::Succeeded)).count();
    let (all, totals) = (figures::plural(steps.len(), "step"), run.totals());
    let lost = match run.lost_calls() {
        0 => String::new(),
        calls => format!(" · {} lost", figures::plural(calls, "call")),
    };
    let (tokens, cost) = (figures::tokens(&totals), figures::cost(&totals));
    let sum = format!("{done} of {all} · {tokens} · {cost}{lost}");
    (!steps.is_empty()).then_some(sum)
}

pub fn status_ink(status: RunStatus) -> Ink {
    match status {
        RunStatus::Succeeded => Ink::Green,
        RunStatus::Running => Ink::Yellow,
        _ => Ink::Red,
    }
}

/// Lists the steps in their waves.
pub fn table(run: &Run, moment: Moment, detail: Detail) -> Vec<Line> {
    let mut rows = Vec::new();
    let mut since = run.record.as_ref().map_or(moment.since, |record| record.started_at);
    for (n, wave) in run.waves().iter().enumerate() {
        for (nth, step) in wave.iter().enumerate() {
            let number = if nth == 0 { (n + 1).to_string() } else { String::new() };
            rows.push((cells(step, number, since, moment), below(step, detail)));
        }
        let ends = wave.iter().flat_map(|step| step.attempts()).map(Attempt::ended_at);
        since = ends.fold(since, OffsetDateTime::max);
    }
    lay_out(rows, detail.width)
}

fn cells(step: &StepView<'_>, wave: String, since: OffsetDateTime, moment: Moment) -> Cells {
    let attempts = step.attempts();
    let last = last_answered(&attempts);
    let (ink, mark) = mark(step.state, moment.frame);
    let plain = |text: Option<String>| span(Ink::Plain, text.unwrap_or_default());
    let name = match step.planned {
        1 => step.id.to_owned(),
        planned => format!("{} {}/{planned}", step.id, step.answers.len()),
    };
    let is_cached = step.answers.iter().any(|answer| answer.cached_from.is_some());
    let [tokens_in, tokens_out, cost] = spent(&attempts, is_cached);
    vec![
        span(ink, format!("{wave:>2} {mark}")),
        span(if step.state == StepState::Waiting { Ink::Dim } else { Ink::Plain }, name),
        span(Ink::Dim, step.model),
        plain(last.map(|attempt| attempt.target.region.clone())),
        plain(last.and_then(|attempt| attempt.first_token_ms).map(figures::milliseconds)),
        plain(took(step, &attempts, since, moment)),
        plain(tokens_in),
        plain(tokens_out),
        plain(cost),
    ]
}

fn last_answered<'a>(attempts: &[&'a Attempt]) -> Option<&'a Attempt> {
    let answered =
        attempts.iter().rev().find(|attempt| attempt.outcome == AttemptOutcome::Answered);
    answered.or(attempts.last()).copied()
}

/// Returns the tokens in, the tokens out and the cost. `+?` marks a sum of which a part is unknown. `is_cached` is true
/// if the response cache gave an answer, which costs nothing.
fn spent(attempts: &[&Attempt], is_cached: bool) -> [Option<String>; 3] {
    if attempts.is_empty() && !is_cached {
        return [None, None, None];
    }
    let totals = Totals::of(attempts.iter().copied());
    let usage = totals.usage.or(totals.known_usage).unwrap_or_default();
    let count = |n| match (totals.usage, n) {
        (Some(_), n) => figures::count(n),
        (None, 0) => "?".into(),
        (None, n) => format!("{}+?", figures::count(n)),
    };
    let cost = match (totals.cost_usd, totals.priced_subtotal_usd) {
        (Some(cost), _) => figures::usd(cost),
        (None, Some(part)) if !part.is_zero() => format!("{}+?", figures::usd(part)),
        (None, _) => "?".into(),
    };
    [Some(count(figures::tokens_in(&usage))), Some(count(usage.output_tokens)), Some(cost)]
}

fn mark(state: StepState, frame: usize) -> (Ink, &'static str) {
    match state {
        StepState::Waiting => (Ink::Dim, "·"),
        StepState::Running => (Ink::Yellow, SPINNER[frame % SPINNER.len()]),
        StepState::Ended(StepStatus::Succeeded) => (Ink::Green, "✓"),
        StepState::Ended(StepStatus::Failed) => (Ink::Red, "✗"),
        StepState::Ended(StepStatus::Blocked) => (Ink::Red, "⊘"),
        StepState::Ended(StepStatus::Skipped) => (Ink::Dim, "-"),
    }
}

/// Returns the time that a step took. A running step leaves nothing before it ends, so its time counts from the end of
/// the previous wave.
fn took(
    step: &StepView<'_>,
    attempts: &[&Attempt],
    since: OffsetDateTime,
    moment: Moment,
) -> Option<String> {
    let ended = attempts.iter().map(|attempt| attempt.ended_at()).max();
    match (step.state, attempts.first().zip(ended)) {
        (StepState::Running, _) => Some(figures::between(since, moment.now)),
        (_, Some((first, ended))) => Some(figures::between(first.started_at, ended)),
        _ => None,
    }
}

/// Lists the failed attempts of a step and its error.
fn below(step: &StepView<'_>, detail: Detail) -> Vec<Line> {
    let attempts = step.attempts();
    let failed: Vec<&&Attempt> =
        attempts.iter().filter(|attempt| attempt.outcome == AttemptOutcome::Failed).collect();
    let hidden = failed.len().saturating_sub(detail.attempts);
    let mut lines: Vec<Line> = Vec::new();
    if hidden > 0 {
        lines.push(vec![span(
            Ink::Dim,
            format!("     {}", figures::plural(hidden, "earlier failed attempt")),
        )]);
    }
    lines.extend(failed.into_iter().skip(hidden).map(|attempt| failure(attempt, detail.messages)));
    lines.extend(cut(step).map(|cut| vec![span(Ink::Yellow, format!("     {cut}"))]));
    lines.extend(cached(step).map(|cached| vec![span(Ink::Dim, format!("     {cached}"))]));
    lines.extend(
        cache::of_all(&attempts)
            .map(|cache| vec![span(Ink::Dim, format!("     prompt cache: {cache}"))]),
    );
    if let Some(error) = step.error.filter(
        |_| matches!(step.state, StepState::Ended(status) if status != StepStatus::Succeeded),
    ) {
        lines.push(vec![span(Ink::Red, format!("     {error}"))]);
    }
    lines
}

/// Describes the answers of a step that `max_tokens` cut. The step succeeded nevertheless.
pub fn cut(step: &StepView<'_>) -> Option<String> {
    match (step.truncated, step.planned) {
        (0, _) => None,
        (_, 1) => Some("the answer was cut by max_tokens".to_owned()),
        (cut, planned) => Some(format!("{cut} of {planned} answers were cut by max_tokens")),
    }
}

/// Describes the answers of a step that the response cache gave.
pub fn cached(step: &StepView<'_>) -> Option<String> {
    let from: Vec<_> =
        step.answers.iter().filter_map(|answer| answer.cached_from.as_ref()).collect();
    match (from.as_slice(), step.planned) {
        ([], _) => None,
        ([from], 1) => Some(format!("answered from the response cache, by run {}", from.run_id)),
        (from, planned) => {
            Some(format!("{} of {planned} answers came from the response cache", from.len()))
        }
    }
}

fn failure(attempt: &Attempt, messages: bool) -> Line {
    let name = attempt.error.map_or("failed", |error| error.as_str());
    let text = format!(
        "     ↳ {} failed with {name} after {}",
        attempt.target.region,
        figures::milliseconds(attempt.latency_ms)
    );
    let mut line = vec![span(Ink::Yellow, text)];
    if let Some(message) = attempt.message.as_ref().filter(|_| messages) {
        line.push(span(Ink::Dim, format!(": {message}")));
    }
    if let Some(advice) = attempt.advice.as_ref().filter(|_| messages) {
        line.push(span(Ink::Plain, format!("; to do: {advice}")));
    }
    line
}

#[cfg(test)]
mod tests;
