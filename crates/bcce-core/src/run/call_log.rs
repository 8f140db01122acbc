//! The call log: the ledger's list of the calls that a run attempt started. A call that no artifact records was lost
//! together with the function that made it.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::target::Target;
use crate::call::attempt::{Attempt, AttemptKind, AttemptOutcome};
use crate::run::artifact::StepRecord;
use crate::run::budgets::Reserved;

/// A call that was started. Holds only what is known before the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedCall {
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    pub target: Target,
    /// What the call has reserved from budgets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserved: Vec<Reserved>,
}

/// A call in the call log, with the step that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedStep {
    pub step: String,
    pub item: Option<u32>,
    pub call: LoggedCall,
    /// True if what the call has reserved is committed.
    pub is_committed: bool,
}

impl LoggedCall {
    /// Creates a call that has reserved nothing.
    pub fn new(started_at: OffsetDateTime, target: Target) -> Self {
        Self { started_at, target, reserved: Vec::new() }
    }

    /// Returns whether `attempt` is the attempt of this call.
    fn is(&self, attempt: &Attempt) -> bool {
        self.started_at == attempt.started_at && self.target == attempt.target
    }

    /// Returns the attempt of a lost call. Its outcome is unknown and it may have been paid, so usage and cost are
    /// `None`.
    pub fn lost(&self) -> Attempt {
        Attempt {
            target: self.target.clone(),
            kind: AttemptKind::First,
            outcome: AttemptOutcome::Failed,
            error: None,
            message: None,
            advice: None,
            cause: None,
            adapted: vec![],
            retry_after_s: None,
            started_at: self.started_at,
            latency_ms: 0,
            first_token_ms: None,
            service_tier: None,
            guardrail_origin: Vec::new(),
            usage: None,
            cost_usd: None,
            cache: None,
        }
    }
}

impl LoggedStep {
    /// Returns whether the call is lost: none of `records` contains it.
    pub fn is_lost<'a>(&self, records: impl IntoIterator<Item = &'a StepRecord>) -> bool {
        self.attempt(records).is_none()
    }

    /// Returns the attempt of the call. Returns `None` if none of `records` contains it.
    pub fn attempt<'a>(
        &self,
        records: impl IntoIterator<Item = &'a StepRecord>,
    ) -> Option<&'a Attempt> {
        let of_step =
            |record: &&StepRecord| record.step_id == self.step && record.item == self.item;
        let mut attempts = records.into_iter().filter(of_step).flat_map(|record| &record.attempts);
        attempts.find(|attempt| self.call.is(attempt))
    }
}
