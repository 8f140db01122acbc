//! Reads the artifacts of a run, and makes the manifest from them.

use bcce_core::base::error::Fault;
use bcce_core::base::json::parse;
use bcce_core::call::attempt::{Attempt, AttemptKind};
use bcce_core::io::objects;
use bcce_core::ports::{CommitCall, GetObject};
use bcce_core::run::artifact::{ArtifactRef, FinishedStep, StepFailure, StepRecord};
use bcce_core::run::budgets::spent;
use bcce_core::run::call_log::LoggedStep;
use bcce_core::run::ids::{ANSWER, FAILURE, RunRef, StepRef};
use bcce_core::run::manifest::{Evidence, Manifest};
use bcce_core::run::plan::Plan;
use futures::StreamExt;
use time::OffsetDateTime;

use crate::Request;

/// The number of objects that are read at a time. A run of 200 steps takes seconds, and a few megabytes of memory.
const AT_A_TIME: usize = 8;

/// The content of an artifact.
enum Finding {
    Plan(Box<Plan>),
    Answer(Box<FinishedStep>),
    Failure(Box<StepFailure>),
    Nothing,
}

/// The artifacts that were found below a run's prefix.
#[derive(Default)]
pub(crate) struct Found {
    artifacts: Vec<ArtifactRef>,
    plan: Option<Plan>,
    answers: Vec<FinishedStep>,
    failures: Vec<StepFailure>,
}

/// Reads all artifacts of a run. `listed` has the keys of all of its objects.
///
/// # Errors
/// `Bcce.Internal`: S3 failed, or an artifact cannot be parsed.
pub(crate) async fn gather(
    store: &impl GetObject,
    run: &RunRef,
    listed: &[String],
) -> Result<Found, Fault> {
    let keys: Vec<&String> = listed.iter().filter(|key| is_artifact(run, key)).collect();
    let read = keys.into_iter().map(|key| read(store, run, key));
    let read: Vec<_> = futures::stream::iter(read).buffered(AT_A_TIME).collect().await;
    let mut all = Found::default();
    for found in read {
        let (artifact, finding) = found?;
        all.artifacts.push(artifact);
        match finding {
            Finding::Plan(found) => all.plan = Some(*found),
            Finding::Answer(answer) => all.answers.push(*answer),
            Finding::Failure(failure) => all.failures.push(*failure),
            Finding::Nothing => {}
        }
    }
    Ok(all)
}

impl Found {
    /// Returns the time to wait for calls of an execution that ended badly, in seconds. Returns `None` if no call can
    /// be under way.
    pub fn wait_s(&self, request: &Request, now: OffsetDateTime) -> Option<u64> {
        let is = |record: &StepRecord, step: &StepRef| {
            record.step_id == step.step && record.item == step.item
        };
        let answered = |step: &StepRef| {
            let answer = self.answers.iter().find(|answer| is(answer, step))?;
            // A step that was answered from the response cache has no attempt.
            let decided = answer.decisions.last().map(|decision| decision.at);
            answer.attempts.last().map(Attempt::ended_at).or(decided)
        };
        // An invalid answer of a bulk job does not end the step, since the step then runs on demand.
        let is_of_job = |record: &StepRecord| {
            !record.attempts.is_empty()
                && record.attempts.iter().all(|attempt| attempt.kind == AttemptKind::Bulk)
        };
        let failed = |step: &StepRef| {
            self.failures.iter().any(|f| is(&f.record, step) && !is_of_job(&f.record))
        };
        request.ending.as_ref()?.wait_s(self.plan.as_ref(), answered, failed, now)
    }

    /// Commits what calls have reserved and not committed, because their function was killed. A call whose attempt is
    /// stored has spent its cost. A lost call may have cost all that it has reserved.
    ///
    /// # Errors
    /// `Bcce.Internal`: the ledger failed. Nothing is sealed then, and the retry commits the rest.
    pub async fn commit(
        &self,
        ledger: &impl CommitCall,
        run: &RunRef,
        calls: &[LoggedStep],
    ) -> Result<(), Fault> {
        let records = || {
            let failed = self.failures.iter().map(|failure| &failure.record);
            self.answers.iter().map(|answer| &answer.record).chain(failed)
        };
        for logged in calls.iter().filter(|logged| !logged.is_committed) {
            if logged.call.reserved.is_empty() {
                continue;
            }
            let attempt = logged.attempt(records());
            let (usd, usage) =
                attempt.map_or((None, None), |attempt| (attempt.cost_usd, attempt.usage.as_ref()));
            let spent = spent(&logged.call.reserved, usd, usage);
            let LoggedStep { step, item, call, .. } = logged;
            let step = StepRef { step: step.clone(), item: *item, route: String::new() };
            ledger.commit_call(run, &step, call, &spent).await?;
        }
        Ok(())
    }

    /// Makes the manifest. `calls` is the call log of the run.
    pub fn seal(self, request: &Request, calls: Vec<LoggedStep>, now: OffsetDateTime) -> Manifest {
        Manifest::seal_execution(Evidence {
            run: &request.run,
            plan: self.plan.as_ref(),
            artifacts: self.artifacts,
            answers: self.answers,
            failures: self.failures,
            broken: request.failures.clone(),
            logged_calls: calls,
            fault: request.fault.clone(),
            ending: request.ending.clone(),
            ended_at: now,
        })
    }
}

/// Returns true if the key is one of an artifact. A manifest lists artifacts only: no manifests, and no object that
/// somebody else stored below the prefix. `bcce runs verify` reports such objects.
fn is_artifact(run: &RunRef, key: &str) -> bool {
    let below = |folder: &str, end: &str| {
        key.starts_with(&format!("{}{folder}/", run.prefix())) && key.ends_with(end)
    };
    key == run.request_key()
        || key == run.plan_key()
        || below("steps", ANSWER)
        || below("failures", FAILURE)
}

/// Reads and parses an artifact. The store checks the body against the digest that it was stored with.
async fn read<S: GetObject>(
    store: &S,
    run: &RunRef,
    key: &str,
) -> Result<(ArtifactRef, Finding), Fault> {
    let body = objects::bytes(store, key).await?;
    let finding = if key == run.plan_key() {
        Finding::Plan(Box::new(parse(key, &body)?))
    } else if key.starts_with(&format!("{}steps/", run.prefix())) {
        Finding::Answer(Box::new(parse(key, &body)?))
    } else if key.starts_with(&run.failures_prefix()) {
        Finding::Failure(Box::new(parse(key, &body)?))
    } else {
        Finding::Nothing
    };
    Ok((ArtifactRef::of(key.to_owned(), &body), finding))
}
