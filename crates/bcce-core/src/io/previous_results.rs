//! The results of earlier batch attempts.

use crate::base::error::Fault;
use crate::batch::Way;
use crate::batch::manifest::ItemResult;
use crate::batch::reference::BatchRef;
use crate::io::objects;
use crate::ports::GetObject;

/// Returns the latest attempt before `batch` that collected a part, or `None`. An attempt that was interrupted may not
/// have collected it, so earlier ones are tried as well. A packed part is collected when it is sealed: the runs of one
/// that is not are not counted yet.
///
/// # Errors
/// Returns `Bcce.Internal` if the store failed.
pub async fn collected_before(
    store: &impl GetObject,
    batch: &BatchRef,
    part: u32,
    way: Way,
) -> Result<Option<BatchRef>, Fault> {
    for before in batch.before() {
        let key = match way {
            Way::Packed => before.part_manifest_key(part),
            Way::Executions => before.part_results_key(part),
        };
        if store.get(&key).await?.is_some() {
            return Ok(Some(before));
        }
    }
    Ok(None)
}

/// Returns the results of a part's items from the latest attempt before `batch` that collected them, or `None`.
///
/// # Errors
/// Returns `Bcce.Internal` if the results cannot be parsed or the store failed.
pub async fn previous_results(
    store: &impl GetObject,
    batch: &BatchRef,
    part: u32,
    way: Way,
) -> Result<Option<Vec<ItemResult>>, Fault> {
    let Some(before) = collected_before(store, batch, part, way).await? else { return Ok(None) };
    objects::read_lines(store, &before.part_results_key(part)).await.map(Some)
}
