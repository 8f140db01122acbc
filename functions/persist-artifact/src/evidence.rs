//! Everything there is to know about a run, read off its artifacts.

use bcce_core::artifact::{ArtifactRef, Course, StepFailure, parse};
use bcce_core::error::Fault;
use bcce_core::manifest::{Evidence, Manifest};
use bcce_core::plan::Plan;
use bcce_core::ports::{Clock, GetObject, ListObjects};
use bcce_core::run::RunRef;
use futures::StreamExt;

use crate::Request;

/// Objects read at a time: a run of 200 steps in seconds, a few megabytes of memory.
const AT_A_TIME: usize = 8;

/// What an object says about the run.
enum Finding {
    Plan(Box<Plan>),
    Answer(Box<Course>),
    Failure(Box<StepFailure>),
    Nothing,
}

pub(crate) async fn gather<S: GetObject + ListObjects>(
    store: &S,
    clock: &impl Clock,
    request: &Request,
) -> Result<Manifest, Fault> {
    let run = &request.run;
    let listed = store.list(&run.prefix()).await?;
    let keys: Vec<&String> = listed.iter().filter(|key| is_artifact(run, key)).collect();
    let read = keys.into_iter().map(|key| read(store, run, key));
    let read: Vec<_> = futures::stream::iter(read).buffered(AT_A_TIME).collect().await;
    let (mut artifacts, mut answers, mut failures, mut plan) = (vec![], vec![], vec![], None);
    for found in read {
        let (artifact, finding) = found?;
        artifacts.push(artifact);
        match finding {
            Finding::Plan(found) => plan = Some(*found),
            Finding::Answer(course) => answers.push(*course),
            Finding::Failure(failure) => failures.push(*failure),
            Finding::Nothing => {}
        }
    }
    Ok(Manifest::seal(Evidence {
        run,
        plan: plan.as_ref(),
        artifacts,
        answers,
        failures,
        broken: request.failures.clone(),
        fault: request.fault.clone(),
        ended_at: clock.now(),
    }))
}

/// Manifests list artifacts, not each other.
fn is_artifact(run: &RunRef, key: &str) -> bool {
    !key.starts_with(&format!("{}manifest-", run.prefix()))
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
