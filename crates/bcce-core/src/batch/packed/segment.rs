//! A segment: a checkpoint of a part, with a line for each run that has changed since the one before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;

use crate::base::error::Fault;
use crate::base::json::{is_zero, parse, to_json};
use crate::batch::packed::StartedCall;
use crate::call::attempt::{Attempt, Totals};
use crate::failover::decision::Decision;
use crate::run::artifact::{ArtifactRef, FinishedStep, StepFailure, StepRecord, StepStatus};
use crate::run::ending::Ending;
use crate::run::ids::{ANSWER, FAILURE, RECORD_FAILURE, Run};
use crate::run::manifest::{Evidence, Manifest};
use crate::run::plan::Plan;

/// The name of the request among the objects of a run.
pub const REQUEST: &str = "request.json";
/// The name of the plan among the objects of a run.
pub const PLAN: &str = "plan.json";

/// A line of a segment: what is stored of the run of an item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PackedRun {
    /// The number of the item in the batch, from 1.
    pub n: u64,
    /// The run attempt. Its execution is that of the batch.
    pub run: Run,
    pub state: RunState,
    /// The time for which the run has waited for money of a budget, in seconds. It does not count towards the timeout.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waited_s: u64,
    /// The time since which the run waits for money.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub waits_since: Option<OffsetDateTime>,
    /// The calls that earlier owners of the part have started for the run. Those that no object records are lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub started: Vec<StartedCall>,
    /// The objects that a run with an execution of its own has below its prefix, by their names without the prefix. The
    /// texts of an item are only here, so they can be erased without changing a manifest.
    pub objects: BTreeMap<String, Box<RawValue>>,
}

/// The state of a packed run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// The item is not valid, for this reason. It has no run.
    Refused(Fault),
    /// The run has its request and its plan, and no call was made for it. If it was the record of a bulk job that was
    /// charged and gave no valid answer, it has the failure of the record.
    Planned,
    /// The run goes on in the next call of the function.
    UnderWay(Vec<OpenStep>),
    Over {
        #[serde(with = "time::serde::rfc3339")]
        ended_at: OffsetDateTime,
        /// The error that ended the run outside of any step.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<Fault>,
        /// The end of a run that was cancelled.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ending: Option<Ending>,
    },
}

/// The stage of a run. Nothing changes a run that is over, and no run goes back to an earlier stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Planned,
    UnderWay,
    /// The run is over, or its item was refused.
    Over,
}

/// A step that was started and is not over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenStep {
    pub step: String,
    pub attempts: Vec<Attempt>,
    pub decisions: Vec<Decision>,
}

impl OpenStep {
    fn record(&self, run: &Run) -> StepRecord {
        StepRecord {
            version: 1,
            run_id: run.run_id.clone(),
            attempt_no: run.attempt_no,
            step_id: self.step.clone(),
            item: None,
            decisions: self.decisions.clone(),
            totals: Totals::of(&self.attempts),
            attempts: self.attempts.clone(),
            cached_from: None,
        }
    }

    fn failure(&self, run: &Run, error: Fault) -> StepFailure {
        StepFailure { record: self.record(run), status: StepStatus::Failed, error }
    }
}

/// The first byte of a line that is not a run.
pub(super) const COMMENT: u8 = b'#';

/// Returns the only line of a segment that has no run. A new owner of a part writes one, so that an owner from before
/// finds the next number taken and ends.
pub fn fence_line(owner: &str) -> String {
    format!("# {owner} works the part off from here on\n")
}

/// Parses a segment. `key` names it in the error.
///
/// # Errors
/// Returns `Bcce.Internal` if a line is not what this version writes.
pub fn parse_segment(key: &str, body: &[u8]) -> Result<Vec<PackedRun>, Fault> {
    let lines = body.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| line.first().is_some_and(|first| *first != COMMENT));
    lines.map(|line| parse(key, line)).collect()
}

impl PackedRun {
    /// Returns a run of which nothing is known yet.
    pub fn new(n: u64, run: Run) -> Self {
        Self {
            n,
            run,
            state: RunState::Planned,
            waited_s: 0,
            waits_since: None,
            started: Vec::new(),
            objects: BTreeMap::new(),
        }
    }

    /// Adds an object. `name` is its key without the prefix of the run.
    ///
    /// # Errors
    /// Returns `Bcce.Internal` if the value cannot be written as JSON.
    pub fn add(&mut self, name: &str, value: &impl Serialize) -> Result<(), Fault> {
        let json = String::from_utf8(to_json(value)?).unwrap_or_default();
        let raw = RawValue::from_string(json);
        let raw = raw.map_err(|error| Fault::internal(format!("{name} is not JSON: {error}")))?;
        self.objects.insert(name.to_owned(), raw);
        Ok(())
    }

    /// Adds an object whose key has the prefix of the run.
    ///
    /// # Errors
    /// See [`PackedRun::add`].
    pub fn add_at(&mut self, key: &str, value: &impl Serialize) -> Result<(), Fault> {
        let prefix = self.run.prefix();
        self.add(key.strip_prefix(&prefix).unwrap_or(key), value)
    }

