//! A retry of a batch: the same items, those of them run again that did not succeed.

use std::collections::BTreeMap;

use bcce_core::artifact::{add_line, parse, parse_lines};
use bcce_core::batch::manifest::Opened;
use bcce_core::batch::reference::{BatchRef, Place};
use bcce_core::batch::{Entry, ItemResult, ItemStatus, Mode};
use bcce_core::error::Fault;
use bcce_core::ports::{GetObject, PutObject};

/// `None`: there is no attempt before, or it was refused before it had items.
pub(crate) async fn of(
    store: &(impl GetObject + PutObject),
    batch: &BatchRef,
) -> Result<Option<Opened>, Fault> {
    let Some(before) = batch.attempt_no.checked_sub(1).filter(|before| *before > 0) else {
        return Ok(None);
    };
    let before = BatchRef { attempt_no: before, ..batch.clone() };
    let key = before.opened_key();
    let Some(body) = store.get(&key).await? else { return Ok(None) };
    let opened: Opened = parse(&key, &body)?;
    let mut to_run = 0;
    for part in 1..=opened.parts {
        let places = left_over(store, &before, part).await?;
        to_run += places.len() as u64;
        if !places.is_empty() {
            let mut lines = Vec::new();
            places.iter().try_for_each(|place| add_line(&mut lines, place))?;
            store.put(&batch.places_key(part), &batch.batch_id, lines).await?;
        }
    }
    let because = vec![format!("a retry runs what attempt {} left over", before.attempt_no)];
    Ok(Some(Opened { to_run, mode: Mode::OnDemand, because, bulk: None, ..opened }))
}

/// The items of a part that did not succeed, and which attempt at their run comes next.
async fn left_over(
    store: &impl GetObject,
    before: &BatchRef,
    part: u32,
) -> Result<Vec<Place>, Fault> {
    let key = before.part_results_key(part);
    let mut next: Option<BTreeMap<u64, u32>> = None;
    if let Some(body) = store.get(&key).await? {
        let results: Vec<ItemResult> = parse_lines(&key, &body)?;
        next = Some(results.iter().filter_map(attempt).collect());
    }
    let key = before.part_key(part);
    let body = store.get(&key).await?;
    let body = body.ok_or_else(|| Fault::internal(format!("{key} is missing")))?;
    let (mut at, mut places) = (0, Vec::new());
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let bytes = line.strip_suffix(b"\n").unwrap_or(line).len() as u64;
        if let Entry::Item(item) = parse::<Entry>(&key, line)? {
            // An attempt that was never collected left everything over.
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
