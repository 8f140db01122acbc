//! The use of AWS besides models by an execution of a run, as far as its evidence shows it. `make lean` compares this
//! with the requests that the local stack counts.
//!
//! It includes what follows the seal and is the same for every run: the counters, the notification, and the finalize
//! machine after a failure. Of budgets, it has the reservations and not the leases of shards. It does not include tasks that Step Functions tried again, logs, steps that were under way
//! when an execution was stopped, and the time of functions other than invoke's wait for the model.

use std::collections::BTreeSet;

use crate::base::error::ErrorName;
use crate::base::platform::{Charge, PlatformUse};
use crate::call::attempt::Attempt;
use crate::failover::decision::Next;
use crate::run::artifact::{FinishedStep, StepRecord};
use crate::run::manifest::Evidence;
use crate::run::plan::{Plan, Wave};

/// The memory of the function invoke in the template, in MB.
pub const INVOKE_MEMORY_MB: u64 = 512;

/// The events of an object: it is created; later its version expires, which makes a delete marker, and both are
/// removed.
pub const EVENTS_OF_OBJECT: u64 = 4;
/// A message is sent, received and deleted.
pub const REQUESTS_OF_MESSAGE: u64 = 3;

/// The use by the finalize machine after an execution that has sealed its run and failed: it finds that nothing is left
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
        let (records, before): (Vec<&StepRecord>, Vec<&StepRecord>) = self.records().partition(own);
        let (steps, before) = (records.len() as u64, before.len() as u64);
        let rounds = Rounds::of(&records);
        let waves = self.plan.map_or(1, |plan| waves(plan, self.records()));
        let needs = self.plan.map_or(0, |plan| previous_results(plan, &records));
        let waited: u64 = self.paid().map(|call| call.attempt.latency_ms).sum();
        let fails_over = |attempt: &Attempt| attempt.error.is_some_and(ErrorName::fails_over);
        let reported = self.paid().filter(|call| fails_over(call.attempt)).count() as u64;
        let is_item = self.run.batch.is_some();
        let budgets = self.plan.and_then(|plan| plan.budgets.as_ref());
        let budgets = budgets.map_or(0, |budgets| budgets.applied.len() as u64);
        // A call is reserved and committed, each in a transaction over its budgets and the call log.
        let reserved =
            if budgets == 0 { 0 } else { 4 * (budgets + 1) * self.paid().count() as u64 };
        // The request, the plan, the manifest with its signature, and what each step has stored.
        let planned = u64::from(self.plan.is_some());
        let objects = 3 + planned + steps;
        // A step that an earlier run attempt has finished has its answer read by invoke, and by persist-artifact.
        let cache = self.cache_use();
        let s3_reads = 4 + 2 * rounds.calls + steps + needs + 3 * before + cache.hits;
        // A call of invoke looks for a stored answer first, and persist-artifact for the plan of a refused run. There
        // is nothing to decrypt.
        let in_vain = rounds.calls + 1 - planned;
        // PersistArtifact, EmitMetrics, ShouldNotify? and what follows. The finalize machine does the same in more
        // states.
        let end = match (&self.ending, has_failed) {
            (Some(_), _) => 10 + u64::from(!is_item),
            (None, true) => 4 + u64::from(!is_item),
            (None, false) => 4,
        };
        let of_steps = steps + rounds.transitions + 5 * before;
        let mut taken: PlatformUse = [
            (Charge::Transitions, 1 + 2 * waves + of_steps + end),
            (Charge::FunctionCalls, 4 + rounds.decisions + rounds.calls + 2 * before),
            (Charge::GbMilliseconds, waited * INVOKE_MEMORY_MB / 1_024),
            (Charge::S3Writes, objects + 1),
            (Charge::S3Reads, s3_reads),
            (Charge::KmsRequests, objects + s3_reads - in_vain),
            (Charge::Signatures, 1),
            // A refused run takes two units less, as was measured. A failed call is reported to the breaker of its
            // target.
            (
                Charge::WriteUnits,
                (7 + 2 * planned + rounds.calls + 2 * usage_lines + 2 * reported + reserved)
                    .saturating_sub(cache.hits)
                    + cache.entered,
            ),
            (
                Charge::HalfReadUnits,
                4 + 8 * (rounds.decisions + before) + 2 * reported + 2 * cache.looked_up,
            ),
            (Charge::ObjectEvents, EVENTS_OF_OBJECT * objects),
        ]
        .into_iter()
        .collect();
        if is_item {
            // The states of the batch's Map iteration. The function open-item does what dispatch does for a run, and
            // reads the batch, its part and its documents for that, unless its process has read them for another item.
            // No notification is sent.
            taken.take(Charge::Transitions, if has_failed { 5 } else { 3 });
            taken.take(Charge::S3Reads, 6);
            taken.take(Charge::KmsRequests, 6);
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

/// The use of the response cache by the step executions of this run attempt.
struct CacheUse {
    looked_up: u64,
    /// The answers from the cache. They are read from S3, and no call is logged for them.
    hits: u64,
    entered: u64,
}

impl Evidence<'_> {
    fn cache_use(&self) -> CacheUse {
        let uses_it = |record: &StepRecord| {
            let step = self.plan.and_then(|plan| plan.step(&record.step_id));
            record.attempt_no == self.run.attempt_no
                && step.is_some_and(|step| step.response_cache.is_some())
        };
        let answers = || self.answers.iter().filter(|answer| uses_it(&answer.record));
        let is_hit = |answer: &&FinishedStep| answer.cached_from.is_some();
        CacheUse {
            looked_up: self.records().filter(|record| uses_it(record)).count() as u64,
            hits: answers().filter(is_hit).count() as u64,
            entered: answers().filter(|answer| !is_hit(answer) && !answer.truncated).count() as u64,
        }
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

/// Returns the number of waves with step executions.
fn waves<'a>(plan: &Plan, records: impl Iterator<Item = &'a StepRecord>) -> u64 {
    let steps: BTreeSet<&str> = records.map(|record| record.step_id.as_str()).collect();
    let has_run = |wave: &&Wave| wave.steps.iter().any(|step| steps.contains(step.step.as_str()));
    plan.waves.iter().filter(has_run).count() as u64
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
