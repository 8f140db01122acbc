//! A retry of a batch: the same items, those of them run again that did not succeed.

use std::collections::BTreeMap;

use bcce_core::base::error::Fault;
use bcce_core::base::json::{add_line, parse};
use bcce_core::batch::manifest::Opened;
use bcce_core::batch::reference::{BatchRef, Place};
use bcce_core::batch::{Entry, ItemResult, ItemStatus, Mode};
use bcce_core::io::previous_results;
use bcce_core::ports::{GetObject, PutObject};

/// `None`: no attempt before it was opened.
pub(crate) async fn of(
    store: &(impl GetObject + PutObject),
    batch: &BatchRef,
) -> Result<Option<Opened>, Fault> {
    let Some((before, opened)) = opened_before(store, batch).await? else { return Ok(None) };
    let mut to_run = 0;
    for part in 1..=opened.parts {
        let places = left_over(store, batch, part).await?;
        to_run += places.len() as u64;
        if !places.is_empty() {
            let mut lines = Vec::new();
            places.iter().try_for_each(|place| add_line(&mut lines, place))?;
            store.put(&batch.places_key(part), &batch.batch_id, lines).await?;
        }
    }
    let because = vec![format!("a retry runs what attempt {before} left over")];
    Ok(Some(Opened { to_run, mode: Mode::OnDemand, because, bulk: None, ..opened }))
}

/// The last attempt that came so far.
async fn opened_before(
    store: &impl GetObject,
    batch: &BatchRef,
) -> Result<Option<(u32, Opened)>, Fault> {
    for before in batch.before() {
        let key = before.opened_key();
        if let Some(body) = store.get(&key).await? {
            return Ok(Some((before.attempt_no, parse(&key, &body)?)));
        }
    }
    Ok(None)
}

/// The items of a part that did not succeed, and which attempt at their run comes next.
async fn left_over(
    store: &impl GetObject,
    batch: &BatchRef,
    part: u32,
) -> Result<Vec<Place>, Fault> {
    let next = previous_results::previous_results(store, batch, part).await?;
    let next: Option<BTreeMap<u64, u32>> =
        next.map(|results| results.iter().filter_map(attempt).collect());
    let key = batch.part_key(part);
    let body = store.get(&key).await?;
    let body = body.ok_or_else(|| Fault::internal(format!("{key} is missing")))?;
    let (mut at, mut places) = (0, Vec::new());
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let bytes = line.strip_suffix(b"\n").unwrap_or(line).len() as u64;
        if let Entry::Item(item) = parse::<Entry>(&key, line)? {
            // What was never collected is left over as a whole.
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

/// The attempt at an item's run that is due; `None`: none is.
fn attempt(result: &ItemResult) -> Option<(u64, u32)> {
    let before = result.attempt_no.unwrap_or(1);
    let attempt_no = match result.status {
        ItemStatus::Succeeded | ItemStatus::Rejected => return None,
        ItemStatus::Failed | ItemStatus::Cancelled => before + 1,
        // It was not started, or may still be found.
        ItemStatus::Skipped | ItemStatus::Running => before,
    };
    Some((result.n, attempt_no))
}
