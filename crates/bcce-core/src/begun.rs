//! Calls that were begun, noted in the ledger beside them: one that no artifact tells of was lost, with the
//! function that made it.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::artifact::Course;
use crate::attempt::{Attempt, AttemptKind, AttemptOutcome, Target};

/// What is known of a call before it is answered. Noted twice it is the same call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    pub target: Target,
}

/// A call of a step, as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BegunStep {
    pub step: String,
    pub item: Option<u32>,
    pub call: Begun,
}

impl Begun {
    fn is(&self, attempt: &Attempt) -> bool {
        self.started_at == attempt.started_at && self.target == attempt.target
    }

    /// What the call came to: nobody knows, and it may have been paid.
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

impl BegunStep {
    /// None of the courses tells of it.
    pub fn is_lost<'a>(&self, courses: impl IntoIterator<Item = &'a Course>) -> bool {
        let is_its = |course: &&Course| course.step_id == self.step && course.item == self.item;
        let mut its = courses.into_iter().filter(is_its);
        !its.any(|course| course.attempts.iter().any(|attempt| self.call.is(attempt)))
    }
}
