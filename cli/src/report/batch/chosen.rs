//! Chooses the runs with executions of their own whose manifests are read.

use std::collections::BTreeSet;

use bcce_core::base::error::Fault;
use bcce_core::batch::reference::Place;
use bcce_core::batch::{BatchRef, ItemResult, Way};
use bcce_core::io::objects::find_lines;
use bcce_core::ports::GetObject;
use futures::StreamExt;

use crate::batch::Batch;

/// The number of parts whose places are read at a time. A part has up to 500 of them.
const PARTS_AT_A_TIME: usize = 8;
/// The most runs that are chosen. The manifest of each is a request.
const MOST: usize = 10_000;

/// Chooses one run of each so many of this batch attempt, spread evenly over its items.
#[derive(Debug)]
pub struct Chosen {
    /// The number of runs for each that is chosen.
    pub each: u64,
    /// The items whose runs are chosen. `None` if every run of the results is one of this attempt.
    items: Option<BTreeSet<u64>>,
    /// The number of runs that were offered.
    offered: u64,
    /// The keys of the manifests of the chosen runs.
    pub keys: Vec<String>,
}

impl Chosen {
    /// Returns a choice without runs. The results of a retry are those of all items, so its places say which of them it
    /// has run.
    ///
    /// # Errors
    /// The places cannot be read or parsed.
    pub async fn of(store: &impl GetObject, batch: &Batch) -> Result<Self, Fault> {
        let each = batch.to_run().div_ceil(MOST as u64).max(1);
        let opened = batch.opened.as_ref().filter(|opened| opened.way == Way::Executions);
        let items = match opened {
            Some(opened) if batch.reference.attempt_no > 1 && batch.manifest.is_some() => {
                Some(places(store, &batch.reference, opened.parts, each).await?)
            }
            _ => None,
        };
        Ok(Self { each, items, offered: 0, keys: Vec::new() })
    }

    /// Takes the key of the run's manifest if the run is one of those that are read.
    pub fn offer(&mut self, result: &ItemResult) {
        let is_single = |key: &&String| key.starts_with("runs/");
        let Some(key) = result.manifest.as_ref().filter(is_single) else { return };
        self.offered += 1;
        let is_chosen = match &self.items {
            Some(items) => items.contains(&result.n),
            None => self.offered.is_multiple_of(self.each),
        };
        if is_chosen && self.keys.len() < MOST {
            self.keys.push(key.clone());
        }
    }
}

/// Returns one of each so many items that a retry runs.
async fn places(
    store: &impl GetObject,
    batch: &BatchRef,
    parts: u32,
    each: u64,
) -> Result<BTreeSet<u64>, Fault> {
    let read = async |part| find_lines::<Place>(store, &batch.places_key(part)).await;
    let mut found = futures::stream::iter(1..=parts).map(read).buffered(PARTS_AT_A_TIME);
    let (mut read, mut items) = (0_u64, BTreeSet::new());
    while let Some(places) = found.next().await {
        // A part without items to run has no places.
        for place in places?.unwrap_or_default() {
            read += 1;
            if read.is_multiple_of(each) {
                items.insert(place.n);
            }
        }
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Offers the runs of these items, and returns the number of those that are chosen.
    fn choose(items: impl Iterator<Item = u64>, each: u64) -> usize {
        let mut chosen = Chosen { each, items: None, offered: 0, keys: Vec::new() };
        let manifest = "runs/default/a/manifest-1.json";
        let result =
            json!({ "n": 1, "line": 1, "status": "FAILED", "run_id": "a", "manifest": manifest });
        let mut result: ItemResult = serde_json::from_value(result).unwrap();
        for n in items {
            result.n = n;
            chosen.offer(&result);
        }
        chosen.keys.len()
    }

    #[test]
    fn the_runs_are_counted_and_not_the_items_that_have_none() {
        let even = (1..=200).filter(|n| n % 2 == 0);
        assert_eq!(choose(even, 2), 50);
    }

    #[test]
    fn no_more_runs_are_chosen_than_are_read() {
        assert_eq!(choose(1..=MOST as u64 + 1, 1), MOST);
    }
}
