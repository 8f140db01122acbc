//! The executions that a sweep looks at, by their age.

use std::time::Duration;

use bcce_core::ledger::attempts::{AttemptKey, AttemptOf};
use bcce_core::ports::EndedExecution;
use time::OffsetDateTime;

use crate::Request;

/// The time that an end is given to be reported and handled. Both take seconds as a rule, and a finalization that is
/// under way is left alone whatever its age.
const OLDER_THAN: Duration = Duration::from_secs(3_600);
/// The time in which the hourly sweep finds an end. The daily sweep has its own, in the event of its schedule.
const WITHIN: Duration = Duration::from_secs(2 * 86_400);

/// The executions that stopped in a period.
pub struct Window {
    after: OffsetDateTime,
    before: OffsetDateTime,
    /// The time before which an execution that stopped in the period cannot have started.
    started_after: OffsetDateTime,
    /// The id of the only run or batch.
    only: Option<String>,
}

impl Window {
    /// Returns the period that the request asks for. `longest_s` is the longest time of an execution, in seconds.
    pub fn new(request: &Request, now: OffsetDateTime, longest_s: u64) -> Self {
        let age = |seconds: Option<u32>, default| {
            seconds.map_or(default, |seconds| Duration::from_secs(seconds.into()))
        };
        let after = now - age(request.within_s, WITHIN);
        Self {
            after,
            before: now - age(request.older_than_s, OLDER_THAN),
            started_after: after - Duration::from_secs(longest_s),
            only: request.only.clone(),
        }
    }

    /// Returns the attempts whose executions stopped in the period. An execution that somebody started under another
    /// name is no attempt.
    pub fn attempts(
        &self,
        of: AttemptOf,
        executions: &[EndedExecution],
    ) -> impl Iterator<Item = AttemptKey> {
        let stopped = executions.iter().filter(|execution| {
            self.after <= execution.stopped_at && execution.stopped_at <= self.before
        });
        let attempts = stopped.filter_map(move |it| AttemptKey::of_execution(of, &it.name));
        attempts.filter(|attempt| self.only.as_ref().is_none_or(|only| *only == attempt.id))
    }

    /// Returns true if a later page of the list may have executions of the period. The list has the newest start first.
    pub fn may_continue(&self, executions: &[EndedExecution]) -> bool {
        executions.last().is_none_or(|oldest| oldest.started_at >= self.started_after)
    }
}
