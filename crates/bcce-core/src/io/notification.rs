//! Decides which execution sends the notification of a run or batch. Only one does, however often the run or batch is
//! finalized.

use crate::base::error::Fault;
use crate::ports::Closed;

/// A claim to send a notification: the execution that asks, and the one that it may take the notification over from.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The ARN of the execution that asks.
    pub execution_arn: &'a str,
    /// The ARN of the own execution of the run or batch.
    pub own_execution_arn: &'a str,
    /// True if the own execution was ended from outside. It may have recorded the end without sending the notification.
    pub is_ended: bool,
}

/// Returns whether the execution of `claim` sends the notification.
///
/// The execution that records the end owns the notification. If this was the own execution and it was ended before it
/// could notify, `take_over` makes the execution of `claim` the owner by a conditional write. So only one of two
/// executions that finalize sends the notification.
///
/// # Errors
/// Returns the errors of `take_over`.
pub async fn should_notify(
    closed: &Closed,
    claim: Claim<'_>,
    take_over: impl AsyncFnOnce(&str, &str) -> Result<bool, Fault>,
) -> Result<bool, Fault> {
    let Closed::Before { notification_owner } = closed else { return Ok(true) };
    match notification_owner.as_deref() {
        Some(owner) if owner == claim.execution_arn => Ok(true),
        Some(owner) if owner == claim.own_execution_arn && claim.is_ended => {
            take_over(owner, claim.execution_arn).await
        }
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::now;

    fn notifies(owner: Option<&str>, is_ended: bool, is_taken: bool) -> bool {
        let closed = Closed::Before { notification_owner: owner.map(str::to_owned) };
        let claim = Claim { execution_arn: "finalize", own_execution_arn: "own", is_ended };
        let take_over = async |from: &str, to: &str| {
            assert_eq!((from, to), ("own", "finalize"));
            Ok(is_taken)
        };
        now(should_notify(&closed, claim, take_over)).unwrap()
    }

    #[test]
    fn one_execution_notifies() {
        let claim = Claim { execution_arn: "a", own_execution_arn: "a", is_ended: false };
        let never = async |_: &str, _: &str| panic!("nothing is taken over");
        assert!(now(should_notify(&Closed::Now, claim, never)).unwrap());
        assert!(notifies(Some("finalize"), true, false), "it is the owner already");
        assert!(notifies(Some("own"), true, true), "the own execution may not have notified");
        assert!(!notifies(Some("own"), true, false), "another one has taken over");
        assert!(!notifies(Some("own"), false, true), "the own execution notifies by itself");
        assert!(!notifies(Some("third"), true, true) && !notifies(None, true, true));
    }
}
