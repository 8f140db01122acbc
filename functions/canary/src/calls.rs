//! The canary calls of targets.

use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::call::attempt::{Attempt, AttemptKind};
use bcce_core::call::model::{CallLimits, ModelCall};
use bcce_core::config::pricing::{Prices, Tier};
use bcce_core::config::profiles::Profiles;
use bcce_core::io::reader::TargetDocuments;
use bcce_core::ledger::usage::{Allocation, CountedCalls};
use bcce_core::ports::{
    CallModel, ClaimCanaryCall, Clock, ReadBreakers, ReadLastCalls, RecordCanaryCall,
};
use bcce_core::run::manifest::StepUsage;
use bcce_core::standby::canary::{self, CallResult, LastCall};
use bcce_core::standby::checks::WatchedTarget;
use bcce_core::standby::finding::Finding;
use futures::stream::{StreamExt, iter};
use time::OffsetDateTime;

use crate::Ports;

/// The number of calls at a time. It is small, because each counts against the quotas of the account.
const AT_A_TIME: usize = 4;
/// The time limits of a call. A model that thinks may be silent for a while.
const LIMITS: CallLimits = CallLimits {
    first_token: Duration::from_secs(60),
    stall: Duration::from_secs(20),
    attempt: Duration::from_secs(60),
};
/// The time that a call needs at most, with its records.
const LONGEST_CALL: Duration = Duration::from_secs(75);
/// The step under which the ledger counts the calls.
const STEP: &str = "call";

/// What the calls have found.
#[derive(Debug, Default)]
pub struct Called {
    pub called: usize,
    pub skipped: Vec<String>,
    /// The targets that did not answer, each with the cause.
    pub unanswered: Vec<String>,
    pub findings: Vec<Finding>,
}

/// The outcome for one target.
enum Outcome {
    /// The last call is the newest that is known.
    Known(Option<LastCall>),
    Called(LastCall),
    /// The target may not be called now.
    Skipped(Option<LastCall>),
}

impl<S, P, L, H, M, B, Q, T, C, F> Ports<S, P, L, H, M, B, Q, T, C, F>
where
    L: ReadLastCalls + ClaimCanaryCall + RecordCanaryCall,
    H: ReadBreakers,
    M: CallModel,
    C: Clock,
{
    /// Calls the targets that are due, or all if `is_live`, until the time is used up. Those that were never called come
    /// first, then those whose last call is the oldest, so that the next invocation reaches the ones that were left.
    /// Returns what these calls and the last calls of the others show.
    ///
    /// # Errors
    /// `Bcce.Internal`: the ledger failed. Calls that were made before are recorded.
    pub async fn call_due(
        &self,
        targets: &[WatchedTarget],
        documents: &TargetDocuments,
        profiles: &Profiles,
        is_live: bool,
        until: OffsetDateTime,
    ) -> Result<Called, Fault> {
        let keys: Vec<String> = targets.iter().map(WatchedTarget::key).collect();
        let last = self.ledger.last_calls(&keys).await?;
        let breakers = self.health.read(&keys).await?;
        let mut each: Vec<_> = targets.iter().zip(last).zip(&breakers).collect();
        each.sort_by_key(|((_, last), _)| last.as_ref().map(|last| last.started_at));
        let calls = each.into_iter().map(async |((watched, last), breaker)| {
            let now = self.clock.now();
            let is_allowed = documents.policy.allows(&watched.target, profiles);
            if !is_allowed || !canary::may_call(&breaker.breaker, now) {
                return Ok((watched, Outcome::Skipped(last.filter(|_| is_allowed))));
            }
            let is_due = is_live || canary::is_due(last.as_ref(), &breaker.breaker, now);
            let is_claimed = canary::is_under_way(last.as_ref(), now);
            if !is_due || is_claimed || now + LONGEST_CALL > until {
                return Ok((watched, Outcome::Known(last)));
            }
            let prices = &documents.prices;
            Ok((watched, self.call(watched, last.as_ref(), prices, profiles).await?))
        });
        let outcomes: Vec<Result<_, Fault>> = iter(calls).buffered(AT_A_TIME).collect().await;
        let mut called = Called::default();
        for outcome in outcomes {
            called.add(outcome?);
        }
        Ok(called)
    }

    /// Calls a target, unless another invocation does.
    async fn call(
        &self,
        watched: &WatchedTarget,
        last: Option<&LastCall>,
        prices: &Prices,
        profiles: &Profiles,
    ) -> Result<Outcome, Fault> {
        let (key, started_at) = (watched.key(), self.clock.now());
        let unanswered = last.map_or(0, |last| last.unanswered);
        let claim = LastCall { started_at, result: None, unanswered };
        if !self.ledger.claim_canary_call(&key, last, &claim).await? {
            return Ok(Outcome::Known(last.cloned()));
        }
        let (prompt, parameters) = (canary::prompt(), canary::parameters(&watched.takes));
        let metadata = [("workflow", canary::WORKFLOW), ("step", STEP)];
        let call = ModelCall {
            target: &watched.target,
            prompt: &prompt,
            repair: None,
            parameters: &parameters,
            cache: None,
            metadata: metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            limits: LIMITS,
        };
        let report = self.model.call(&call).await;
        let call = LastCall::ended(watched, last, started_at, &report);
        let id = profiles.resolve(&watched.target.region, &watched.target.model_id);
        let rows = prices.of(id);
        let row = rows.as_ref().and_then(|rows| rows.at(started_at));
        let failure = report.result.as_ref().err();
        let tier = Tier::served(report.served.service_tier.as_deref());
        let attempt = Attempt {
            cost_usd: report.usage.and_then(|used| row?.cost_in(tier, &used)),
            ..report.attempt(&watched.target, AttemptKind::First, started_at, failure)
        };
        let model = profiles.model(&watched.target.region, &watched.target.model_id);
        let usage = StepUsage::of_call(STEP, &attempt, row, model);
        let counted = CountedCalls { allocation: allocation(), usage };
        self.ledger.record_canary_call(&key, &claim, &call, &counted).await?;
        Ok(Outcome::Called(call))
    }
}

impl Called {
    fn add(&mut self, (watched, outcome): (&WatchedTarget, Outcome)) {
        let last = match outcome {
            Outcome::Known(last) => last,
            Outcome::Called(call) => {
                self.called += 1;
                if let Some(CallResult::Failed { cause, .. }) = &call.result {
                    self.unanswered.push(cause.clone());
                }
                Some(call)
            }
            Outcome::Skipped(last) => {
                self.skipped.push(watched.target.to_string());
                last
            }
        };
        self.findings.extend(last.and_then(|last| last.finding(watched)));
    }
}

fn allocation() -> Allocation {
    let (tenant, workflow) = ("default".to_owned(), canary::WORKFLOW.to_owned());
    Allocation { tenant, workflow, ..Allocation::default() }
}
