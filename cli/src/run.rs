//! The state of a run, read from the ledger and from its artifacts as they appear. The history of the execution is not
//! read: it contains no bodies, and the artifacts have everything that is displayed.

pub mod follow; // reads the state of a run until it ends
#[cfg(test)]
pub mod samples; // runs for tests
pub mod timeline; // decisions, calls and waits in order of time
pub mod view; // displays a run as a table or as lines

use std::collections::BTreeMap;

use bcce_core::base::error::Fault;
use bcce_core::base::json::parse;
use bcce_core::call::attempt::{Attempt, Totals};
use bcce_core::ledger::RunRecord;
use bcce_core::run::artifact::{FinishedStep, StepFailure, StepRecord, StepStatus};
use bcce_core::run::ids::{ANSWER, FAILURE, RunRef};
use bcce_core::run::manifest::Manifest;
use bcce_core::run::notification::RunStatus;
use bcce_core::run::plan::Plan;

use crate::packed::{Packed, PackedAttempt};
use crate::references::run_reference;
use crate::tracked::Status;

/// The state of a run and its latest run attempt, as far as it has been read.
#[derive(Debug)]
pub struct Run {
    /// The reference of the latest run attempt.
    pub reference: RunRef,
    /// The attempts that a batch packed.
    pub packed: Packed,
    pub record: Option<RunRecord>,
    /// The status of the execution, as Step Functions names it. For a packed run attempt, the execution of its batch.
    pub execution: Option<String>,
    pub plan: Option<Plan>,
    pub manifest: Option<Manifest>,
    /// The answers by key.
    answers: BTreeMap<String, FinishedStep>,
    /// The failures by key.
    failures: BTreeMap<String, StepFailure>,
}

/// One step of the plan with all of its items.
#[derive(Debug)]
pub struct StepView<'a> {
    pub id: &'a str,
    pub model: &'a str,
    pub state: StepState,
    /// The number of step executions. It is more than one if the step has `for_each`.
    pub planned: usize,
    pub answers: Vec<&'a StepRecord>,
    /// The number of answers that `max_tokens` cut.
    pub truncated: usize,
    pub failures: Vec<&'a StepFailure>,
    /// The error of the step. It comes from the manifest if the step left no artifact.
    pub error: Option<&'a Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    Waiting,
    Running,
    Ended(StepStatus),
}

impl StepState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Running => "RUNNING",
            Self::Ended(StepStatus::Succeeded) => "SUCCEEDED",
            Self::Ended(StepStatus::Failed) => "FAILED",
            Self::Ended(StepStatus::Skipped) => "SKIPPED",
            Self::Ended(StepStatus::Blocked) => "BLOCKED",
        }
    }
}

impl Run {
    pub fn new(reference: RunRef) -> Self {
        Self {
            reference,
            packed: Packed::default(),
            record: None,
            execution: None,
            plan: None,
            manifest: None,
            answers: BTreeMap::new(),
            failures: BTreeMap::new(),
        }
    }

    /// Returns this run attempt if it is packed.
    pub fn packed_attempt(&self) -> Option<&PackedAttempt> {
        self.packed.attempt(self.reference.attempt_no)
    }

    /// Takes the latest record. A record of an earlier run attempt is ignored: a retry has no record at first. The
    /// manifest of an earlier run attempt is dropped.
    pub fn note_record(&mut self, record: Option<RunRecord>) {
        let record = record.filter(|record| record.attempt_no >= self.reference.attempt_no);
        if let Some(record) = &record {
            let latest = run_reference(record);
            if latest.attempt_no != self.reference.attempt_no {
                self.manifest = None;
            }
            self.reference = latest;
        }
        self.record = record;
    }

    /// Returns the keys among `listed` that belong to this run attempt and have not been read.
    pub fn wanted(&self, listed: &[String]) -> Vec<String> {
        let new = |key: &&String| {
            let key = key.as_str();
            match self.kind(key) {
                Some(Kind::Plan) => self.plan.is_none(),
                Some(Kind::Manifest) => self.manifest.is_none(),
                Some(Kind::Answer) => !self.answers.contains_key(key),
                Some(Kind::Failure) => !self.failures.contains_key(key),
                None => false,
            }
        };
        listed.iter().filter(new).cloned().collect()
    }

    /// Takes an object of the run. Objects of other kinds are ignored.
    ///
    /// # Errors
    /// `Bcce.Internal` if the object does not have the format that this version writes.
    pub fn absorb(&mut self, key: &str, body: &[u8]) -> Result<(), Fault> {
        match self.kind(key) {
            Some(Kind::Plan) => self.plan = Some(parse(key, body)?),
            Some(Kind::Manifest) => self.manifest = Some(parse(key, body)?),
            Some(Kind::Answer) => drop(self.answers.insert(key.to_owned(), parse(key, body)?)),
            Some(Kind::Failure) => drop(self.failures.insert(key.to_owned(), parse(key, body)?)),
            None => {}
        }
        Ok(())
    }

    fn kind(&self, key: &str) -> Option<Kind> {
        let below = |prefix: &str, end: &str| key.starts_with(prefix) && key.ends_with(end);
        match () {
            () if key == self.reference.plan_key() => Some(Kind::Plan),
            () if key == self.reference.manifest_key() => Some(Kind::Manifest),
            () if below(&format!("{}steps/", self.reference.prefix()), ANSWER) => {
                Some(Kind::Answer)
            }
            () if below(&self.reference.failures_prefix(), FAILURE) => Some(Kind::Failure),
            () => None,
        }
    }

