//! Displays a run as a timeline of its decisions with their reasons, its calls and its waits. The functions do no IO.

pub mod event; // formats a decision, a call or a wait
mod heading; // formats the run, its deadline and its routes
pub mod names; // shortens the names of targets
pub mod short; // summarizes the run in a few sentences
#[cfg(test)]
mod tests;

use bcce_core::ledger::RunRecord;
use bcce_core::run::artifact::StepStatus;
use time::OffsetDateTime;

use self::names::Names;
use crate::page::Page;
use crate::paint::{Ink, Line, span};
use crate::run::timeline::Execution;
use crate::run::{Run, StepState};

/// The largest number of items of a step that are all shown. Of more items, only the eventful ones are shown.
const ITEMS_SHOWN: usize = 10;

/// The run to explain.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    pub run: &'a Run,
    /// The records of the run attempts, oldest first.
    pub records: &'a [RunRecord],
    /// The step executions in the order of the plan, either all of them or those of one step.
    pub executions: &'a [Execution<'a>],
    /// True if every item of a step with `for_each` is shown.
    pub all: bool,
}

/// Returns the lines of the timeline, broken at `width` characters.
pub fn lines(account: Account<'_>, width: usize) -> Vec<Line> {
    let mut page = Page::new(width);
    heading::put(&mut page, account);
    let clock = account.shown().map(clock_width).max().unwrap_or_default();
    for step in account.steps() {
        for execution in step.iter().filter(|execution| account.shows(execution, step.len())) {
            page.blank();
            section(&mut page, account, execution, clock);
        }
        if let Some(note) = left_out(account, step) {
            page.blank();
            page.put(2, vec![span(Ink::Dim, note)]);
        }
    }
    page.blank();
    short::put(&mut page, account);
    page.lines()
}

impl<'a> Account<'a> {
    /// Returns the step executions, grouped by step.
    fn steps(self) -> impl Iterator<Item = &'a [Execution<'a>]> {
        self.executions.chunk_by(|one, other| one.step.step == other.step.step)
    }

    /// Returns the step executions that are shown.
    pub fn shown(self) -> impl Iterator<Item = &'a Execution<'a>> {
        self.steps().flat_map(move |step| step.iter().filter(move |e| self.shows(e, step.len())))
    }

    fn shows(self, execution: &Execution<'_>, items: usize) -> bool {
        self.all || items <= ITEMS_SHOWN || execution.is_eventful()
    }
}

/// Returns a note with the number of items that are not shown, if there are any.
fn left_out(account: Account<'_>, step: &[Execution<'_>]) -> Option<String> {
    let hidden: Vec<&Execution> =
        step.iter().filter(|execution| !account.shows(execution, step.len())).collect();
    let cached = hidden.iter().filter(|execution| execution.is_cached()).count();
    let counted = |state: StepState, what: &str| {
        let is_it = |e: &&&Execution| e.state == state && !e.is_cached();
        let count = hidden.iter().filter(is_it).count();
        (count > 0).then(|| format!("{count} {what}"))
    };
    let counts = [
        (cached > 0).then(|| format!("{cached} answered from the response cache")),
        counted(StepState::Ended(StepStatus::Succeeded), "answered at the first call"),
        counted(StepState::Running, "under way"),
        counted(StepState::Waiting, "not started"),
        counted(StepState::Ended(StepStatus::Skipped), "skipped"),
    ];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    let (id, items) = (&step.first()?.step.step, step.len());
    (!counts.is_empty()).then(|| {
        let (count, counts) = (hidden.len(), counts.join(", "));
        format!("{id}: {count} of {items} items are not shown: {counts}; --all shows them")
    })
}

fn section(page: &mut Page, account: Account<'_>, execution: &Execution<'_>, clock: usize) {
    page.put(2, title(account, execution));
    let names = names(execution);
    for event in execution.events() {
        let (verb, lines) = event::describe(&event, execution.route, &names);
        event::put(page, &stamp(execution, event.at()), clock, verb, lines);
    }
    if let Some((_, ended)) = execution.ran() {
        let sums = vec![vec![span(Ink::Plain, short::sums(&execution.sums()))]];
        event::put(page, &stamp(execution, ended), clock, "end", sums);
    }
    if let Some(error) = execution.error {
        page.put(2, vec![span(Ink::Red, format!("  {error}"))]);
    }
}

/// Returns the name, the model and the state of a step execution.
pub fn title(account: Account<'_>, execution: &Execution<'_>) -> Line {
    let note = match (execution.record, execution.state) {
        (Some(step_record), _) if step_record.attempt_no != account.run.reference.attempt_no => {
            format!("  by run attempt {}, which paid for it", step_record.attempt_no)
        }
        (None, StepState::Running) => "  explained when it ends".to_owned(),
        _ => String::new(),
    };
    vec![
        span(Ink::Bold, execution.name()),
        span(Ink::Dim, format!("  {}", execution.model)),
        span(state_ink(execution.state), format!("  {}", execution.state.as_str())),
        span(Ink::Dim, note),
    ]
}

fn state_ink(state: StepState) -> Ink {
    match state {
        StepState::Ended(StepStatus::Succeeded) => Ink::Green,
        StepState::Ended(StepStatus::Failed | StepStatus::Blocked) => Ink::Red,
        StepState::Running => Ink::Yellow,
        StepState::Waiting | StepState::Ended(StepStatus::Skipped) => Ink::Dim,
    }
}

/// Returns the names of the targets that a step execution may call.
pub fn names(execution: &Execution<'_>) -> Names {
    let listed = execution.route.into_iter().flat_map(|route| &route.targets);
    let asked = execution.record.into_iter().flat_map(|step_record| &step_record.attempts);
    Names::of(listed.map(|listed| &listed.target).chain(asked.map(|attempt| &attempt.target)))
}

/// Formats the time since the start of the run attempt: `+0.412 s`.
pub fn stamp(execution: &Execution<'_>, at: OffsetDateTime) -> String {
    let ms = (at - execution.started_at).whole_milliseconds();
    let (sign, ms) = (if ms < 0 { '-' } else { '+' }, ms.unsigned_abs());
    format!("{sign}{}.{:03} s", ms / 1_000, ms % 1_000)
}

fn clock_width(execution: &Execution<'_>) -> usize {
    let ended = execution.ran().map(|(_, ended)| ended);
    let times = execution.events().iter().map(|event| event.at()).chain(ended).collect::<Vec<_>>();
    times.into_iter().map(|at| stamp(execution, at).len()).max().unwrap_or_default()
}
