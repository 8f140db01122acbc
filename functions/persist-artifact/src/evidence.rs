//! Everything there is to know about a run, read off its artifacts.

use bcce_core::base::error::Fault;
use bcce_core::base::json::parse;
use bcce_core::call::attempt::{Attempt, AttemptKind};
use bcce_core::ports::{GetObject, ListObjects};
use bcce_core::run::artifact::{ArtifactRef, FinishedStep, StepFailure, StepRecord};
use bcce_core::run::call_log::LoggedStep;
use bcce_core::run::ids::{ANSWER, FAILURE, RunRef, StepRef};
use bcce_core::run::manifest::{Evidence, Manifest};
use bcce_core::run::plan::Plan;
use futures::StreamExt;
use time::OffsetDateTime;

use crate::Request;

/// Objects read at a time: a run of 200 steps in seconds, a few megabytes of memory.
const AT_A_TIME: usize = 8;

/// What an object says about the run.
enum Finding {
    Plan(Box<Plan>),
    Answer(Box<FinishedStep>),
    Failure(Box<StepFailure>),
    Nothing,
}

/// What lies under a run's prefix.
#[derive(Default)]
pub(crate) struct Found {
    artifacts: Vec<ArtifactRef>,
    plan: Option<Plan>,
    answers: Vec<FinishedStep>,
    failures: Vec<StepFailure>,
}

pub(crate) async fn gather(
    store: &(impl GetObject + ListObjects),
    run: &RunRef,
) -> Result<Found, Fault> {
    let listed = store.list(&run.prefix()).await?;
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
    /// Seconds until an execution that was ended from outside may be over; `None`: it is.
    pub fn wait_s(&self, request: &Request, now: OffsetDateTime) -> Option<u64> {
        let is = |step_record: &StepRecord, step: &StepRef| {
            step_record.step_id == step.step && step_record.item == step.item
        };
        let answered = |step: &StepRef| {
            let answer = self.answers.iter().find(|answer| is(answer, step))?;
            answer.attempts.last().map(Attempt::ended_at)
        };
        // A record of a job that did not stand ended nothing: the step is asked on demand.
        let is_record = |step_record: &StepRecord| {
            !step_record.attempts.is_empty()
                && step_record.attempts.iter().all(|attempt| attempt.kind == AttemptKind::Bulk)
        };
        let failed = |step: &StepRef| {
            self.failures.iter().any(|f| is(&f.record, step) && !is_record(&f.record))
        };
        request.ending.as_ref()?.wait_s(self.plan.as_ref(), answered, failed, now)
    }

    pub fn seal(self, request: &Request, begun: Vec<LoggedStep>, now: OffsetDateTime) -> Manifest {
        Manifest::seal(Evidence {
            run: &request.run,
            plan: self.plan.as_ref(),
            artifacts: self.artifacts,
            answers: self.answers,
            failures: self.failures,
            broken: request.failures.clone(),
            logged_calls: begun,
            fault: request.fault.clone(),
            ending: request.ending.clone(),
            ended_at: now,
        })
    }
}

/// Manifests list artifacts, not each other, and nothing else that somebody put there: `bcce runs verify` tells of that.
fn is_artifact(run: &RunRef, key: &str) -> bool {
    let below = |folder: &str, end: &str| {
        key.starts_with(&format!("{}{folder}/", run.prefix())) && key.ends_with(end)
    };
    key == run.request_key()
        || key == run.plan_key()
        || below("steps", ANSWER)
        || below("failures", FAILURE)
}

/// The store checks the body against the digest it was stored with.
async fn read<S: GetObject>(
    store: &S,
    run: &RunRef,
    key: &str,
) -> Result<(ArtifactRef, Finding), Fault> {
    let body = store.get(key).await?;
    let body = body.ok_or_else(|| Fault::internal(format!("{key} was listed and is gone")))?;
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
