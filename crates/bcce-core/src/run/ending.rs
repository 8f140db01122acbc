//! The end of an execution that was stopped by hand, timed out, or was ended by a limit of Step Functions. Such an
//! execution sealed nothing, and its last calls may still be under way.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::error::Fault;
use crate::base::limits::{INVOKE_SECONDS, PREPARE_SECONDS};
use crate::run::ids::StepRef;
use crate::run::plan::Plan;

/// The end of an execution that did not seal its run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    pub status: ExecutionStatus,
    /// The time at which the execution ended.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The error name that Step Functions or the state machine reported.
    #[serde(default)]
    pub error: Option<String>,
    /// The text that the state machine gave to its own error. Step Functions' own texts quote the state, so they are
    /// left out.
    #[serde(default)]
    pub cause: Option<String>,
}

/// The status of an execution that did not succeed, as Step Functions names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ExecutionStatus {
    /// The execution was stopped by hand.
    Aborted,
    Failed,
    TimedOut,
}

impl ExecutionStatus {
    pub const ALL: [Self; 3] = [Self::Aborted, Self::Failed, Self::TimedOut];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aborted => "ABORTED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
        }
    }
}

/// The time that is added to a function's longest run time: a call may start a moment after the execution ended.
const GRACE: Duration = Duration::from_secs(30);
/// The shortest and longest wait between two checks, in seconds. The wait is a quarter of the time since the end,
/// within these bounds.
const LOOKS_S: (u64, u64) = (2, 30);

impl Ending {
    /// Returns the number of seconds to wait before checking again, or `None` if the run can be sealed.
    ///
    /// A function keeps running after its execution has ended. A model that it is calling still answers, the call is
    /// paid, and the answer is stored. A manifest that was sealed earlier would not list that answer. So the caller
    /// waits until every step of the wave that the execution had reached has answered or failed, or until no function
    /// can be running any more. The reached wave is the first one whose steps had not all answered when the execution
    /// ended, because no later wave was started.
    ///
    /// `answered` returns the time at which a step answered. `failed` returns whether a step has failed.
    pub fn wait_s(
        &self,
        plan: Option<&Plan>,
        answered: impl Fn(&StepRef) -> Option<OffsetDateTime>,
        failed: impl Fn(&StepRef) -> bool,
        now: OffsetDateTime,
    ) -> Option<u64> {
        let mut waves = plan.map(|plan| plan.waves.iter()).unwrap_or_default();
        let in_time = |step: &StepRef| answered(step).is_some_and(|at| at <= self.at);
        let reached = waves.find(|wave| !wave.steps.iter().all(in_time));
        let wave_is_over = reached.is_none_or(|wave| {
            wave.steps.iter().all(|step| answered(step).is_some() || failed(step))
        });
        // Without a plan, only the function that makes it can be running.
        let (is_over, longest) = match plan {
            Some(_) => (wave_is_over, INVOKE_SECONDS),
            None => (!self.is_kill(), PREPARE_SECONDS),
        };
        let last = self.at + Duration::from_secs(longest) + GRACE;
        if is_over || now >= last {
            return None;
        }
        let since = (now - self.at).whole_seconds().max(0).unsigned_abs();
        let left = (last - now).whole_seconds().unsigned_abs() + 1;
        Some((since / 4).clamp(LOOKS_S.0, LOOKS_S.1).min(left))
    }

    /// Returns whether Step Functions or a person ended the execution. Returns `false` if the state machine ended it in
    /// its own Fail state, with a `Bcce.` error.
    pub fn is_kill(&self) -> bool {
        let is_own = |error: &String| error.starts_with("Bcce.");
        self.status != ExecutionStatus::Failed || !self.error.as_ref().is_some_and(is_own)
    }

    /// Returns the error of a run that ended this way: `Bcce.Internal` with the reason.
    pub fn fault(&self) -> Fault {
        Fault::internal(match (self.status, &self.error, &self.cause) {
            (ExecutionStatus::TimedOut, ..) => "the execution timed out".to_owned(),
            (_, _, Some(cause)) if !self.is_kill() => cause.clone(),
            (_, Some(error), _) => format!("the execution ended with {error}"),
            (_, None, _) => "the execution ended without reporting an error".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::policy::Policy;
    use crate::run::plan::tests::plan;
    use serde_json::json;
    use time::macros::datetime;

    const AT: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

    fn wait_s(answered: &[(&str, i64)], failed: &[&str], after: u64) -> Option<u64> {
        let request = json!({ "workflow": "code-review", "inputs": { "diff": "+x" } });
        let plan = plan(request, Policy::default()).unwrap();
        let ending = Ending { status: ExecutionStatus::Aborted, at: AT, error: None, cause: None };
        let at = |step: &StepRef| {
            let (_, seconds) = answered.iter().find(|(id, _)| *id == step.step)?;
            Some(AT + time::Duration::seconds(*seconds))
        };
        let failed = |step: &StepRef| failed.contains(&step.step.as_str());
        ending.wait_s(Some(&plan), at, failed, AT + Duration::from_secs(after))
    }

    #[test]
    fn a_wave_whose_steps_are_all_over_is_not_waited_for() {
        let wave = [("summarise", -9), ("correctness", -2), ("security", 3)];
        assert_eq!(wait_s(&wave, &["tests"], 5), None);
        assert_eq!(wait_s(&wave, &[], 5), Some(2), "tests may still be under way");
    }

    #[test]
    fn a_wave_that_was_not_started_is_not_waited_for() {
        assert_eq!(wait_s(&[("summarise", 3)], &[], 5), None, "it answered after the end");
        assert_eq!(wait_s(&[("summarise", -1)], &[], 5), Some(2), "the next wave may have started");
    }

    #[test]
    fn nothing_is_waited_for_longer_than_a_function_can_run() {
        assert_eq!(wait_s(&[], &[], 60), Some(15));
        assert_eq!(wait_s(&[], &[], 929), Some(2));
        assert_eq!(wait_s(&[], &[], 930), None);
    }

    #[test]
    fn without_a_plan_it_is_the_planning_that_may_be_at_work() {
        let wait_s = |status, error: Option<&str>, after| {
            let error = error.map(str::to_owned);
            let ending = Ending { status, at: AT, error, cause: None };
            ending.wait_s(None, |_| None, |_| false, AT + Duration::from_secs(after))
        };
        assert_eq!(wait_s(ExecutionStatus::Aborted, None, 1), Some(2));
        assert_eq!(wait_s(ExecutionStatus::Aborted, None, 90), None);
        assert_eq!(wait_s(ExecutionStatus::Failed, Some("Bcce.Internal"), 1), None);
    }

    #[test]
    fn only_the_machines_own_fail_state_is_not_a_kill() {
        let ending = |status, error: Option<&str>| Ending {
            status,
            at: AT,
            error: error.map(str::to_owned),
            cause: Some("the cause".into()),
        };
        let own = ending(ExecutionStatus::Failed, Some("Bcce.NoTarget"));
        assert!(!own.is_kill());
        assert_eq!(own.fault().message, "the cause");
        for (status, error) in [
            (ExecutionStatus::Failed, Some("States.Runtime")),
            (ExecutionStatus::Failed, None),
            (ExecutionStatus::Aborted, Some("Bcce.NoTarget")),
            (ExecutionStatus::TimedOut, None),
        ] {
            let ending = ending(status, error);
            assert!(ending.is_kill(), "{ending:?}");
            assert!(!ending.fault().message.contains("the cause"), "{ending:?}");
        }
    }
}
