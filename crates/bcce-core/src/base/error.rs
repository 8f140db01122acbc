//! The error names. They are API: they stand in attempts, manifests, the state machine and its
//! final Fail, so there is one enum and no catch-all.

use serde::{Deserialize, Serialize};

use crate::base::limits::cut;

macro_rules! error_names {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum ErrorName {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
        }

        impl ErrorName {
            pub const ALL: &[ErrorName] = &[$(ErrorName::$variant,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(ErrorName::$variant => $text,)* }
            }
        }
    };
}

error_names! {
    /// The request, template or input is wrong; the message names the field.
    InvalidRequest = "Bcce.InvalidRequest",
    /// Residency, allowed models, the workflow's `request_models`, the tenant's rule or required tags forbid it.
    PolicyViolation = "Bcce.PolicyViolation",
    /// The worst case is above a ceiling.
    BudgetExceeded = "Bcce.BudgetExceeded",
    /// This target, now: 429.
    TargetThrottled = "Bcce.TargetThrottled",
    /// This target, now: 500, 503, 529 or no connection.
    TargetUnavailable = "Bcce.TargetUnavailable",
    /// This target, now: no first token, a stall, or the attempt's deadline.
    TargetTimeout = "Bcce.TargetTimeout",
    /// This target, now: 424, a cut or malformed stream.
    TargetBroken = "Bcce.TargetBroken",
    /// This target can never take it: no access, unknown model, profile not callable there.
    TargetRejected = "Bcce.TargetRejected",
    /// No target can take it: validation, context too long, filtered by the service.
    RequestRejected = "Bcce.RequestRejected",
    /// A result, not a fault. Never failed over.
    GuardrailIntervened = "Bcce.GuardrailIntervened",
    /// The answer does not fit its schema.
    OutputInvalid = "Bcce.OutputInvalid",
    /// Every target tried, open or forbidden, or the deadline passed.
    NoTarget = "Bcce.NoTarget",
    /// Of a batch: more of its items failed than may.
    TooManyFailures = "Bcce.TooManyFailures",
    /// Ours.
    Internal = "Bcce.Internal",
}

impl ErrorName {
    /// Returns whether another target may still answer, so that `invoke` moves on.
    pub const fn fails_over(self) -> bool {
        matches!(
            self,
            Self::TargetThrottled
                | Self::TargetUnavailable
                | Self::TargetTimeout
                | Self::TargetBroken
                | Self::TargetRejected
        )
    }
}

impl std::fmt::Display for ErrorName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A named error with a message a person can act on. The message never quotes what was worked on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{name}: {message}")]
pub struct Fault {
    pub name: ErrorName,
    pub message: String,
}

impl Fault {
    pub fn new(name: ErrorName, message: impl Into<String>) -> Self {
        Self { name, message: message.into() }
    }

    /// Returns a fault of our own: the caller retries it, and nobody else can fix it.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorName::Internal, message)
    }
}

/// One thing wrong with a document: where, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, e.g. `steps.review.max_tokens`.
    pub field: String,
    pub cause: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.cause)
    }
}

/// Everything wrong with a document, so that a person mends it in one go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub fn one(field: impl Into<String>, cause: impl Into<String>) -> Self {
        let mut problems = Self::default();
        problems.add(field, cause);
        problems
    }

    pub fn add(&mut self, field: impl Into<String>, cause: impl Into<String>) {
        self.0.push(Problem { field: field.into(), cause: cause.into() });
    }

    /// Adds `problem` under `field` unless the check passed.
    pub fn check(&mut self, ok: bool, field: impl Into<String>, cause: impl Into<String>) {
        if !ok {
            self.add(field, cause);
        }
    }

    pub fn extend(&mut self, other: Problems) {
        self.0.extend(other.0);
    }

    /// Removes the problems at or below one of `fields`.
    pub fn beside(mut self, fields: &[String]) -> Self {
        let at = |problem: &Problem, field: &str| {
            let rest = problem.field.strip_prefix(field);
            rest.is_some_and(|rest| {
                field.is_empty() || rest.is_empty() || rest.starts_with(['.', '['])
            })
        };
        self.0.retain(|problem| !fields.iter().any(|field| at(problem, field)));
        self
    }

    /// Puts `place` before each field, for problems of a part of something larger.
    pub fn within(mut self, place: &str) -> Self {
        self.0.iter_mut().for_each(|problem| problem.field = format!("{place}: {}", problem.field));
        self
    }

    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Moves the problems to fields below `path`. An item of a list, `[0]`, follows without a dot; a field without a
    /// name is `path` itself.
    pub fn below(mut self, path: &str) -> Self {
        for problem in &mut self.0 {
            let dot =
                if problem.field.is_empty() || problem.field.starts_with('[') { "" } else { "." };
            problem.field = format!("{path}{dot}{}", problem.field);
        }
        self
    }

    /// Returns `value` if nothing is wrong.
    ///
    /// # Errors
    /// The problems.
    pub fn none_or<T>(self, value: T) -> Result<T, Problems> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&all.join("; "))
    }
}

impl std::error::Error for Problems {}

/// The most problems in a fault, and the most of each. Faults go through queues, topics and histories with bounds of
/// their own, and a sender may choose the names of fields.
const MOST_PROBLEMS: usize = 20;
const MAX_FIELD_CHARS: usize = 200;
const MAX_CAUSE_CHARS: usize = 300;

impl From<Problems> for Fault {
    fn from(problems: Problems) -> Self {
        let line = |problem: &Problem| {
            format!(
                "{}: {}",
                cut(&problem.field, MAX_FIELD_CHARS),
                cut(&problem.cause, MAX_CAUSE_CHARS)
            )
        };
        let mut lines: Vec<String> = problems.0.iter().take(MOST_PROBLEMS).map(line).collect();
        if problems.0.len() > MOST_PROBLEMS {
            lines.push(format!("and {} more", problems.0.len() - MOST_PROBLEMS));
        }
        Fault::new(ErrorName::InvalidRequest, lines.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_name_and_as_str_are_one() {
        for name in ErrorName::ALL {
            assert_eq!(serde_json::to_value(name).unwrap(), name.as_str());
        }
    }

    #[test]
    fn a_fault_is_bounded_whatever_a_sender_names() {
        let mut problems = Problems::one("x".repeat(300_000), "y".repeat(300_000));
        (0..20_000).for_each(|n| problems.add(format!("inputs.{n}"), "is not an input"));
        let fault = Fault::from(problems);
        assert!(fault.message.len() < 10_000, "{} bytes", fault.message.len());
        assert!(fault.message.ends_with("and 19981 more"), "{}", fault.message);
    }

    #[test]
    fn problems_read_as_one_line() {
        let mut problems = Problems::one("inputs.diff", "is required");
        problems.add("model", "is unknown");
        assert_eq!(
            Fault::from(problems).to_string(),
            "Bcce.InvalidRequest: inputs.diff: is required; model: is unknown"
        );
    }
}
