//! The recorded form of the router's answer. It passes through the state machine and is stored in artifacts.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::error::ErrorName;
use crate::base::json::is_false;
use crate::base::target::Target;

/// The next action of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// The targets to try, in order.
    Targets(Vec<Target>),
    /// The time to wait before the next decision, in seconds.
    WaitS(u64),
    /// The error with which the step ends.
    Stop(ErrorName),
}

/// One answer of the router with its reasons in words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The reasons for the action.
    pub because: Vec<String>,
    /// Every target of the route, with the reason why it was chosen or passed over.
    #[serde(default)]
    pub candidates: Vec<Candidate>,
    /// The token of the election that lets this step probe the first target, whose breaker is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// The positions in `targets` of those whose breakers have failures on record. Their answers are counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watched: Vec<usize>,
    /// True if the step makes its first call to another target than its first choice, whose breaker is open.
    #[serde(default, skip_serializing_if = "is_false")]
    pub diverted: bool,
    #[serde(flatten)]
    pub next: Next,
}

/// One target of the route in a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The target as `<model id> in <region>`.
    pub target: String,
    /// True if the target was chosen.
    pub taken: bool,
    /// The reason why the target was chosen or passed over.
    pub because: String,
}

impl Decision {
    /// Describes the decision in one line, with the targets that were passed over. The step's error contains it.
    pub fn describe(&self) -> String {
        let passed = self.candidates.iter().filter(|candidate| !candidate.taken);
        let passed = passed.map(|candidate| format!("{}: {}", candidate.target, candidate.because));
        self.because.iter().cloned().chain(passed).collect::<Vec<_>>().join("; ")
    }
}
