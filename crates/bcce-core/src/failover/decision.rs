//! The recorded form of a router's answer, as it travels through the state machine and stands in artifacts.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::error::ErrorName;
use crate::base::target::Target;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// Try these, in this order.
    Targets(Vec<Target>),
    /// Ask again after this many seconds.
    WaitS(u64),
    /// The step is over, with this error.
    Stop(ErrorName),
}

/// One answer of the router, in words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Why this action was taken.
    pub because: Vec<String>,
    /// Every target of the route, and why it was taken or passed over.
    #[serde(default)]
    pub candidates: Vec<Candidate>,
    /// The token of the election that lets this step probe the first target, whose breaker is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// Positions in `targets` of those with failures on record, whose answers count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watched: Vec<usize>,
    #[serde(flatten)]
    pub next: Next,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// `<model id> in <region>`
    pub target: String,
    pub taken: bool,
    pub because: String,
}

impl Decision {
    /// Describes the decision in one line, for the step's error.
    pub fn describe(&self) -> String {
        let passed = self.candidates.iter().filter(|candidate| !candidate.taken);
        let passed = passed.map(|candidate| format!("{}: {}", candidate.target, candidate.because));
        self.because.iter().cloned().chain(passed).collect::<Vec<_>>().join("; ")
    }
}
