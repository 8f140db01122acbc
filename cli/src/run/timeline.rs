//! Lists the decisions, calls and waits of each step execution of a run, from the plan and the artifacts. The functions
//! do no IO.

use std::collections::BTreeMap;

use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::call::attempt::{Attempt, AttemptOutcome, Totals};
use bcce_core::failover::decision::{Decision, Next};
use bcce_core::failover::route::Route;
use bcce_core::ledger::RunRecord;
use bcce_core::run::artifact::{StepRecord, StepStatus};
use bcce_core::run::ids::StepRef;
use bcce_core::run::manifest::{ItemFault, StepSummary};
use bcce_core::run::plan::Plan;
use serde::Serialize;
use time::OffsetDateTime;

use crate::run::{Run, StepState, StepView};

/// One step execution: a step, or one item of a step with `for_each`.
#[derive(Debug)]
pub struct Execution<'a> {
    pub step: &'a StepRef,
    /// The number of the wave, from 0.
    pub wave: usize,
    pub model: &'a str,
    pub route: Option<&'a Route>,
    pub state: StepState,
    pub error: Option<&'a Fault>,
    /// The record that it left. `None` while it is under way, or if it ended with an internal fault.
    pub record: Option<&'a StepRecord>,
    /// The start of the run attempt that it belongs to. Its times count from there.
    pub started_at: OffsetDateTime,
}

/// An event of a step execution.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    Decision(&'a Decision),
    /// The wait from the decision to wait until the next decision.
    Wait {
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
        waited_ms: u64,
    },
    Attempt(&'a Attempt),
}

/// The sums of calls and waits. Times are in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sums {
    pub calls: usize,
    pub failed_calls: usize,
    pub in_calls_ms: u64,
    /// The time from the start of each call that failed over to the start of the next call, without waits.
    pub failing_over_ms: u64,
    /// The part of `failing_over_ms` in those calls.
    pub failing_over_in_calls_ms: u64,
    pub waited_ms: u64,
    /// The tokens and the cost of the failed calls.
    pub failed: Totals,
    #[serde(flatten)]
    pub totals: Totals,
}

/// Returns the step executions of a run in the order of its plan. `records` are those of its run attempts, oldest
/// first.
pub fn of<'a>(run: &'a Run, plan: &'a Plan, records: &[RunRecord]) -> Vec<Execution<'a>> {
    let waves = run.waves();
    let views: BTreeMap<&str, &StepView<'a>> =
        waves.iter().flatten().map(|view| (view.id, view)).collect();
    let planned =
        plan.waves.iter().enumerate().flat_map(|(n, wave)| wave.steps.iter().map(move |s| (n, s)));
    let execution = |(wave, step): (usize, &'a StepRef)| {
        let view = *views.get(step.step.as_str())?;
        let (state, error, step_record) = ended(run, view, step.item);
        let attempt_no =
            step_record.map_or(run.reference.attempt_no, |step_record| step_record.attempt_no);
        let record = records.iter().find(|record| record.attempt_no == attempt_no);
        let started_at = record.or(records.last())?.started_at;
        let (model, route) = (view.model, plan.routes.get(&step.route));
        Some(Execution { step, wave, model, route, state, error, record: step_record, started_at })
    };
    planned.filter_map(execution).collect()
}

/// Returns the state of a step execution, its error and the record that it left.
fn ended<'a>(
    run: &'a Run,
    view: &StepView<'a>,
    item: Option<u32>,
) -> (StepState, Option<&'a Fault>, Option<&'a StepRecord>) {
    if let Some(step_record) = view.answers.iter().find(|step_record| step_record.item == item) {
        return (StepState::Ended(StepStatus::Succeeded), None, Some(step_record));
    }
    if let Some(failure) = view.failures.iter().find(|failure| failure.record.item == item) {
        return (StepState::Ended(failure.status), Some(&failure.error), Some(&failure.record));
    }
    let sealed = run.manifest.as_ref().and_then(|m| m.steps.iter().find(|s| s.id == view.id));
    match (item, sealed) {
        (None, _) => (view.state, view.error, None),
        (Some(_), None) => (view.state, None, None),
        (Some(item), Some(sealed)) => match fault_of(sealed, item) {
            Some(fault) => (StepState::Ended(fault.status), Some(&fault.error), None),
            None => (StepState::Ended(StepStatus::Skipped), None, None),
        },
    }
}

fn fault_of(sealed: &StepSummary, item: u32) -> Option<&ItemFault> {
    sealed.items.as_ref()?.failed.iter().find(|fault| fault.item == item)
}

