//! The results of earlier batch attempts.

use crate::base::error::Fault;
use crate::batch::manifest::ItemResult;
use crate::batch::reference::BatchRef;
use crate::io::objects;
use crate::ports::GetObject;

/// Returns the results of a part's items from the latest attempt before `batch` that collected them, or `None`. An
/// attempt that was interrupted may have stored none, so earlier ones are tried as well.
///
/// # Errors
/// Returns `Bcce.Internal` if the results cannot be parsed or the store failed.
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
