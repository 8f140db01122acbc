//! A run as a line per event, each told once: for a log, where nothing can be redrawn.

use std::collections::{BTreeMap, BTreeSet};

use bcce_core::call::attempt::{Attempt, AttemptOutcome, Totals};

use crate::figures;
use crate::progress::{Progress, Standing, State, StepView};

/// What has been told, and how often: two attempts may read alike.
#[derive(Debug, Default)]
pub struct Told(BTreeSet<(String, usize)>);

impl Told {
    /// What is new, in the order of `lines`.
    pub fn news(&mut self, lines: Vec<String>) -> Vec<String> {
        let mut seen = BTreeMap::new();
        let mut news = Vec::new();
        for line in lines {
            let times = seen.entry(line.clone()).and_modify(|n| *n += 1).or_insert(1);
            if self.0.insert((line.clone(), *times)) {
                news.push(line);
            }
        }
        news
    }

    pub fn is_new(&mut self, line: &str) -> bool {
        self.0.insert((line.to_owned(), 1))
    }
}

/// Everything that can be said of a run.
pub fn all(progress: &Progress) -> Vec<String> {
    let mut lines = Vec::new();
    if progress.standing() != Standing::Unknown {
        lines.push(match progress.run.attempt_no {
            1 => format!("{} started", progress.run.run_id),
            n => format!("{} started, attempt {n}", progress.run.run_id),
        });
    }
    let waves = progress.waves();
    if !waves.is_empty() {
        let steps = waves.iter().map(Vec::len).sum();
        lines.push(format!(
            "{} in {}",
            figures::plural(steps, "step"),
            figures::plural(waves.len(), "wave")
        ));
    }
    lines.extend(waves.iter().flatten().flat_map(step));
    lines
}

fn step(step: &StepView<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let step_records =
        step.answers.iter().copied().chain(step.failures.iter().map(|failure| &failure.record));
    for step_record in step_records {
        let name = match step_record.item {
            Some(item) => format!("{}[{item}]", step.id),
            None => step.id.to_owned(),
        };
        lines.extend(
            step_record
                .attempts
                .iter()
                .map(|attempt| format!("{name}: {}", told(step.model, attempt))),
        );
    }
    lines.extend(super::cut(step).map(|cut| format!("{}: {cut}", step.id)));
    if let (State::Ended(_), Some(error)) = (step.state, step.error) {
        lines.push(format!("{}: {} {error}", step.id, step.state.as_str()));
    }
    lines
}

fn told(model: &str, attempt: &Attempt) -> String {
    let (region, took) = (&attempt.target.region, figures::milliseconds(attempt.latency_ms));
    match (attempt.outcome, attempt.error) {
        (AttemptOutcome::Failed, Some(error)) => format!("{region} gave {error} after {took}"),
        (AttemptOutcome::Failed, None) => format!("{region} failed after {took}"),
        (AttemptOutcome::Answered, _) => {
            let first = attempt
                .first_token_ms
                .map(|ms| format!(", first token {}", figures::milliseconds(ms)));
            let totals = Totals::of([attempt]);
            let (first, tokens, cost) =
                (first.unwrap_or_default(), figures::tokens(&totals), figures::cost(&totals));
            format!("{model} in {region} answered in {took}{first}, {tokens}, {cost}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::{failing_over, review};

    #[test]
    fn each_event_is_one_line_and_told_once() {
        let mut told = Told::default();
        let run = review(&[]).run.run_id;
        assert_eq!(told.news(all(&review(&[]))), [&format!("{run} started"), "5 steps in 3 waves"]);
        assert_eq!(
            told.news(all(&review(&["summarise"]))),
            [
                "summarise: haiku in us-east-1 answered in 1.2 s, first token 300 ms, 1,204 tokens in, 312 out, $0.0031"
            ]
        );
        assert_eq!(told.news(all(&review(&["summarise"]))), [""; 0]);
    }

    #[test]
    fn a_failed_attempt_is_told_before_the_answer() {
        let lines = Told::default().news(all(&failing_over()));
        assert_eq!(lines[2], "summarise: us-east-1 gave Bcce.TargetThrottled after 40 ms");
        assert!(lines[3].starts_with("summarise: haiku in us-west-2 answered"), "{lines:?}");
    }
}
