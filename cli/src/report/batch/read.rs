//! Reads the results of a batch and the manifests of its runs, with memory for a few parts.

use bcce_core::base::error::Fault;
use bcce_core::base::json::parse;
use bcce_core::batch::{BatchRef, ItemResult, Location, Way};
use bcce_core::io::objects::find;
use bcce_core::ports::{GetObject, OpenSource};
use bcce_core::run::manifest::Manifest;
use futures::StreamExt;
use time::OffsetDateTime;

use super::chosen::Chosen;
use super::items::Items;
use crate::batch::Batch;
use crate::batch::objects::each_line;
use crate::exit::Outcome;

/// The number of parts whose manifests are read at a time. A part has up to 500 of them.
const PARTS_AT_A_TIME: usize = 8;
/// The number of single manifests that are read at a time.
const RUNS_AT_A_TIME: usize = 32;

/// The runs that times and costs are computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// All runs that the batch attempt has started.
    Whole,
    /// The runs of the parts that are sealed, of a packed batch under way.
    Parts { sealed: u32, of: u32 },
    /// One run of each so many.
    Sample { each: u64 },
    /// No run: they have executions of their own, and the batch is under way, or there are none.
    Nothing,
}

/// Reads what a batch has left so far. `bucket` contains its objects.
///
/// # Errors
/// An object cannot be read or parsed.
pub async fn items(
    store: &impl GetObject,
    sources: &impl OpenSource,
    bucket: &str,
    batch: &Batch,
    now: OffsetDateTime,
) -> Outcome<(Items, Basis)> {
    let ended = batch.ended_at();
    let started = batch.record.as_ref().map_or(now, |record| record.started_at);
    let mut items = Items::new(started, ended.unwrap_or(now));
    let mut chosen = Chosen::of(store, batch).await?;
    let has_results = results(sources, bucket, batch, &mut items, &mut chosen).await?;
    let Some(opened) = &batch.opened else { return Ok((items, Basis::Nothing)) };
    if opened.way == Way::Packed {
        let sealed = parts(store, &batch.reference, opened.parts, &mut items).await?;
        let basis = match ended {
            Some(_) if sealed == opened.parts => Basis::Whole,
            _ => Basis::Parts { sealed, of: opened.parts },
        };
        return Ok((items, basis));
    }
    if !has_results {
        return Ok((items, Basis::Nothing));
    }
    let Chosen { keys, each, .. } = chosen;
    runs(store, keys, started, &mut items).await?;
    Ok((items, if each == 1 { Basis::Whole } else { Basis::Sample { each } }))
}

/// Adds the results, and chooses the runs whose manifests are read. Returns false if there are no results.
async fn results(
    sources: &impl OpenSource,
    bucket: &str,
    batch: &Batch,
    items: &mut Items,
    chosen: &mut Chosen,
) -> Outcome<bool> {
    let results = batch.manifest.as_ref().and_then(|manifest| manifest.results.as_ref());
    let Some(results) = results else { return Ok(false) };
    let location = Location { bucket: bucket.to_owned(), key: results.key.clone() };
    let take = |line: &[u8]| {
        let result: ItemResult = parse(&results.key, line)?;
        items.add_result(&result);
        chosen.offer(&result);
        Ok(())
    };
    Ok(each_line(sources, &location, take).await?.is_some())
}

/// Adds the runs of the parts that are sealed, and returns the number of these parts.
async fn parts(
    store: &impl GetObject,
    batch: &BatchRef,
    parts: u32,
    items: &mut Items,
) -> Result<u32, Fault> {
    let read = async |part| {
        let key = batch.part_runs_key(part);
        Ok::<_, Fault>(store.get(&key).await?.map(|body| (key, body)))
    };
    let mut found = futures::stream::iter(1..=parts).map(read).buffered(PARTS_AT_A_TIME);
    let mut sealed = 0;
    while let Some(part) = found.next().await {
        let Some((key, body)) = part? else { continue };
        sealed += 1;
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            items.add_run(&parse::<Manifest>(&key, line)?);
        }
    }
    Ok(sealed)
}

/// Adds the runs with these manifests that were started since `started`. Earlier ones belong to another attempt.
async fn runs(
    store: &impl GetObject,
    keys: Vec<String>,
    started: OffsetDateTime,
    items: &mut Items,
) -> Result<(), Fault> {
    let read = async |key: String| find::<Manifest>(store, &key).await;
    let mut found = futures::stream::iter(keys).map(read).buffered(RUNS_AT_A_TIME);
    while let Some(run) = found.next().await {
        let run = run?.filter(|run| run.started_at >= started);
        run.iter().for_each(|run| items.add_run(run));
    }
    Ok(())
}
