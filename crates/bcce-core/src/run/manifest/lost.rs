//! The lost calls of a run: calls that were started and that no artifact records. Their usage is unknown. The step of
//! such a call was either called again or not called any more. If an execution was stopped, the list includes the calls
//! of a round that only the execution's state had recorded.

use crate::call::attempt::Attempt;
use crate::run::manifest::Evidence;

#[derive(Debug)]
pub(super) struct Lost {
    pub step: String,
    pub attempt: Attempt,
}

pub(super) fn of(evidence: &Evidence<'_>) -> Vec<Lost> {
    let lost = evidence.logged_calls.iter().filter(|logged| logged.is_lost(evidence.records()));
    lost.map(|logged| Lost { step: logged.step.clone(), attempt: logged.call.lost() }).collect()
}
