//! What earlier attempts at a batch stored.

use crate::base::error::Fault;
use crate::batch::manifest::ItemResult;
use crate::batch::reference::BatchRef;
use crate::io::objects;
use crate::ports::GetObject;

/// Reads the results of a part's items from the latest attempt that collected them. Returns `None` if none did. An attempt
/// that broke off has stored nothing, and then the one before it counts.
///
/// # Errors
/// `Bcce.Internal`: the results cannot be parsed, or the store failed.
pub async fn previous_results(
    store: &impl GetObject,
    batch: &BatchRef,
    part: u32,
) -> Result<Option<Vec<ItemResult>>, Fault> {
    for before in batch.before() {
        let results = objects::find_lines(store, &before.part_results_key(part)).await?;
        if results.is_some() {
            return Ok(results);
        }
    }
    Ok(None)
}
