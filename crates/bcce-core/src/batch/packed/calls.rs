//! The record of calls that were started. A call that no segment contains was lost together with the function that made
//! it.

use serde::{Deserialize, Serialize};

use crate::run::call_log::{LoggedCall, LoggedStep};

/// A call that a part has started, as the ledger records it before the call is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedCall {
    /// The number of the item in the batch.
    pub n: u64,
    pub step: String,
    /// The allowance from which the call has taken what it has reserved. `None` if no budget pays it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowance: Option<String>,
    #[serde(flatten)]
    pub call: LoggedCall,
}

impl StartedCall {
    /// Returns the call as an entry of the run's call log.
    pub fn logged(self) -> LoggedStep {
        LoggedStep { step: self.step, item: None, call: self.call, is_committed: false }
    }
}
