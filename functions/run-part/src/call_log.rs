//! Records calls in the ledger before they are made. Calls that start while a record is written share the next one, so
//! a busy part writes few records.

use std::cell::RefCell;

use bcce_core::base::error::Fault;
use bcce_core::batch::packed::StartedCall;
use bcce_core::ports::LogCalls;
use futures::channel::oneshot;
use tokio::sync::Notify;

use crate::owner::Ownership;

/// The most calls in one record. It stays far below the largest item of DynamoDB.
const MOST: usize = 100;

/// Tells the one who waits for a record whether it was written.
type Done = oneshot::Sender<Result<(), Fault>>;

/// Calls that wait to be recorded.
#[derive(Default)]
pub(crate) struct CallLog {
    waiting: RefCell<Vec<(StartedCall, Done)>>,
    is_needed: Notify,
}

impl CallLog {
    /// Waits until a call is recorded.
    ///
    /// # Errors
    /// `Bcce.Internal`: the ledger failed.
    pub async fn record(&self, call: StartedCall) -> Result<(), Fault> {
        let (done, recorded) = oneshot::channel();
        self.waiting.borrow_mut().push((call, done));
        self.is_needed.notify_one();
        recorded.await.unwrap_or_else(|_| Err(Fault::internal("the call log has ended")))
    }

    /// Writes the records, until the future is dropped.
    pub async fn write(&self, ledger: &impl LogCalls, ownership: &Ownership) {
        let mut number = 0;
        loop {
            self.is_needed.notified().await;
            while let Some((calls, done)) = self.next() {
                number += 1;
                let (part, owner) = (&ownership.part, &ownership.owner);
                let written = ledger.log_calls(part, owner, number, &calls).await;
                // A call that does not wait any more was not made.
                done.into_iter().for_each(|done| drop(done.send(written.clone())));
            }
        }
    }

    fn next(&self) -> Option<(Vec<StartedCall>, Vec<Done>)> {
        let mut waiting = self.waiting.borrow_mut();
        let most = waiting.len().min(MOST);
        (most > 0).then(|| waiting.drain(..most).unzip())
    }
}