    /// Returns the bytes of an object, which an object of its own would have as well.
    pub fn object(&self, name: &str) -> Option<&[u8]> {
        self.objects.get(name).map(|raw| raw.get().as_bytes())
    }

    /// Returns the bytes of an object whose key has the prefix of the run.
    pub fn object_at(&self, key: &str) -> Option<&[u8]> {
        self.object(key.strip_prefix(&self.run.prefix()).unwrap_or(key))
    }

    /// Returns whether the run has an object. `key` has the prefix of the run.
    pub fn has(&self, key: &str) -> bool {
        self.object_at(key).is_some()
    }

    /// Parses the plan. Returns `None` if the run was refused before it had one.
    ///
    /// # Errors
    /// Returns `Bcce.Internal` if it is not what this version writes.
    pub fn plan(&self) -> Result<Option<Plan>, Fault> {
        self.object(PLAN).map(|body| parse(PLAN, body)).transpose()
    }

    pub fn is_over(&self) -> bool {
        self.stage() == Stage::Over
    }

    pub fn stage(&self) -> Stage {
        match self.state {
            RunState::Planned => Stage::Planned,
            RunState::UnderWay(_) => Stage::UnderWay,
            RunState::Refused(_) | RunState::Over { .. } => Stage::Over,
        }
    }

    /// Returns whether this line counts in place of one that was written earlier, at which the run was at `before`.
    pub fn replaces(&self, before: Stage) -> bool {
        before != Stage::Over && self.stage() >= before
    }

    /// Returns the error of the bulk record that was charged and gave no valid answer. Returns `None` if there was no
    /// such record.
    ///
    /// # Errors
    /// Returns `Bcce.Internal` if the failure is not what this version writes.
    pub fn record_failure(&self) -> Result<Option<Fault>, Fault> {
        let is_record = |name: &&String| name.ends_with(RECORD_FAILURE);
        let Some(name) = self.objects.keys().find(is_record) else { return Ok(None) };
        let body = self.object(name).unwrap_or_default();
        Ok(Some(parse::<StepFailure>(name, body)?.error))
    }

    /// Returns the records of all steps for which calls were made.
    ///
    /// # Errors
    /// Returns `Bcce.Internal` if an object is not what this version writes.
    pub fn records(&self) -> Result<Vec<StepRecord>, Fault> {
        let is_record = |name: &str| [ANSWER, FAILURE].iter().any(|end| name.ends_with(end));
        let records = self.objects.iter().filter(|(name, _)| is_record(name));
        let records = records.map(|(name, body)| parse(name, body.get().as_bytes()));
        let mut records = records.collect::<Result<Vec<StepRecord>, _>>()?;
        if let RunState::UnderWay(open) = &self.state {
            records.extend(open.iter().map(|step| step.record(&self.run)));
        }
        Ok(records)
    }

    /// Ends a run that is not over. The attempts of its open steps become failures, since they are paid.
    ///
    /// # Errors
    /// Returns `Bcce.Internal` if a failure cannot be written as JSON.
    pub fn close(&mut self, ending: Ending) -> Result<(), Fault> {
        let over = RunState::Over { ended_at: ending.at, fault: None, ending: None };
        let open = match std::mem::replace(&mut self.state, over) {
            RunState::UnderWay(open) => open,
            RunState::Planned => Vec::new(),
            _ => return Err(Fault::internal("a run that is over cannot be closed")),
        };
        for step in open.iter().filter(|step| !step.attempts.is_empty()) {
            let failure = step.failure(&self.run, ending.fault());
            self.add_at(&self.run.failure_key(&step.step, None), &failure)?;
        }
        let ended_at = ending.at;
        self.state = RunState::Over { ended_at, fault: None, ending: Some(ending) };
        Ok(())
    }

    /// Makes the manifest of a run that is over. Returns `None` if the run is not over or was refused.
    ///
    /// # Errors
    /// Returns `Bcce.Internal` if an object is not what this version writes.
    pub fn manifest(&self) -> Result<Option<Manifest>, Fault> {
        let RunState::Over { ended_at, fault, ending } = &self.state else { return Ok(None) };
        let plan = self.plan()?;
        let (mut artifacts, mut answers, mut failures) = (Vec::new(), Vec::new(), Vec::new());
        let prefix = self.run.prefix();
        for (name, body) in &self.objects {
            let key = format!("{prefix}{name}");
            let bytes = body.get().as_bytes();
            if name.starts_with("steps/") && name.ends_with(ANSWER) {
                answers.push(parse::<FinishedStep>(&key, bytes)?);
            } else if key.starts_with(&self.run.failures_prefix()) && name.ends_with(FAILURE) {
                failures.push(parse::<StepFailure>(&key, bytes)?);
            }
            artifacts.push(ArtifactRef::of(key, bytes));
        }
        Ok(Some(Manifest::seal(Evidence {
            run: &self.run,
            plan: plan.as_ref(),
            artifacts,
            answers,
            failures,
            broken: Vec::new(),
            logged_calls: self.started.iter().cloned().map(StartedCall::logged).collect(),
            fault: fault.clone(),
            ending: ending.clone(),
            ended_at: *ended_at,
        })))
    }
}
