//! What an execution of a run takes of AWS besides models, as far as its evidence shows it. `make lean` compares this
//! with the requests that the local stack counts.
//!
//! It includes what follows the seal and is the same for every run: the counters, the notification, and the finalize
//! machine after a failure. It does not include tasks that Step Functions tried again, logs, and the time of functions
//! other than invoke's wait for the model.

use crate::base::error::ErrorName;
use crate::base::platform::{Charge, PlatformUse};
use crate::failover::decision::Next;
use crate::run::artifact::StepRecord;
use crate::run::manifest::Evidence;
use crate::run::plan::Plan;

/// The memory of the function invoke in the template, in MB.
pub const INVOKE_MEMORY_MB: u64 = 512;

/// The events of an object: it is created; later its version expires, which makes a delete marker, and both are removed.
pub const EVENTS_OF_OBJECT: u64 = 4;
/// A message is sent, received and deleted.
pub const REQUESTS_OF_MESSAGE: u64 = 3;

/// What the finalize machine takes after an execution that has sealed its run and failed: it finds that nothing is left
/// to do.
const FINALIZED: [(Charge, u64); 7] = [
    (Charge::Transitions, 10),
    (Charge::FunctionCalls, 2),
    (Charge::S3Writes, 2),
    (Charge::S3Reads, 3),
    (Charge::KmsRequests, 4),
    (Charge::Signatures, 1),
    (Charge::WriteUnits, 7),
];

impl Evidence<'_> {
    /// Returns what the execution of the run takes. `usage_lines` is the number of lines by which the ledger counts its
    /// usage, and `has_failed` is true if the execution fails after the seal.
    pub(super) fn platform(&self, usage_lines: u64, has_failed: bool) -> PlatformUse {
        let own = |record: &&StepRecord| record.attempt_no == self.run.attempt_no;
        let records: Vec<&StepRecord> = self.records().filter(own).collect();
        let steps = records.len() as u64;
        let rounds = Rounds::of(&records);
        let waves = self.plan.map_or(0, |plan| waves(plan, &records));
        let needs = self.plan.map_or(0, |plan| previous_results(plan, &records));
        let waited: u64 = self.paid().map(|(_, attempt)| attempt.latency_ms).sum();
        let reported =
            self.paid().filter(|(_, attempt)| attempt.error.is_some_and(ErrorName::fails_over));
        let reported = reported.count() as u64;
        // The request, the plan, the manifest with its signature, and what each step has stored.
        let objects = 3 + u64::from(self.plan.is_some()) + steps;
        let s3_reads = 4 + 2 * rounds.calls + steps + needs;
        // PersistArtifact, EmitMetrics, ShouldNotify? and Notify; or the finalize machine, which does the same.
        let end = if self.ending.is_some() { 10 } else { 4 + u64::from(has_failed) };
        let mut taken: PlatformUse = [
            (Charge::Transitions, 1 + 2 * waves + steps + rounds.transitions + end),
            (Charge::FunctionCalls, 4 + rounds.decisions + rounds.calls),
            (Charge::GbMilliseconds, waited * INVOKE_MEMORY_MB / 1_024),
            (Charge::S3Writes, objects + 1),
            (Charge::S3Reads, s3_reads),
            // A call of invoke looks for a stored answer first, and there is none to decrypt.
            (Charge::KmsRequests, objects + s3_reads - rounds.calls),
            (Charge::Signatures, 1),
            // A failed call is reported to the breaker of its target.
            (Charge::WriteUnits, 9 + rounds.calls + 2 * usage_lines + 2 * reported),
            (Charge::HalfReadUnits, 4 + 8 * rounds.decisions + 2 * reported),
            (Charge::ObjectEvents, EVENTS_OF_OBJECT * objects),
        ]
        .into_iter()
        .collect();
        if self.run.batch.is_some() {
            // The three states of the batch's Map iteration. The function open-item does what dispatch does for a run, and
            // reads the batch and its part for that. No notification is sent.
            taken.take(Charge::Transitions, 3);
            taken.take(Charge::S3Reads, 5);
            taken.take(Charge::KmsRequests, 5);
        } else {
            taken.take(Charge::SnsMessages, 1);
            taken.take(Charge::SqsRequests, REQUESTS_OF_MESSAGE);
        }
        if has_failed && self.ending.is_none() {
            taken.add(&FINALIZED.into_iter().collect());
        }
        taken
    }
}

/// The rounds of the router over all step executions.
#[derive(Default)]
struct Rounds {
    decisions: u64,
    /// The calls of invoke.
    calls: u64,
    transitions: u64,
}

impl Rounds {
    fn of(records: &[&StepRecord]) -> Self {
        let mut rounds = Self::default();
        for decision in records.iter().flat_map(|record| &record.decisions) {
            rounds.decisions += 1;
            if matches!(decision.next, Next::WaitS(_)) {
                // FailoverRouter, ShouldWait? and Backoff.
                rounds.transitions += 3;
            } else {
                // FailoverRouter, ShouldWait?, Invoke and IsExhausted?.
                rounds.transitions += 4;
                rounds.calls += 1;
            }
        }
        rounds
    }
}

/// Returns the number of waves with step executions of this run attempt.
fn waves(plan: &Plan, records: &[&StepRecord]) -> u64 {
    let has = |step: &str| records.iter().any(|record| record.step_id == step);
    plan.waves.iter().filter(|wave| wave.steps.iter().any(|step| has(&step.step))).count() as u64
}

/// Returns the number of previous results that the step executions have read.
fn previous_results(plan: &Plan, records: &[&StepRecord]) -> u64 {
    let executions = |step: &str| {
        let all = plan.waves.iter().flat_map(|wave| &wave.steps);
        all.filter(|execution| execution.step == step).count() as u64
    };
    let needs = records.iter().flat_map(|record| {
        let step = plan.steps.iter().find(|step| step.id == record.step_id);
        step.into_iter().flat_map(|step| &step.needs)
    });
    needs.map(|step| executions(step)).sum()
}
