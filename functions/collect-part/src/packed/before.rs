//! The results and answers of items that an earlier batch attempt has worked off.

use std::collections::BTreeMap;

use bcce_core::base::error::Fault;
use bcce_core::batch::manifest::ItemOutput;
use bcce_core::batch::reference::BatchRef;
use bcce_core::batch::{Item, ItemResult, Way};
use bcce_core::io::objects;
use bcce_core::io::previous_results::collected_before;
use bcce_core::ports::GetObject;

use super::{Found, skipped};

/// The results of a part at an earlier attempt, by item number.
#[derive(Default)]
pub(super) struct Before {
    results: BTreeMap<u64, ItemResult>,
    outputs: BTreeMap<u64, ItemOutput>,
}

impl Before {
    /// Reads the results of the latest attempt before `batch` that collected the part.
    pub async fn read(store: &impl GetObject, batch: &BatchRef, part: u32) -> Result<Self, Fault> {
        let Some(before) = collected_before(store, batch, part, Way::Packed).await? else {
            return Ok(Self::default());
        };
        let results: Vec<ItemResult> =
            objects::read_lines(store, &before.part_results_key(part)).await?;
        let outputs: Vec<ItemOutput> =
            objects::read_lines(store, &before.part_outputs_key(part)).await?;
        Ok(Self {
            results: results.into_iter().map(|result| (result.n, result)).collect(),
            outputs: outputs.into_iter().map(|output| (output.n, output)).collect(),
        })
    }

    /// Returns the result of an item that this attempt does not run.
    pub fn take(&mut self, item: &Item) -> Result<Found, Fault> {
        let output = self.outputs.remove(&item.n);
        let result = self.results.remove(&item.n).unwrap_or_else(|| skipped(item, 1));
        Ok(Found { result, output, run: None })
    }
}
