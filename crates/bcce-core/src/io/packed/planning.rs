//! Plans the runs of a packed part.

use time::OffsetDateTime;

use crate::base::error::{ErrorName, Fault};
use crate::batch::item::Item;
use crate::batch::message::StoredBatch;
use crate::batch::packed::{PLAN, PackedRun, REQUEST, RunState};
use crate::batch::reference::BatchRef;
use crate::config::configuration::Configuration;
use crate::config::routing::Retries;
use crate::io::item_run::item_request;
use crate::ports::OpenSource;
use crate::run::ids::Run;
use crate::run::plan::{Plan, Sources};

/// The documents that all runs of a batch are planned from.
#[derive(Debug)]
pub struct Planning<'a, R> {
    /// The source of the batch, which has the texts of its objects.
    pub sources: &'a R,
    pub batch: &'a BatchRef,
    pub stored: &'a StoredBatch,
    pub configuration: &'a Configuration,
    pub retries: Retries,
}

impl<R: OpenSource> Planning<'_, R> {
    /// Makes the request and the plan of an item's run. An item that is not valid is refused, and a run that may not
    /// run is over, with the reason.
    ///
    /// # Errors
    /// Returns `Bcce.Internal` if the source of the batch failed.
    pub async fn plan(
        &self,
        item: Item,
        run: Run,
        now: OffsetDateTime,
    ) -> Result<PackedRun, Fault> {
        let n = item.n;
        let mut packed = PackedRun::new(n, run);
        let request = match item_request(self.sources, self.stored, self.batch, item).await {
            Ok(request) => request,
            Err(fault) if fault.name == ErrorName::Internal => return Err(fault),
            Err(fault) => {
                let batch_id = &self.batch.batch_id;
                tracing::warn!(batch_id, n, "an item is refused: {}", fault.message);
                packed.state = RunState::Refused(fault);
                return Ok(packed);
            }
        };
        packed.add(REQUEST, &request)?;
        let (configuration, retries) = (self.configuration, self.retries);
        match Plan::resolve(&Sources { request: &request, configuration, retries }) {
            Ok(plan) => packed.add(PLAN, &plan)?,
            Err(refused) => {
                let fault = Some(refused.into());
                packed.state = RunState::Over { ended_at: now, fault, ending: None };
            }
        }
        Ok(packed)
    }
}