    /// Returns the status of the run. The record is closed last, after the manifest and the signature are written and
    /// the run is counted. If the execution ended and the record is open, the run is either sealed but not counted, or
    /// not sealed. The finalize machine completes both.
    pub fn status(&self) -> Status<RunStatus> {
        let closed = self.record.as_ref().map(|record| record.status);
        let closed = closed.filter(|status| *status != RunStatus::Running);
        match Status::of(closed, self.record.is_some(), self.execution.as_deref()) {
            Status::Finalizing(ended) => match &self.manifest {
                Some(manifest) => Status::Over(manifest.status),
                None => Status::Finalizing(ended),
            },
            status => status,
        }
    }

    /// Returns the record. A run that is sealed is over for [`Self::status`], but the record may still be open, because
    /// it is closed last; then the status and the end are those of the manifest.
    pub fn sealed_record(&self) -> Option<RunRecord> {
        let mut record = self.record.clone()?;
        if let (Status::Over(status), Some(manifest), None) =
            (self.status(), &self.manifest, record.ended_at)
        {
            record.status = status;
            record.ended_at = Some(manifest.ended_at);
            record.manifest =
                self.packed_attempt().is_none().then(|| self.reference.manifest_key());
            record.tags = manifest.tags.clone();
        }
        Some(record)
    }

    /// Counts the lost calls. They are known once the run is sealed.
    pub fn lost_calls(&self) -> usize {
        let lines = self.manifest.iter().flat_map(|manifest| &manifest.usage_by_model);
        lines.map(|line| line.lost_calls as usize).sum()
    }

    /// Returns the tokens and the cost of this run attempt so far.
    pub fn totals(&self) -> Totals {
        match &self.manifest {
            Some(manifest) => manifest.totals.clone(),
            None => Totals::of(self.step_records().flat_map(|step_record| &step_record.attempts)),
        }
    }

    fn step_records(&self) -> impl Iterator<Item = &StepRecord> {
        let failed = self.failures().map(|failure| &failure.record);
        self.answers
            .values()
            .map(|step| &step.record)
            .chain(failed)
            .filter(|step_record| step_record.attempt_no == self.reference.attempt_no)
    }

    fn failures(&self) -> impl Iterator<Item = &StepFailure> {
        let prefix = self.reference.failures_prefix();
        self.failures
            .iter()
            .filter(move |(key, _)| key.starts_with(&prefix))
            .map(|(_, failure)| failure)
    }

    /// Returns the waves of the plan with their steps. Empty if there is no plan yet.
    pub fn waves(&self) -> Vec<Vec<StepView<'_>>> {
        let Some(plan) = &self.plan else { return Vec::new() };
        let mut reached = self.status() == Status::UnderWay;
        let mut waves = Vec::new();
        for wave in &plan.waves {
            let mut ids: Vec<&str> = wave.steps.iter().map(|step| step.step.as_str()).collect();
            ids.dedup();
            let steps: Vec<StepView> =
                ids.into_iter().map(|id| self.step(plan, id, reached)).collect();
            reached &=
                steps.iter().all(|step| step.state == StepState::Ended(StepStatus::Succeeded));
            waves.push(steps);
        }
        waves
    }

    fn step<'a>(&'a self, plan: &'a Plan, id: &'a str, reached: bool) -> StepView<'a> {
        let answers: Vec<&FinishedStep> =
            self.answers.values().filter(|answer| answer.step_id == id).collect();
        let failures: Vec<&StepFailure> =
            self.failures().filter(|failure| failure.record.step_id == id).collect();
        let planned =
            plan.waves.iter().flat_map(|wave| &wave.steps).filter(|step| step.step == id).count();
        let sealed = self.manifest.as_ref().and_then(|m| m.steps.iter().find(|step| step.id == id));
        let state = match sealed {
            Some(sealed) => StepState::Ended(sealed.status),
            None if answers.len() == planned => StepState::Ended(StepStatus::Succeeded),
            None if answers.len() + failures.len() == planned => {
                StepState::Ended(failures[0].status)
            }
            None if reached => StepState::Running,
            None => StepState::Waiting,
        };
        let error = failures.first().map(|failure| &failure.error);
        StepView {
            id,
            model: plan.step(id).map_or("", |step| step.model.as_str()),
            state,
            planned,
            error: error.or_else(|| sealed.and_then(|sealed| sealed.error.as_ref())),
            truncated: answers.iter().filter(|answer| answer.truncated).count(),
            answers: answers.into_iter().map(|answer| &answer.record).collect(),
            failures,
        }
    }
}

/// A kind of object that is read.
enum Kind {
    Plan,
    Manifest,
    Answer,
    Failure,
}

impl<'a> StepView<'a> {
    /// Returns the calls of the step in the order in which they started.
    pub fn attempts(&self) -> Vec<&'a Attempt> {
        let failed = self.failures.iter().map(|failure| &failure.record);
        let step_records = self.answers.iter().copied().chain(failed);
        let mut attempts: Vec<&Attempt> =
            step_records.flat_map(|step_record| &step_record.attempts).collect();
        attempts.sort_by_key(|attempt| attempt.started_at);
        attempts
    }
}
