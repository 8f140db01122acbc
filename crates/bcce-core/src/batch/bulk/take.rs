//! Converts a returned record to an attempt and its answer.

use time::OffsetDateTime;

use crate::base::error::{ErrorName, Fault};
use crate::base::target::Target;
use crate::base::usage::Usage;
use crate::batch::bulk::output::Returned;
use crate::batch::bulk::record::Asking;
use crate::call::answer;
use crate::call::answer::{Answer, answered};
use crate::call::attempt::{Attempt, AttemptKind, AttemptOutcome};
use crate::config::pricing::Tier;

/// The time at which a job was started, and the time at which it was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Took {
    pub from: OffsetDateTime,
    pub to: OffsetDateTime,
}

/// The outcome of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// The attempt of the record, priced as a bulk job on the day on which the job was started.
    pub attempt: Attempt,
    /// The answer, or the error with which the step ends if the record does not run on demand.
    pub result: Result<Answer, Fault>,
}

/// Converts a returned record to an attempt and its answer, as if the record had been a call.
///
/// # Errors
/// Returns `Bcce.Internal` if an answer that was accepted cannot be read.
pub fn take(
    asked: &Asking<'_>,
    target: &Target,
    took: Took,
    returned: &Returned,
) -> Result<Taken, Fault> {
    let answered = answered(&returned.result);
    let failure = answered.as_ref().err();
    // The service does not report when it processed a record, so all records have the price of the day on which their
    // job was started.
    let cost = |used: &Usage| asked.plan.cost(&target.model_id, took.from, Tier::Batch, used);
    let mut attempt = Attempt {
        target: target.clone(),
        kind: AttemptKind::Bulk,
        outcome: match failure {
            Some(_) => AttemptOutcome::Failed,
            None => AttemptOutcome::Answered,
        },
        error: failure.map(|failure| failure.name),
        message: failure.map(|failure| failure.message.clone()),
        advice: failure.and_then(|failure| failure.advice.clone()),
        cause: failure.and_then(|failure| failure.blame.cause()),
        adapted: asked.parameters.adapted.clone(),
        retry_after_s: None,
        started_at: took.from,
        latency_ms: u64::try_from((took.to - took.from).whole_milliseconds()).unwrap_or(0),
        first_token_ms: None,
        service_tier: None,
        guardrail_origin: Vec::new(),
        usage: returned.usage,
        cost_usd: returned.usage.and_then(|used| cost(&used)),
        cache: None,
    };
    let result = match answered {
        Ok(answer) => answer::read(asked.step, asked.prompt, asked.parameters.max_tokens, answer)?
            .map_err(|fault| {
                attempt.mark_invalid(&fault);
                Fault::new(ErrorName::OutputInvalid, fault)
            }),
        Err(failure) => Err(Fault::new(failure.name, failure.describe(target))),
    };
    Ok(Taken { attempt, result })
}
