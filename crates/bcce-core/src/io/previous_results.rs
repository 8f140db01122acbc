//! What earlier attempts at a batch stored.

use crate::base::error::Fault;
use crate::batch::manifest::ItemResult;
use crate::batch::reference::BatchRef;
use crate::io::objects;
use crate::ports::GetObject;

/// Returns the results of a part's items from the latest attempt that collected them, or `None`. An attempt that was
/// interrupted has stored none, so earlier attempts are tried.
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
