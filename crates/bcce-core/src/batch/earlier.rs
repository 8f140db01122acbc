//! What earlier attempts at a batch left.

use super::manifest::ItemResult;
use super::reference::BatchRef;
use crate::artifact::parse_lines;
use crate::error::Fault;
use crate::ports::GetObject;

/// What came of a part's items the last time that anything was collected; `None`: it never was. An attempt that broke
/// off has left nothing, and then the one before it counts.
pub async fn results(
    store: &impl GetObject,
    batch: &BatchRef,
    part: u32,
) -> Result<Option<Vec<ItemResult>>, Fault> {
    for before in batch.before() {
        let key = before.part_results_key(part);
        if let Some(body) = store.get(&key).await? {
            return parse_lines(&key, &body).map(Some);
        }
    }
    Ok(None)
}
