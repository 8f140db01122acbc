//! Enters answers in the response cache when the segment that has them is stored.

use bcce_core::io::responses::NewResponse;
use bcce_core::io::step::TakeReports;
use bcce_core::ports::{CallModel, Clock, GetObject, OpenSource, PutOnce, ReadLatencies};

use crate::KeepParts;
use crate::work::Work;

impl<S, R, L, M, C, H, F> Work<'_, '_, S, R, L, M, C, H, F>
where
    S: GetObject + PutOnce,
    R: OpenSource,
    L: KeepParts,
    M: CallModel,
    C: Clock,
    H: TakeReports + ReadLatencies,
{
    /// Notes an answer of item `n`, which enters the cache when it is stored.
    pub fn note_response(&self, n: u64, response: Option<NewResponse>) {
        if let Some(response) = response {
            self.responses.borrow_mut().entry(n).or_default().push(response);
        }
    }

    /// Enters the answers of a segment that is stored, one after the other.
    pub fn enter(&self, segment: String, responses: Vec<NewResponse>) {
        let (caller, now) = (&self.ports.caller, self.ports.caller.clock.now());
        self.reports.add(async move {
            for response in responses {
                response.enter(caller.health.ledger(), Some(segment.clone()), now).await;
            }
        });
    }
}
