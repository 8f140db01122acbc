//! Collects a part whose items have executions of their own: reads the sealed manifest and the answer of each run.

use std::collections::BTreeMap;

use bcce_core::base::error::Fault;
use bcce_core::base::json::{add_line, to_json};
use bcce_core::batch::item::Rejected;
use bcce_core::batch::manifest::{ItemOutput, Sums};
use bcce_core::batch::platform;
use bcce_core::batch::reference::{BatchRef, Place};
use bcce_core::batch::{Entry, Item, ItemResult, ItemStatus, Way};
use bcce_core::io::objects;
use bcce_core::io::previous_results::previous_results;
use bcce_core::ports::{GetObject, PutObject, ReadAttempts};
use bcce_core::run::manifest::Manifest;
use futures::StreamExt;

use crate::{Ports, Response, answer, rejected};

/// The number of items that are read at a time. All results stay in memory until the part is written.
const AT_A_TIME: usize = 32;

/// The result of an item, with its answer if it succeeded.
pub(crate) struct Found {
    pub result: ItemResult,
    pub output: Option<ItemOutput>,
    /// True if this attempt at the batch ran the item.
    pub is_new: bool,
}

/// The items that this attempt at the batch runs, and the results of earlier attempts.
struct Before {
    /// The run attempt of each item that this attempt at the batch runs, by item number.
    due: BTreeMap<u64, u32>,
    /// The results of earlier attempts at the batch, by item number.
    results: BTreeMap<u64, ItemResult>,
}

impl Before {
    async fn read(store: &impl GetObject, batch: &BatchRef, part: u32) -> Result<Self, Fault> {
        let places: Option<Vec<Place>> =
            objects::find_lines(store, &batch.places_key(part)).await?;
        let places = places.unwrap_or_default();
        let results =
            previous_results(store, batch, part, Way::Executions).await?.unwrap_or_default();
        Ok(Self {
            due: places.iter().map(|place| (place.n, place.attempt_no)).collect(),
            results: results.into_iter().map(|result| (result.n, result)).collect(),
        })
    }
}

impl<S, L, K, C, M> Ports<S, L, K, C, M>
where
    S: GetObject + PutObject,
    L: ReadAttempts,
{
    /// Collects the results of a part. Safe to repeat.
    ///
    /// # Errors
    /// `Bcce.Internal`: S3 or the ledger failed, or an answer is missing. A retry collects the part again.
    pub(crate) async fn collect_runs(
        &self,
        batch: &BatchRef,
        part: u32,
    ) -> Result<Response, Fault> {
        let entries: Vec<Entry> = objects::read_lines(&self.store, &batch.part_key(part)).await?;
        let before = Before::read(&self.store, batch, part).await?;
        let found = entries.into_iter().map(|entry| self.find(batch, &before, entry));
        let found = futures::stream::iter(found).buffered(AT_A_TIME);
        let mut found = std::pin::pin!(found);
        let (mut results, mut outputs, mut sums) = (Vec::new(), Vec::new(), Sums::none());
        sums.platform = platform::of_part_of_executions();
        while let Some(found) = found.next().await {
            let Found { result, output, is_new } = found?;
            sums.count(&result, is_new);
            add_line(&mut results, &result)?;
            if let Some(output) = output {
                add_line(&mut outputs, &output)?;
            }
        }
        let put = async |key: String, body| self.store.put(&key, &batch.batch_id, body).await;
        put(batch.part_results_key(part), results).await?;
        put(batch.part_outputs_key(part), outputs).await?;
        put(batch.part_sums_key(part), to_json(&sums)?).await?;
        Ok(Response { running: sums.counts.running })
    }

    /// Finds the result of an item.
    async fn find(&self, batch: &BatchRef, before: &Before, entry: Entry) -> Result<Found, Fault> {
        let item = match entry {
            Entry::Item(item) => item,
            Entry::Rejected(bad) => return Ok(Found::without_run(rejected(bad))),
        };
        let attempt_no = before.due.get(&item.n).copied();
        match (attempt_no, before.results.get(&item.n)) {
            (None, Some(result)) => self.kept(result).await.map(|output| Found {
                result: result.clone(),
                output,
                is_new: false,
            }),
            (attempt_no, _) => self.ran(batch, &item, attempt_no.unwrap_or(1)).await,
        }
    }

    /// Returns the answer of an item that an earlier attempt ran.
    async fn kept(&self, result: &ItemResult) -> Result<Option<ItemOutput>, Fault> {
        let Some(key) = result.manifest.as_ref().filter(|_| result.status == ItemStatus::Succeeded)
        else {
            return Ok(None);
        };
        self.output(result, &objects::read(&self.store, key).await?).await
    }

    /// Returns the result of an item that this attempt at the batch runs.
    pub(crate) async fn ran(
        &self,
        batch: &BatchRef,
        item: &Item,
        attempt_no: u32,
    ) -> Result<Found, Fault> {
        let run = item.run(batch, attempt_no);
        let key = run.manifest_key();
        if let Some(manifest) = objects::find::<Manifest>(&self.store, &key).await? {
            let result = ItemResult::of(item, &manifest, key);
            let output = self.output(&result, &manifest).await?;
            return Ok(Found { result, output, is_new: true });
        }
        if let Some(error) = objects::find(&self.store, &batch.refused_key(item.n)).await? {
            let (n, line, id) = (item.n, item.line, Some(item.id.clone()));
            let bad = Rejected { n, line, id, error };
            return Ok(Found::without_run(rejected(bad)));
        }
        // The run of an execution that started has a record in the ledger, and is sealed in the end.
        let attempts = self.ledger.attempts(&run.run_id).await?;
        let has_started = attempts.iter().any(|record| record.attempt_no == attempt_no);
        Ok(Found::without_run(ItemResult {
            n: item.n,
            line: item.line,
            id: Some(item.id.clone()),
            status: if has_started { ItemStatus::Running } else { ItemStatus::Skipped },
            run_id: has_started.then_some(run.run_id),
            attempt_no: Some(attempt_no),
            manifest: None,
            totals: None,
            truncated: 0,
            error: None,
        }))
    }

    /// Reads the answer of a run, if it succeeded.
    async fn output(
        &self,
        result: &ItemResult,
        manifest: &Manifest,
    ) -> Result<Option<ItemOutput>, Fault> {
        if result.status != ItemStatus::Succeeded {
            return Ok(None);
        }
        let output = answer::of(&self.store, manifest).await?;
        Ok(output.map(|output| ItemOutput {
            n: result.n,
            line: result.line,
            id: result.id.clone().unwrap_or_default(),
            run_id: manifest.run_id.clone(),
            output,
            truncated: result.truncated,
        }))
    }
}

impl Found {
    fn without_run(result: ItemResult) -> Self {
        Self { result, output: None, is_new: false }
    }
}
