//! Calls that were lost in flight: started, and recorded by no artifact. Their step was called again, or not at all
//! any more, and what they used is unknown. Those of a round whose end only the execution knew are among them when it
//! was stopped.

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
