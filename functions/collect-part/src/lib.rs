//! What came of a part's items: a line for each, the answers of those that succeeded, and their sums.

mod answer; // what a run answered
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bcce_aws::{StartError, variable};
use bcce_core::base::error::Fault;
use bcce_core::base::json::{add_line, parse, parse_lines, to_json};
use bcce_core::batch::item::Rejected;
use bcce_core::batch::manifest::{ItemOutput, Sums};
use bcce_core::batch::reference::{BatchRef, BatchRun, Part, Place};
use bcce_core::batch::{Entry, Item, ItemResult, ItemStatus};
use bcce_core::io::previous_results;
use bcce_core::ports::{GetObject, PutObject, ReadAttempts};
use bcce_core::run::manifest::Manifest;
use futures::StreamExt;
use serde::{Deserialize, Serialize};

/// Items read at a time. What was read stays in memory until the part is written.
const AT_A_TIME: usize = 32;

pub struct Config {
    pub bucket: String,
    pub key_arn: String,
    pub ledger_table: String,
}

impl Config {
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            key_arn: variable("BCCE_ARTIFACT_KEY_ARN")?,
            ledger_table: variable("BCCE_LEDGER_TABLE")?,
        })
    }
}

pub struct Ports<S, L> {
    pub store: S,
    pub ledger: L,
}

#[derive(Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    pub part: Part,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Response {
    /// Runs that are not settled yet: it is worth looking again.
    pub running: u64,
}

/// What came of an item.
struct Found {
    result: ItemResult,
    output: Option<ItemOutput>,
    /// This attempt at the batch ran it.
    is_ours: bool,
}

/// # Errors
/// `Bcce.Internal`; a retry does it all again.
pub async fn handle<S, L>(ports: &Ports<S, L>, request: Request) -> Result<Response, Fault>
where
    S: GetObject + PutObject,
    L: ReadAttempts,
{
    let (batch, part) = (&request.batch.reference, request.part.part);
    let key = batch.part_key(part);
    let body = ports.store.get(&key).await?;
    let body = body.ok_or_else(|| Fault::internal(format!("{key} is missing")))?;
    let entries: Vec<Entry> = parse_lines(&key, &body)?;
    let before = Before::read(&ports.store, batch, part).await?;
    let found = entries.into_iter().map(|entry| ports.find(batch, &before, entry));
    let found = futures::stream::iter(found).buffered(AT_A_TIME);
    let mut found = std::pin::pin!(found);
    let (mut results, mut outputs, mut sums) = (Vec::new(), Vec::new(), Sums::none());
    while let Some(found) = found.next().await {
        let Found { result, output, is_ours } = found?;
        sums.count(&result, is_ours);
        add_line(&mut results, &result)?;
        if let Some(output) = output {
            add_line(&mut outputs, &output)?;
        }
    }
    let put = async |key: String, body| ports.store.put(&key, &batch.batch_id, body).await;
    put(batch.part_results_key(part), results).await?;
    put(batch.part_outputs_key(part), outputs).await?;
    put(batch.part_sums_key(part), to_json(&sums)?).await?;
    Ok(Response { running: sums.counts.running })
}

/// Which attempt at its run each item had from this attempt at the batch, and what it had before.
struct Before {
    ours: BTreeMap<u64, u32>,
    results: BTreeMap<u64, ItemResult>,
}

impl Before {
    async fn read(store: &impl GetObject, batch: &BatchRef, part: u32) -> Result<Self, Fault> {
        let key = batch.places_key(part);
        let places: Vec<Place> = match store.get(&key).await? {
            Some(body) => parse_lines(&key, &body)?,
            None => Vec::new(),
        };
        let results =
            previous_results::previous_results(store, batch, part).await?.unwrap_or_default();
        Ok(Self {
            ours: places.iter().map(|place| (place.n, place.attempt_no)).collect(),
            results: results.into_iter().map(|result| (result.n, result)).collect(),
        })
    }
}

impl<S, L> Ports<S, L>
where
    S: GetObject + PutObject,
    L: ReadAttempts,
{
    async fn find(&self, batch: &BatchRef, before: &Before, entry: Entry) -> Result<Found, Fault> {
        let item = match entry {
            Entry::Item(item) => item,
            Entry::Rejected(bad) => return Ok(Found::without_run(rejected(bad))),
        };
        let attempt_no = before.ours.get(&item.n).copied();
        match (attempt_no, before.results.get(&item.n)) {
            (None, Some(result)) => self.kept(result).await.map(|output| Found {
                result: result.clone(),
                output,
                is_ours: false,
            }),
            (attempt_no, _) => self.ran(batch, &item, attempt_no.unwrap_or(1)).await,
        }
    }

    /// The answer of an item that an earlier attempt ran.
    async fn kept(&self, result: &ItemResult) -> Result<Option<ItemOutput>, Fault> {
        let Some(key) = result.manifest.as_ref().filter(|_| result.status == ItemStatus::Succeeded)
        else {
            return Ok(None);
        };
        match self.store.get(key).await? {
            None => Err(Fault::internal(format!("{key} is missing"))),
            Some(body) => self.output(result, &parse(key, &body)?).await,
        }
    }

    async fn ran(&self, batch: &BatchRef, item: &Item, attempt_no: u32) -> Result<Found, Fault> {
        let run = item.run(batch, attempt_no);
        let key = run.manifest_key();
        if let Some(body) = self.store.get(&key).await? {
            let manifest: Manifest = parse(&key, &body)?;
            let result = ItemResult::of(item, &manifest, key);
            let output = self.output(&result, &manifest).await?;
            return Ok(Found { result, output, is_ours: true });
        }
        let key = batch.refused_key(item.n);
        if let Some(body) = self.store.get(&key).await? {
            let (n, line, id) = (item.n, item.line, Some(item.id.clone()));
            let bad = Rejected { n, line, id, error: parse(&key, &body)? };
            return Ok(Found::without_run(rejected(bad)));
        }
        // An execution that began has a record; its end is settled sooner or later.
        let attempts = self.ledger.attempts(&run.run_id).await?;
        let is_begun = attempts.iter().any(|record| record.attempt_no == attempt_no);
        Ok(Found::without_run(ItemResult {
            n: item.n,
            line: item.line,
            id: Some(item.id.clone()),
            status: if is_begun { ItemStatus::Running } else { ItemStatus::Skipped },
            run_id: is_begun.then_some(run.run_id),
            attempt_no: Some(attempt_no),
            manifest: None,
            totals: None,
            truncated: 0,
            error: None,
        }))
    }

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
        Self { result, output: None, is_ours: false }
    }
}

fn rejected(bad: Rejected) -> ItemResult {
    ItemResult {
        n: bad.n,
        line: bad.line,
        id: bad.id,
        status: ItemStatus::Rejected,
        run_id: None,
        attempt_no: None,
        manifest: None,
        totals: None,
        truncated: 0,
        error: Some(bad.error),
    }
}
