//! Makes one call, and records its attempt.

use std::time::Duration;

use time::OffsetDateTime;

use super::work::StepWork;
use crate::base::error::{ErrorName, Fault};
use crate::base::target::Target;
use crate::base::usage::Usage;
use crate::call::answer::answered;
use crate::call::attempt::{Attempt, AttemptKind, Cause};
use crate::call::cache_use::{CacheUse, PrefixBytes};
use crate::call::model::{
    Blame, CallFailure, CallLimits, CallReport, Limit, ModelAnswer, ModelCall, Repair,
};
use crate::call::parameters::Parameters;
use crate::config::pricing::Tier;
use crate::document::prompt::Prompt;
use crate::failover::breaker::Signal;
use crate::failover::route::Route;
use crate::ports::CallModel;
use crate::run::plan::worst::CallBytes;
use crate::run::step_metadata::step_metadata;

/// A call to make.
pub(super) struct Call<'a> {
    pub work: &'a StepWork<'a>,
    /// The prompt, adapted to the target.
    pub prompt: &'a Prompt,
    pub parameters: &'a Parameters<'a>,
    pub target: &'a Target,
    /// The bytes that the call sends.
    pub bytes: CallBytes,
    /// True if the service has compiled the schema before, or if there is none.
    pub is_compiled: bool,
    /// The time for the whole call.
    pub time: Duration,
    /// The invalid answer that this call has to repair.
    pub repair: Option<Repair<'a>>,
}

/// The outcome of a call.
pub(super) enum CallOutcome {
    Answered(ModelAnswer),
    /// The target failed, and the next one may answer.
    NextTarget,
    /// The request does not fit this target. It may fit another target, or this one in another form.
    Misfit {
        cause: Cause,
        error: Fault,
    },
    /// No target can answer the request.
    Failed(Fault),
    /// The call was not admitted, or has no time.
    NotMade,
}

impl Call<'_> {
    /// Calls the model. Returns the attempt, the signal about the target's health, and the outcome.
    ///
    /// # Errors
    /// `Bcce.Internal`, as the outcome: the call failed by a fault of BCCE.
    pub async fn make(
        &self,
        model: &impl CallModel,
        started_at: OffsetDateTime,
        kind: AttemptKind,
    ) -> (Attempt, Signal, Result<CallOutcome, Fault>) {
        let report = model.call(&self.model_call()).await;
        let is_silent = report.first_token.is_none();
        let failure = answered(&report.result).err().map(|failure| self.blamed(failure, is_silent));
        let attempt = self.record(kind, started_at, &report, failure.as_ref());
        let signal = Signal::of(attempt.outcome, failure.as_ref());
        let outcome = match (failure, report.result) {
            (None, Ok(answer)) => Ok(CallOutcome::Answered(answer)),
            (Some(failure), _) => self.after(&failure),
            (None, Err(failure)) => self.after(&failure),
        };
        (attempt, signal, outcome)
    }

    /// Attributes a failure. A target that is silent for as long as the platform team's routing document allows is at
    /// fault. A target is not at fault if the caller's own limits were shorter, or if it may be compiling a schema.
    fn blamed(&self, failure: CallFailure, is_silent: bool) -> CallFailure {
        let (limits, patience) = (self.limits(), self.work.route().map(Route::patience));
        let patience = patience.unwrap_or_default();
        let waited_out = match failure.blame {
            Blame::Limit(_) if is_silent && !self.is_compiled => false,
            Blame::Limit(Limit::FirstToken) => {
                limits.first_token.as_secs() >= patience.first_token_s
            }
            Blame::Limit(Limit::Stall) => limits.stall.as_secs() >= patience.stall_s,
            Blame::Limit(Limit::Attempt) => {
                is_silent && limits.attempt.as_secs() >= patience.attempt_s
            }
            _ => false,
        };
        CallFailure { blame: if waited_out { Blame::Target } else { failure.blame }, ..failure }
    }

    /// Returns the outcome of a failure, and logs it.
    fn after(&self, failure: &CallFailure) -> Result<CallOutcome, Fault> {
        let (run_id, step) = (&self.work.decided.run.run_id, &self.work.step.id);
        let what = failure.describe(self.target);
        if let Some(cause) = failure.blame.cause() {
            tracing::warn!(run_id, step, "a request does not fit a target: {what}");
            return Ok(CallOutcome::Misfit { cause, error: Fault::new(failure.name, what) });
        }
        match failure.name {
            ErrorName::Internal => Err(Fault::internal(what)),
            ErrorName::TargetRejected => {
                tracing::error!(run_id, step, "a configured target rejects calls: {what}");
                Ok(CallOutcome::NextTarget)
            }
            name if name.fails_over() => {
                tracing::warn!(run_id, step, error = name.as_str(), "a target failed: {what}");
                Ok(CallOutcome::NextTarget)
            }
            name => Ok(CallOutcome::Failed(Fault::new(name, what))),
        }
    }

    fn model_call(&self) -> ModelCall<'_> {
        let StepWork { decided, plan, step, .. } = self.work;
        ModelCall {
            target: self.target,
            prompt: self.prompt,
            repair: self.repair,
            parameters: self.parameters,
            cache: self.parameters.cache,
            metadata: step_metadata(plan, decided.run, step, decided.reference.item),
            limits: self.limits(),
        }
    }

    /// Returns the timeouts of the routing document, cut to the time for the call.
    fn limits(&self) -> CallLimits {
        let timeouts = self.work.routing().map(|routing| routing.timeouts).unwrap_or_default();
        let within = |seconds: u64| Duration::from_secs(seconds).min(self.time);
        let first_token_s = if self.is_compiled {
            timeouts.first_token_s
        } else {
            timeouts.first_token_s.max(timeouts.new_schema_s)
        };
        CallLimits {
            first_token: within(first_token_s),
            stall: within(timeouts.stall_s),
            attempt: within(timeouts.attempt_s),
        }
    }

    fn record(
        &self,
        kind: AttemptKind,
        started_at: OffsetDateTime,
        report: &CallReport,
        failure: Option<&CallFailure>,
    ) -> Attempt {
        let tier = Tier::served(report.served.service_tier.as_deref());
        let cost =
            |used: &Usage| self.work.plan.cost(&self.target.model_id, started_at, tier, used);
        Attempt {
            adapted: self.parameters.adapted.clone(),
            cost_usd: report.usage.and_then(|used| cost(&used)),
            cache: report.usage.and_then(|used| self.cache_use(started_at, tier, &used)),
            ..report.attempt(self.target, kind, started_at, failure)
        }
    }

    /// Returns what the prompt cache did for the call, at the prices of its day.
    fn cache_use(
        &self,
        started_at: OffsetDateTime,
        tier: Tier<'_>,
        used: &Usage,
    ) -> Option<CacheUse> {
        let StepWork { plan, step, .. } = self.work;
        let takes = plan.takes(step, self.work.route()?, self.target)?;
        let price = plan.price(&self.target.model_id, started_at);
        let effect = price.and_then(|row| row.cache_effect(tier, used));
        let CallBytes { cached, prompt } = self.bytes;
        let bytes = PrefixBytes { prefix: cached, whole: cached + prompt };
        CacheUse::of(bytes, takes.cache_minimum_tokens, used, effect)
    }
}
