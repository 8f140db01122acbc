//! Displays a run as one line per event, for a log that cannot be redrawn.

use bcce_core::call::attempt::{Attempt, AttemptOutcome, Totals};

use crate::figures;
use crate::run::{Run, StepState, StepView};
use crate::tracked::Status;

/// Returns the lines of all events so far.
pub fn all(run: &Run) -> Vec<String> {
    let mut lines = Vec::new();
    if run.status() != Status::Unknown {
        lines.push(match run.reference.attempt_no {
            1 => format!("{} started", run.reference.run_id),
            n => format!("{} started, attempt {n}", run.reference.run_id),
        });
    }
    let waves = run.waves();
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
                .map(|attempt| format!("{name}: {}", describe(step.model, attempt))),
        );
    }
    lines.extend(super::cut(step).map(|cut| format!("{}: {cut}", step.id)));
    lines.extend(super::cached(step).map(|cached| format!("{}: {cached}", step.id)));
    if let (StepState::Ended(_), Some(error)) = (step.state, step.error) {
        lines.push(format!("{}: {} {error}", step.id, step.state.as_str()));
    }
    lines
}

fn describe(model: &str, attempt: &Attempt) -> String {
    let (region, took) = (&attempt.target.region, figures::milliseconds(attempt.latency_ms));
    match (attempt.outcome, attempt.error) {
        (AttemptOutcome::Failed, Some(error)) => {
            format!("{region} failed with {error} after {took}")
        }
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
    use crate::run::samples::{failing_over, review};
    use crate::screen::Printed;

    #[test]
    fn each_event_is_one_line_and_printed_once() {
        let mut printed = Printed::default();
        let run = review(&[]).reference.run_id;
        assert_eq!(
            printed.news(all(&review(&[]))),
            [&format!("{run} started"), "5 steps in 3 waves"]
        );
        assert_eq!(
            printed.news(all(&review(&["summarise"]))),
            [
                "summarise: haiku in us-east-1 answered in 1.2 s, first token 300 ms, 1,204 tokens in, 312 out, $0.0031"
            ]
        );
        assert_eq!(printed.news(all(&review(&["summarise"]))), [""; 0]);
    }

    #[test]
    fn a_failed_attempt_is_listed_before_the_answer() {
        let lines = Printed::default().news(all(&failing_over()));
        assert_eq!(lines[2], "summarise: us-east-1 failed with Bcce.TargetThrottled after 40 ms");
        assert!(lines[3].starts_with("summarise: haiku in us-west-2 answered"), "{lines:?}");
    }
}
