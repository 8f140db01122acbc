//! The call log: calls that were started, as the ledger records them. A call that no artifact records was lost with the
//! function that made it.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::target::Target;
use crate::call::attempt::{Attempt, AttemptKind, AttemptOutcome};
use crate::run::artifact::StepRecord;

/// A call that was started: what is known before its answer. Safe to log twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedCall {
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    pub target: Target,
}

/// A call of a step, as the ledger records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedStep {
    pub step: String,
    pub item: Option<u32>,
    pub call: LoggedCall,
}

impl LoggedCall {
    fn is(&self, attempt: &Attempt) -> bool {
        self.started_at == attempt.started_at && self.target == attempt.target
    }

    /// Returns the attempt of a lost call: its outcome is unknown, and it may have been paid.
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
        }
    }
}

impl LoggedStep {
    /// Returns whether none of `records` has the call.
    pub fn is_lost<'a>(&self, records: impl IntoIterator<Item = &'a StepRecord>) -> bool {
        let of_step =
            |record: &&StepRecord| record.step_id == self.step && record.item == self.item;
        let mut attempts = records.into_iter().filter(of_step).flat_map(|record| &record.attempts);
        !attempts.any(|attempt| self.call.is(attempt))
    }
}
