//! The response cache: a step that asks for it is answered by an earlier answer to the same call, if there is one.
//!
//! The ledger has an entry for each answer, which names its artifact. The answer is read from there, so it ends with the
//! artifact: if that is gone, was erased or has changed, the step makes its call. Whatever fails here is a miss and
//! never an error. Two steps that make the same call at the same time both make it, and the last entry stays.

use std::time::Duration;

use time::OffsetDateTime;

use crate::base::digest::sha256_hex;
use crate::base::error::Fault;
use crate::base::json::{parse, to_json};
use crate::base::target::Target;
use crate::batch::packed::find_object;
use crate::call::answer::Answer;
use crate::call::parameters::Parameters;
use crate::call::request_building;
use crate::call::response_cache::{CachedCall, CachedFrom, CachedResponse, texts_sha256};
use crate::config::residency::base_model;
use crate::document::prompt::{Prompt, tag};
use crate::io::shared_breakers::SharedBreakers;
use crate::io::step::{Admission, Caller, Reports, StepWork, TakeReports, Walked, execute};
use crate::ports::{CallModel, Clock, EnterResponse, FindResponse, GetObject};
use crate::run::artifact::StepArtifact;
use crate::run::ids::RunRef;

/// Executes a step like [`execute`], unless the response cache has its answer. Returns the keys with which the answer
/// is entered, or `None` if the step does not use the cache.
///
/// # Errors
/// See [`execute`].
pub async fn execute_unless_cached<'a, M, C, L, A>(
    caller: &'a Caller<M, C, L>,
    store: &impl GetObject,
    reports: &Reports<'a>,
    admission: &A,
    work: StepWork<'_>,
    targets: &[Target],
) -> Result<(Walked, Option<ResponseKeys>), Fault>
where
    M: CallModel,
    C: Clock,
    L: TakeReports,
    A: Admission,
{
    let keys = ResponseKeys::of(&work, targets);
    if let Some(keys) = &keys
        && let Some(answer) = keys.find(&caller.health, store, &work, caller.clock.now()).await
    {
        return Ok((Walked::Answered { attempts: Vec::new(), answer }, None));
    }
    Ok((execute(caller, reports, admission, work, targets).await?, keys))
}

/// The keys of a step in the response cache: a key for each target that the router chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseKeys {
    keys: Vec<(Target, String)>,
    /// The time for which answers of the step last.
    lasts: Duration,
}

impl ResponseKeys {
    /// Returns the keys of a step. Returns `None` if the step does not use the response cache, or if its prompt cannot
    /// be rendered, with which it fails.
    pub fn of(work: &StepWork<'_>, targets: &[Target]) -> Option<Self> {
        let lasts = work.step.answers_last()?;
        let prompt = request_building::prompt(work.step, work.context).ok()?;
        let texts = texts_sha256(&prompt, &tag(work.context)).ok()?;
        let key = |target: &Target| Some((target.clone(), key(work, target, &prompt, &texts)?));
        Some(Self { keys: targets.iter().filter_map(key).collect(), lasts })
    }

    /// Finds the answer of a step. Only the answer of the model that the router would call first counts, from a target
    /// that it could choose. A step that has made a call goes on, and so does one that was elected to probe a target,
    /// because all other steps wait for its outcome.
    async fn find<L: FindResponse>(
        &self,
        health: &SharedBreakers<L>,
        store: &impl GetObject,
        work: &StepWork<'_>,
        now: OffsetDateTime,
    ) -> Option<Answer> {
        let is_probe = work.decided.decisions.last().is_some_and(|last| last.probe.is_some());
        if !work.attempts.is_empty() || is_probe {
            return None;
        }
        let (_, key) = self.keys.first()?;
        let found = health.response(key, now).await?;
        let is_allowed = found.is_fresh(now, self.lasts)
            && found.from.belongs_to(&work.plan.tenant)
            && work.route()?.could_choose(&found.from.target);
        let from = Some(found.from).filter(|_| is_allowed)?;
        let (run_id, step_id) = (&work.decided.run.run_id, &work.step.id);
        match first_artifact(store, &from).await {
            Ok(artifact) => Some(cached(artifact?, from)),
            Err(fault) => {
                tracing::warn!(run_id, step_id, "a cached answer cannot be read: {fault}");
                None
            }
        }
    }

