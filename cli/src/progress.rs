//! What is known of a run, put together from the ledger and from its artifacts as they appear. The
//! execution's history is not read: it holds no bodies, and everything worth seeing lies in the bucket.

use std::collections::BTreeMap;

use bcce_core::base::error::Fault;
use bcce_core::base::json::parse;
use bcce_core::call::attempt::{Attempt, Totals};
use bcce_core::ledger::RunRecord;
use bcce_core::run::artifact::{FinishedStep, StepFailure, StepRecord, StepStatus};
use bcce_core::run::ids::{ANSWER, FAILURE, RunRef};
use bcce_core::run::manifest::Manifest;
use bcce_core::run::notice::RunStatus;
use bcce_core::run::plan::Plan;

#[derive(Debug)]
pub struct Progress {
    /// The latest attempt at the run.
    pub run: RunRef,
    pub record: Option<RunRecord>,
    /// The execution's status as Step Functions spells it.
    pub execution: Option<String>,
    pub plan: Option<Plan>,
    pub manifest: Option<Manifest>,
    /// By key.
    answers: BTreeMap<String, FinishedStep>,
    failures: BTreeMap<String, StepFailure>,
}

/// One step of the plan, all its items together.
#[derive(Debug)]
pub struct StepView<'a> {
    pub id: &'a str,
    pub model: &'a str,
    pub state: State,
    /// Step executions: more than one where the step fans out.
    pub planned: usize,
    pub answers: Vec<&'a StepRecord>,
    /// Answers that `max_tokens` cut.
    pub truncated: usize,
    pub failures: Vec<&'a StepFailure>,
    /// From the manifest when the step left no artifact.
    pub error: Option<&'a Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Waiting,
    Running,
    Ended(StepStatus),
}

impl State {
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

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No execution and no record: the message lies in the inbox, or was rejected.
    Unknown,
    UnderWay,
    Over(RunStatus),
    /// The execution ended like this and sealed nothing; the settle machine is about to.
    Settling(String),
}

impl Progress {
    pub fn new(run: RunRef) -> Self {
        let (answers, failures) = Default::default();
        Self { run, record: None, execution: None, plan: None, manifest: None, answers, failures }
    }

    /// A retry is another attempt at the same run: what failed before is not its. Until it has a record,
    /// the latest is of the attempt before.
    pub fn note_record(&mut self, record: Option<RunRecord>) {
        let record = record.filter(|record| record.attempt_no >= self.run.attempt_no);
        if let Some(record) = &record {
            let latest = crate::stack::reference(record);
            if latest.attempt_no != self.run.attempt_no {
                self.manifest = None;
            }
            self.run = latest;
        }
        self.record = record;
    }

    /// The keys among `listed` that tell of this attempt and have not been read.
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

    /// # Errors
    /// `Bcce.Internal`: the object is not what this version writes.
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
            () if key == self.run.plan_key() => Some(Kind::Plan),
            () if key == self.run.manifest_key() => Some(Kind::Manifest),
            () if below(&format!("{}steps/", self.run.prefix()), ANSWER) => Some(Kind::Answer),
            () if below(&self.run.failures_prefix(), FAILURE) => Some(Kind::Failure),
            () => None,
        }
    }

    /// The record is closed last, after manifest, signature and count, so it decides. An execution
    /// that ended without closing it sealed the run and could not count it, or sealed nothing: the settle
    /// machine makes up for either.
    pub fn standing(&self) -> Standing {
        let status = self.record.as_ref().map(|record| record.status);
        let ended = self
            .execution
            .as_deref()
            .filter(|status| !matches!(*status, "RUNNING" | "PENDING_REDRIVE"));
        match (status, ended) {
            (Some(status), _) if status != RunStatus::Running => Standing::Over(status),
            (_, Some(ended)) => match &self.manifest {
                Some(manifest) => Standing::Over(manifest.status),
                None => Standing::Settling(ended.to_owned()),
            },
            (None, None) if self.execution.is_none() => Standing::Unknown,
            _ => Standing::UnderWay,
        }
    }

    /// Calls whose function ended before it could tell of them; known when the run is sealed.
    pub fn lost_calls(&self) -> usize {
        let lines = self.manifest.iter().flat_map(|manifest| &manifest.usage_by_model);
        lines.map(|line| line.lost_calls as usize).sum()
    }

    /// What this attempt paid so far.
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
            .filter(|step_record| step_record.attempt_no == self.run.attempt_no)
    }

    fn failures(&self) -> impl Iterator<Item = &StepFailure> {
        let prefix = self.run.failures_prefix();
        self.failures
            .iter()
            .filter(move |(key, _)| key.starts_with(&prefix))
            .map(|(_, failure)| failure)
    }

    /// The plan's waves, each with its steps; empty while there is no plan.
    pub fn waves(&self) -> Vec<Vec<StepView<'_>>> {
        let Some(plan) = &self.plan else { return Vec::new() };
        let mut reached = self.standing() == Standing::UnderWay;
        let mut waves = Vec::new();
        for wave in &plan.waves {
            let mut ids: Vec<&str> = wave.steps.iter().map(|step| step.step.as_str()).collect();
            ids.dedup();
            let steps: Vec<StepView> =
                ids.into_iter().map(|id| self.step(plan, id, reached)).collect();
            reached &= steps.iter().all(|step| step.state == State::Ended(StepStatus::Succeeded));
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
            Some(sealed) => State::Ended(sealed.status),
            None if answers.len() == planned => State::Ended(StepStatus::Succeeded),
            None if answers.len() + failures.len() == planned => State::Ended(failures[0].status),
            None if reached => State::Running,
            None => State::Waiting,
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

enum Kind {
    Plan,
    Manifest,
    Answer,
    Failure,
}

impl<'a> StepView<'a> {
    /// Every call made for it, in the order of their start.
    pub fn attempts(&self) -> Vec<&'a Attempt> {
        let failed = self.failures.iter().map(|failure| &failure.record);
        let step_records = self.answers.iter().copied().chain(failed);
        let mut attempts: Vec<&Attempt> =
            step_records.flat_map(|step_record| &step_record.attempts).collect();
        attempts.sort_by_key(|attempt| attempt.started_at);
        attempts
    }
}
