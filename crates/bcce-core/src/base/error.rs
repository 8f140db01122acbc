//! The error names. They are API: attempts, manifests and the state machine, with its final Fail state, contain them.
//! Therefore there is one enum, without a catch-all variant.

use serde::{Deserialize, Serialize};

use crate::base::limits::cut;

macro_rules! error_names {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// The name of an error, as attempts, manifests and state machines write it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum ErrorName {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
        }

        impl ErrorName {
            /// Every error name.
            pub const ALL: &[ErrorName] = &[$(ErrorName::$variant,)*];

            /// Returns the name as it is written, such as `Bcce.NoTarget`.
            pub const fn as_str(self) -> &'static str {
                match self { $(ErrorName::$variant => $text,)* }
            }
        }
    };
}

error_names! {
    /// The request, the workflow or an input is invalid. The message names the field.
    InvalidRequest = "Bcce.InvalidRequest",
    /// The policy or the workflow forbids the request: residency, allowed models, the workflow's `request_models`, the
    /// tenant's rule or required tags.
    PolicyViolation = "Bcce.PolicyViolation",
    /// The worst case is above a limit, or a budget has not enough left.
    BudgetExceeded = "Bcce.BudgetExceeded",
    /// The target throttles calls now: 429.
    TargetThrottled = "Bcce.TargetThrottled",
    /// The target is unavailable now: 500, 503, 529 or no connection.
    TargetUnavailable = "Bcce.TargetUnavailable",
    /// The target is too slow now: no first token, a stall, or the attempt's deadline.
    TargetTimeout = "Bcce.TargetTimeout",
    /// The target's answer is broken now: 424, a cut or malformed stream.
    TargetBroken = "Bcce.TargetBroken",
    /// The target can never accept the call: no access, unknown model, profile not callable in the region.
    TargetRejected = "Bcce.TargetRejected",
    /// No target can accept the request: validation, context too long, content filtered by the service.
    RequestRejected = "Bcce.RequestRejected",
    /// A guardrail blocked the prompt or the answer. This is a result and not a fault, so the step never fails over.
    GuardrailIntervened = "Bcce.GuardrailIntervened",
    /// The answer does not fit its schema.
    OutputInvalid = "Bcce.OutputInvalid",
    /// Every target failed, has an open breaker or is forbidden, or the deadline passed.
    NoTarget = "Bcce.NoTarget",
    /// More items of a batch failed than its limit allows.
    TooManyFailures = "Bcce.TooManyFailures",
    /// An internal fault of BCCE.
    Internal = "Bcce.Internal",
}

impl ErrorName {
    /// Returns `true` if another target may still answer. `invoke` then calls the next target.
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

/// A named error with a message that a person can act on. The message never quotes prompts, inputs or answers.
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

    /// Returns a `Bcce.Internal` fault. The caller retries it; the sender of a request cannot fix it.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorName::Internal, message)
    }
}

/// One problem of a document: the field and the cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path of the field, such as `steps.review.max_tokens`.
    pub field: String,
    /// The rest of the sentence that the field begins, such as `must be above 0`.
    pub cause: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.cause)
    }
}

/// All problems of a document, so that a person can fix them all at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Returns a list of one problem.
    pub fn one(field: impl Into<String>, cause: impl Into<String>) -> Self {
        let mut problems = Self::default();
        problems.add(field, cause);
        problems
    }

    /// Adds a problem.
    pub fn add(&mut self, field: impl Into<String>, cause: impl Into<String>) {
        self.0.push(Problem { field: field.into(), cause: cause.into() });
    }

    /// Adds a problem unless `ok` is true.
    pub fn check(&mut self, ok: bool, field: impl Into<String>, cause: impl Into<String>) {
        if !ok {
            self.add(field, cause);
        }
    }

    /// Adds all problems of `other`.
    pub fn extend(&mut self, other: Problems) {
        self.0.extend(other.0);
    }

    /// Removes the problems at or below any of `fields`.
    pub fn except(mut self, fields: &[String]) -> Self {
        let at = |problem: &Problem, field: &str| {
            let rest = problem.field.strip_prefix(field);
            rest.is_some_and(|rest| {
                field.is_empty() || rest.is_empty() || rest.starts_with(['.', '['])
            })
        };
        self.0.retain(|problem| !fields.iter().any(|field| at(problem, field)));
        self
    }

    /// Puts `place` and a colon before each field, such as the file of a document.
    pub fn within(mut self, place: &str) -> Self {
        self.0.iter_mut().for_each(|problem| problem.field = format!("{place}: {}", problem.field));
        self
    }

    /// Returns the problems in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Returns `true` if there is no problem.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Moves the problems to fields below `path`. An item of a list, such as `[0]`, follows without a dot. An empty
    /// field becomes `path` itself.
    pub fn below(mut self, path: &str) -> Self {
        for problem in &mut self.0 {
            let dot =
                if problem.field.is_empty() || problem.field.starts_with('[') { "" } else { "." };
            problem.field = format!("{path}{dot}{}", problem.field);
        }
        self
    }

    /// Returns `value` if there is no problem.
    ///
    /// # Errors
    /// Returns the problems if there are any.
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

/// The largest number of problems in a fault. This limit and the next two bound the length of a fault, because queues,
/// topics and execution histories have size limits, and a sender may choose the names of fields.
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
