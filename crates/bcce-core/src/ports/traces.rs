//! Spans of calls, for X-Ray.

use crate::call::model::CallReport;
use crate::call::model::ModelCall;

pub trait SendSpan {
    /// Sends the span of a call that has just ended, if its trace is recorded. Never waits. A span that cannot be sent
    /// is lost, because a call must not fail or wait for it.
    fn send(&self, call: &ModelCall<'_>, report: &CallReport);
}
