//! The canary calls: when a target is called, with what, and what the result shows. A call costs the shortest answer that
//! a model gives.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::error::ErrorName;
use crate::call::model::{CallFailure, CallReport};
use crate::call::parameters::Parameters;
use crate::config::models::{Takes, Thinks};
use crate::config::template::Thinking;
use crate::document::prompt::Prompt;
use crate::failover::breaker::{Breaker, BreakerStatus};
use crate::standby::checks::WatchedTarget;
use crate::standby::finding::{Check, Finding, Level};

/// The workflow under which the ledger counts canary calls. No document can have this name.
pub const WORKFLOW: &str = "_canary";

/// The time between two calls of a target: a day, less a margin. The schedule invokes the function at the same minute of
/// each hour, and a call that came some minutes early must not be postponed by an hour.
const BETWEEN_CALLS: Duration = Duration::from_secs(24 * 3_600 - 600);

/// The last canary call of a target, as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCall {
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// The result. `None` if the function ended before the call did.
    pub result: Option<CallResult>,
    /// The number of days in a row on which a target at fault did not answer, the day of this call included.
    #[serde(default)]
    pub unanswered: u32,
}

/// The result of a canary call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum CallResult {
    Answered {
        latency_ms: u64,
    },
    Failed {
        error: ErrorName,
        /// The failure, with the advice. It quotes no prompt.
        cause: String,
        advice: Option<String>,
    },
}

/// The time after which a call without a result is taken for lost. It exceeds the timeout of the function.
const LOST_AFTER: Duration = Duration::from_secs(600);

/// Returns `true` if a target has to be called: its last call was a day ago or was lost, and it may be called.
pub fn is_due(last: Option<&LastCall>, breaker: &Breaker, now: OffsetDateTime) -> bool {
    let is_old = |last: &LastCall| {
        let time = if last.result.is_none() { LOST_AFTER } else { BETWEEN_CALLS };
        now - last.started_at >= time
    };
    may_call(breaker, now) && last.is_none_or(is_old)
}

/// Returns `false` while the breaker of a target is open: runs have found it out, and another call would not help. A
/// standby whose breaker waits for its probe may be called, because no run may need it for days.
pub fn may_call(breaker: &Breaker, now: OffsetDateTime) -> bool {
    !matches!(breaker.status(now), BreakerStatus::Open { .. } | BreakerStatus::Probed { .. })
}

/// Returns `true` if another invocation is calling the target.
pub fn is_under_way(last: Option<&LastCall>, now: OffsetDateTime) -> bool {
    last.is_some_and(|last| last.result.is_none() && now - last.started_at < LOST_AFTER)
}

/// Returns the prompt of a canary call.
pub fn prompt() -> Prompt {
    Prompt { user: "Reply with OK.".into(), ..Prompt::default() }
}

/// Returns the parameters of the shortest call. An answer that `max_tokens` cuts shows that the target is alive.
pub fn parameters(takes: &Takes) -> Parameters<'static> {
    let thinking = (takes.thinking == Thinks::Optional).then_some(Thinking::Off);
    Parameters { max_tokens: 1, thinking, ..Parameters::default() }
}

impl LastCall {
    /// Returns the record of a call that ended. `before` is the record of the call before it.
    pub fn ended(
        watched: &WatchedTarget,
        before: Option<&Self>,
        started_at: OffsetDateTime,
        report: &CallReport,
    ) -> Self {
        let result = match &report.result {
            Ok(_) => answered(report),
            // A guardrail has answered for the model.
            Err(failure) if failure.name == ErrorName::GuardrailIntervened => answered(report),
            Err(failure) => failed(watched, failure),
        };
        let is_at_fault = matches!(&result, CallResult::Failed { error, .. } if error.fails_over());
        let earlier = before.map_or(0, |before| before.unanswered);
        // `bcce doctor --live` calls more often than once a day.
        let is_other_day =
            before.is_none_or(|before| started_at - before.started_at >= BETWEEN_CALLS);
        let days = if is_other_day { earlier + 1 } else { earlier.max(1) };
        let unanswered = if is_at_fault { days } else { 0 };
        Self { started_at, result: Some(result), unanswered }
    }

    /// Returns what the call shows about its target. A target that is throttled or out of reach once is no finding: a
    /// breaker opens if runs see it, too.
    pub fn finding(&self, watched: &WatchedTarget) -> Option<Finding> {
        let Some(CallResult::Failed { error, cause, advice }) = &self.result else { return None };
        let remedy = advice.clone().unwrap_or_else(|| {
            "correct the target in models.yaml or the access of the account; `bcce doctor --live` calls it again".into()
        });
        let is_transient = error.fails_over() && *error != ErrorName::TargetRejected;
        match (is_transient, self.unanswered) {
            (false, _) => {
                let cause = format!("a canary call was rejected: {cause}");
                Some(watched.finding(Level::Fail, Check::Call, cause, remedy))
            }
            (true, 0 | 1) => None,
            (true, days) => {
                let cause = format!("no canary call was answered on {days} days in a row: {cause}");
                Some(watched.finding(Level::Fail, Check::Call, cause, remedy))
            }
        }
    }
}

fn answered(report: &CallReport) -> CallResult {
    let latency_ms = u64::try_from(report.latency.as_millis()).unwrap_or(u64::MAX);
    CallResult::Answered { latency_ms }
}

fn failed(watched: &WatchedTarget, failure: &CallFailure) -> CallResult {
    let without_advice = CallFailure { advice: None, ..failure.clone() };
    CallResult::Failed {
        error: failure.name,
        cause: without_advice.describe(&watched.target),
        advice: failure.advice.clone(),
    }
}

#[cfg(test)]
mod tests;
