//! Opens a retry of a batch: of the same items, those that did not succeed run again.

use std::collections::BTreeMap;

use bcce_core::base::error::Fault;
use bcce_core::base::json::{add_line, parse};
use bcce_core::batch::Way;
use bcce_core::batch::manifest::Opened;
use bcce_core::batch::reference::{BatchRef, Place};
use bcce_core::batch::{Entry, ItemResult, ItemStatus, Mode};
use bcce_core::io::objects;
use bcce_core::io::previous_results::previous_results;
use bcce_core::ports::{GetObject, PutObject};

/// Opens a retry. Its items run in the way of the attempt before, from the same configuration. Returns `None` if no
/// earlier attempt was opened.
///
/// # Errors
/// `Bcce.Internal`: S3 failed, or an object cannot be parsed.
pub(crate) async fn of(
    store: &(impl GetObject + PutObject),
    batch: &BatchRef,
) -> Result<Option<Opened>, Fault> {
    let Some((before, opened)) = opened_before(store, batch).await? else { return Ok(None) };
    if opened.way == Way::Packed {
        let configuration = objects::bytes(store, &before.configuration_key()).await?;
        store.put(&batch.configuration_key(), &batch.batch_id, configuration).await?;
    }
    let mut to_run = 0;
    for part in 1..=opened.parts {
        let places = left_over(store, batch, part, opened.way).await?;
        to_run += places.len() as u64;
        if !places.is_empty() {
            let mut lines = Vec::new();
            places.iter().try_for_each(|place| add_line(&mut lines, place))?;
            store.put(&batch.places_key(part), &batch.batch_id, lines).await?;
        }
    }
    let before = before.attempt_no;
    let because = vec![format!("a retry runs the items that attempt {before} left over")];
    Ok(Some(Opened { to_run, mode: Mode::OnDemand, because, bulk: None, ..opened }))
}

/// Finds the last attempt that was opened, and what was opened.
async fn opened_before(
    store: &impl GetObject,
    batch: &BatchRef,
) -> Result<Option<(BatchRef, Opened)>, Fault> {
    for before in batch.before() {
        if let Some(opened) = objects::find(store, &before.opened_key()).await? {
            return Ok(Some((before, opened)));
        }
    }
    Ok(None)
}

/// Returns the items of a part that did not succeed, with the number of their next run attempt.
async fn left_over(
    store: &impl GetObject,
    batch: &BatchRef,
    part: u32,
    way: Way,
) -> Result<Vec<Place>, Fault> {
    let next = previous_results(store, batch, part, way).await?;
    let next: Option<BTreeMap<u64, u32>> =
        next.map(|results| results.iter().filter_map(attempt).collect());
    let key = batch.part_key(part);
    let body = objects::bytes(store, &key).await?;
    let (mut at, mut places) = (0, Vec::new());
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let bytes = line.strip_suffix(b"\n").unwrap_or(line).len() as u64;
        if let Entry::Item(item) = parse::<Entry>(&key, line)? {
            // All items of a part that was never collected run again.
            let attempt_no = match &next {
                Some(next) => next.get(&item.n).copied(),
                None => Some(1),
            };
            places.extend(attempt_no.map(|attempt_no| Place {
                n: item.n,
                part,
                at,
                bytes,
                attempt_no,
            }));
        }
        at += line.len() as u64;
    }
    Ok(places)
}

/// Returns an item's number and the number of its next run attempt. Returns `None` if the item does not run again.
fn attempt(result: &ItemResult) -> Option<(u64, u32)> {
    let before = result.attempt_no.unwrap_or(1);
    let attempt_no = match result.status {
        ItemStatus::Succeeded | ItemStatus::Rejected => return None,
        ItemStatus::Failed | ItemStatus::Cancelled => before + 1,
        // The run was not started, or its result may still be stored.
        ItemStatus::Skipped | ItemStatus::Running => before,
    };
    Some((result.n, attempt_no))
}