impl<'a> Execution<'a> {
    /// Returns the id of the step, with the number of the item: `hunt[3]`.
    pub fn name(&self) -> String {
        match self.step.item {
            Some(item) => format!("{}[{item}]", self.step.step),
            None => self.step.step.clone(),
        }
    }

    /// Returns the events in order of time. A decision comes before the wait or the call that follows from it.
    pub fn events(&self) -> Vec<Event<'a>> {
        let Some(step_record) = self.record else { return Vec::new() };
        let decisions = step_record.decisions.iter().map(Event::Decision);
        let waits = waits(step_record)
            .map(|(at, until)| Event::Wait { at, waited_ms: milliseconds(at, until) });
        let attempts = step_record.attempts.iter().map(Event::Attempt);
        let mut events: Vec<Event> = decisions.chain(waits).chain(attempts).collect();
        events.sort_by_key(Event::at);
        events
    }

    pub fn sums(&self) -> Sums {
        Sums::of(self.record)
    }

    /// Returns the times of the first event and of the end of the last one.
    pub fn ran(&self) -> Option<(OffsetDateTime, OffsetDateTime)> {
        let events = self.events();
        let end = events.iter().map(Event::ended_at).max()?;
        Some((events.first()?.at(), end))
    }

    /// Returns true if the response cache answered the step execution.
    pub fn is_cached(&self) -> bool {
        self.record.is_some_and(|step_record| step_record.cached_from.is_some())
    }

    /// Returns true if the step execution waited, failed or needed more than one call.
    pub fn is_eventful(&self) -> bool {
        let waited = |step_record: &StepRecord| waits(step_record).next().is_some();
        self.record.is_some_and(|step_record| step_record.attempts.len() > 1 || waited(step_record))
            || !matches!(self.state, StepState::Ended(StepStatus::Succeeded))
                && (self.record.is_some() || self.error.is_some())
    }
}

impl Event<'_> {
    pub fn at(&self) -> OffsetDateTime {
        match self {
            Self::Decision(decision) => decision.at,
            Self::Wait { at, .. } => *at,
            Self::Attempt(attempt) => attempt.started_at,
        }
    }

    fn ended_at(&self) -> OffsetDateTime {
        match self {
            Self::Attempt(attempt) => attempt.ended_at(),
            other => other.at(),
        }
    }
}

impl Sums {
    /// Sums the calls and waits of step records.
    pub fn of<'a>(step_records: impl IntoIterator<Item = &'a StepRecord>) -> Self {
        let (mut sums, mut attempts) = (Self::default(), Vec::new());
        for step_record in step_records {
            sums.waited_ms +=
                waits(step_record).map(|(at, until)| milliseconds(at, until)).sum::<u64>();
            for pair in step_record.attempts.windows(2) {
                sums.note_pair(&pair[0], &pair[1], step_record);
            }
            attempts.extend(&step_record.attempts);
        }
        let failed = || attempts.iter().copied().filter(|attempt| has_failed(attempt));
        Self {
            calls: attempts.len(),
            failed_calls: failed().count(),
            in_calls_ms: attempts.iter().map(|attempt| attempt.latency_ms).sum(),
            failed: Totals::of(failed()),
            totals: Totals::of(attempts.iter().copied()),
            ..sums
        }
    }

    /// Adds the time of failing over from one call to the next.
    fn note_pair(&mut self, one: &Attempt, next: &Attempt, step_record: &StepRecord) {
        if !one.error.is_some_and(ErrorName::fails_over) {
            return;
        }
        let between = waits(step_record)
            .filter(|(at, until)| *at >= one.started_at && *until <= next.started_at)
            .map(|(at, until)| milliseconds(at, until))
            .sum();
        let passed = milliseconds(one.started_at, next.started_at);
        self.failing_over_ms += passed.saturating_sub(between);
        self.failing_over_in_calls_ms += one.latency_ms;
    }
}

pub fn has_failed(attempt: &Attempt) -> bool {
    attempt.outcome == AttemptOutcome::Failed
}

/// Returns the start and the end of each wait that has ended.
fn waits(step_record: &StepRecord) -> impl Iterator<Item = (OffsetDateTime, OffsetDateTime)> {
    let pairs = step_record.decisions.windows(2);
    pairs.filter_map(|pair| {
        matches!(pair[0].next, Next::WaitS(_)).then_some((pair[0].at, pair[1].at))
    })
}

fn milliseconds(from: OffsetDateTime, to: OffsetDateTime) -> u64 {
    u64::try_from((to - from).whole_milliseconds()).unwrap_or(0)
}
