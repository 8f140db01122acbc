//! Executes a step: calls the targets of the router's list in order until one answers.
//!
//! A function that executes steps has a [`Caller`] for its whole process, [`Reports`] for each of its invocations, and
//! an [`Admission`] that every call passes. [`execute`] makes the calls of one step. [`DecidedStep`] turns the outcome
//! into the artifact or the failure to store.
//!
//! A step never calls a target that is not on the router's list, and never takes a cut stream for an answer.
#![allow(async_fn_in_trait)] // only functions of this project call them, on one thread each

mod call; // one call and its attempt
mod grammars; // schemas that the service has compiled or refused
mod records; // what is stored of a step that is over
mod reports; // what calls report to the ledger
#[cfg(test)]
mod tests;
mod walk; // the targets in order
mod work; // a step to execute

use time::OffsetDateTime;

use crate::base::error::Fault;
use crate::base::target::Target;
use crate::call::answer::Answer;
use crate::call::attempt::Attempt;
use crate::call::cache_points::Blocks;
use crate::call::model::Repair;
use crate::call::parameters::Parameters;
use crate::call::request_building;
use crate::document::prompt::Prompt;
use crate::io::shared_breakers::SharedBreakers;
use crate::ports::{CallModel, Clock};
use crate::run::plan::worst::CallBytes;

pub use grammars::Grammars;
pub use records::{DecidedStep, short};
pub use reports::{FinishedCall, Reports, TakeReports};
pub use work::{StepWork, prompt_context};

use walk::Walk;

/// The services and caches that calls need. A process has one, so that its steps share what they learn about targets and schemas.
pub struct Caller<M, C, L> {
    pub model: M,
    pub clock: C,
    pub health: SharedBreakers<L>,
    pub grammars: Grammars,
}

/// The point that every call passes before it is made: the first call to a target, the call without a refused schema,
/// and the repair.
pub trait Admission {
    /// Waits until the call to `target` may be made, reserves its cost and records it. `work` has the attempts of the
    /// step so far, and `size` is what the call sends and may receive.
    ///
    /// An implementation that waits has to return [`Admitted::NotNow`] before it records a call if the call would have
    /// no time ([`StepWork::time_at`]) or if its target may not be called any more ([`StepWork::may_call`]). A call that
    /// is admitted and has no time is not made: [`Admission::not_made`] is called instead of [`Admission::ended`].
    ///
    /// # Errors
    /// `Bcce.Internal`: the call could not be admitted by a fault of BCCE. The step is then not concluded.
    async fn admit(
        &self,
        work: &StepWork<'_>,
        target: &Target,
        size: CallSize,
    ) -> Result<Admitted, Fault>;

    /// Takes back a call to `target` that was admitted and then not made.
    fn not_made(&self, _work: &StepWork<'_>, _target: &Target) {}

    /// Takes the end of a call. Returns whether the breaker of its target hears of it. The breaker hears of the probe
    /// that the step was elected for in any case, because all other steps wait for its outcome.
    fn ended(&self, work: &StepWork<'_>, call: &FinishedCall<'_>) -> bool;
}

/// The size of a call: the bytes that it sends, and the longest answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallSize {
    pub bytes: CallBytes,
    /// The longest answer, in tokens.
    pub max_tokens: u64,
}

impl CallSize {
    /// Returns the size of a call with this prompt.
    pub fn of(prompt: &Prompt, parameters: &Parameters<'_>, repair: Option<Repair<'_>>) -> Self {
        let prefix = Blocks::of(prompt, parameters.cache.is_some()).prefix_bytes();
        let whole = prompt.user.len() + prompt.system_texts().map(str::len).sum::<usize>();
        let schema = parameters.schema.as_ref().map_or(0, |schema| schema.to_string().len());
        let repair = repair.map_or(0, |repair| repair.answer.len() + repair.fault.len());
        // The service may count the schema as a part of the prefix.
        let cached = if prefix > 0 { prefix + schema } else { 0 };
        let rest = whole + schema + repair - cached;
        let bytes = CallBytes { prompt: rest as u64, cached: cached as u64 };
        Self { bytes, max_tokens: parameters.max_tokens.into() }
    }
}

/// The answer to a call that wants to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// The call starts at this time.
    At(OffsetDateTime),
    /// The step may make no further call now.
    NotNow,
    /// The step ends with this error, because the call may not be made.
    Refused(Fault),
}

/// The outcome of a walk along the router's list, with every attempt of the step.
#[derive(Debug)]
pub enum Walked {
    Answered {
        attempts: Vec<Attempt>,
        answer: Answer,
    },
    /// The list of targets or the number of calls is used up. The router decides again.
    Exhausted {
        attempts: Vec<Attempt>,
    },
    /// The function or the run has no time for another call, or a call was not admitted. The step goes on later, by a
    /// new decision of the router.
    Interrupted {
        attempts: Vec<Attempt>,
    },
    /// The step is over without an answer.
    Failed {
        attempts: Vec<Attempt>,
        error: Fault,
    },
}

/// Executes a step: calls one of `targets` after the other until one answers. Reports each call to the ledger through
/// `reports`.
///
/// # Errors
/// `Bcce.Internal`: the plan lacks a target, a call was not admitted by a fault, or a fault that no other target can
/// correct. An answer, or the lack of one, is an outcome.
pub async fn execute<'a, M, C, L, A>(
    caller: &'a Caller<M, C, L>,
    reports: &Reports<'a>,
    admission: &A,
    work: StepWork<'_>,
    targets: &[Target],
) -> Result<Walked, Fault>
where
    M: CallModel,
    C: Clock,
    L: TakeReports,
    A: Admission,
{
    let prompt = match request_building::prompt(work.step, work.context) {
        Ok(prompt) => prompt,
        Err(error) => return Ok(Walked::Failed { attempts: work.attempts, error }),
    };
    Walk::new(caller, reports, admission, work, prompt).await.along(targets).await
}