    /// Returns what to enter of an answer once its artifact is stored. Returns `None` if the answer is not one that may
    /// answer again: `max_tokens` cut it, or it came from the cache itself.
    pub fn entry(&self, run: &RunRef, artifact: &StepArtifact) -> Option<NewResponse> {
        let record = &artifact.record;
        if artifact.truncated || record.cached_from.is_some() {
            return None;
        }
        let target = &record.attempts.last()?.target;
        let (_, key) = self.keys.iter().find(|(listed, _)| listed == target)?;
        let from = CachedFrom {
            key: run.step_key(&record.step_id, record.item),
            sha256: sha256_hex(&to_json(artifact).ok()?),
            run_id: run.run_id.clone(),
            segment: None,
            target: target.clone(),
            stored_at: OffsetDateTime::UNIX_EPOCH,
        };
        Some(NewResponse { key: key.clone(), from, lasts: self.lasts })
    }
}

/// An answer to enter when it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct NewResponse {
    key: String,
    /// The time at which it is stored is not known yet.
    from: CachedFrom,
    lasts: Duration,
}

impl NewResponse {
    /// Enters an answer that was stored at `stored_at`. `segment` is the key of the segment that has it, if its run is
    /// packed. A ledger that fails is logged only: the next run makes the call again.
    pub async fn enter(
        self,
        ledger: &impl EnterResponse,
        segment: Option<String>,
        stored_at: OffsetDateTime,
    ) {
        let from = CachedFrom { segment, stored_at, ..self.from };
        let response = CachedResponse { from, expires_at: stored_at + self.lasts };
        if let Err(fault) = ledger.enter_response(&self.key, &response).await {
            let run_id = &response.from.run_id;
            tracing::warn!(run_id, "an answer is missing in the response cache: {fault}");
        }
    }
}

/// Returns the key of a call to `target`. The schema counts as enforced, even if the service turns out to refuse it.
fn key(work: &StepWork<'_>, target: &Target, prompt: &Prompt, texts: &str) -> Option<String> {
    let (plan, step, route) = (work.plan, work.step, work.route()?);
    let takes = plan.takes(step, route, target)?;
    let mut parameters = Parameters::of(step, takes, false);
    parameters.leave_room(prompt, takes);
    let call = CachedCall {
        tenant: &plan.tenant,
        model: base_model(route.profiles.resolve(&target.region, &target.model_id)),
        guardrail: target.guardrail.as_ref(),
        texts_sha256: texts,
        step,
        parameters: &parameters,
    };
    call.key().ok()
}

/// Reads the artifact of the first answer. Returns `None` if it is gone, was erased or has changed.
async fn first_artifact(
    store: &impl GetObject,
    from: &CachedFrom,
) -> Result<Option<StepArtifact>, Fault> {
    let Some(body) = store.get(from.segment.as_ref().unwrap_or(&from.key)).await? else {
        return Ok(None);
    };
    let artifact = match &from.segment {
        Some(segment) => find_object(segment, &body, &from.run_id, &from.key)?,
        None => Some(body),
    };
    let unchanged = artifact.filter(|artifact| sha256_hex(artifact) == from.sha256);
    unchanged.map(|artifact| parse(&from.key, &artifact)).transpose()
}

fn cached(first: StepArtifact, from: CachedFrom) -> Answer {
    Answer {
        output: first.output,
        truncated: first.truncated,
        stop_reason: first.stop_reason,
        prompt_sha256: first.prompt_sha256,
        cached_from: Some(Box::new(from)),
    }
}
