//! Seals a packed part: makes the manifest of each run from what the segments store of it, signs the root of the digest
//! tree over all of them, and counts the runs in the ledger.

mod before; // the results of earlier batch attempts
mod runs; // the runs of the part, as the segments store them

use std::collections::BTreeMap;

use bcce_core::base::error::Fault;
use bcce_core::base::json::{add_line, parse, to_json};
use bcce_core::batch::item::Rejected;
use bcce_core::batch::manifest::{ItemOutput, Opened, Sums};
use bcce_core::batch::packed::{PartManifest, PartOutcome, metrics, tree};
use bcce_core::batch::platform::PartWork;
use bcce_core::batch::reference::{BatchRef, Place};
use bcce_core::batch::{BatchProgress, Entry, Item, ItemResult, ItemStatus};
use bcce_core::config::pricing::Tier;
use bcce_core::io::objects::{self, store_once};
use bcce_core::io::seal::{self, Subject};
use bcce_core::ledger::CountedPart;
use bcce_core::ports::{
    Clock, Closed, CommitAllowance, CountPart, GetObject, GetSealed, ListObjects, PutObject,
    PutOnce, PutSealed, ReadAttempts, ReadPartCalls, SignDigest, TakePart, VerifyDigest,
};
use bcce_core::run::artifact::ArtifactRef;
use bcce_core::run::manifest::{TaggedUsage, UsageLine, add_tagged, add_usage};

use crate::{Config, Ports, Request, Response, rejected};
use before::Before;
use runs::{EndedRun, PartRuns};

/// The result of an item, with its answer if it succeeded.
struct Found {
    result: ItemResult,
    output: Option<ItemOutput>,
    /// The manifest of the run, if this attempt at the batch has worked it off.
    run: Option<EndedRun>,
}

/// The results, manifests and sums of a part, before they are written.
#[derive(Default)]
struct Collected {
    /// The manifests of the runs, one on each line.
    manifests: Vec<u8>,
    leaves: Vec<tree::Hash>,
    results: Vec<u8>,
    outputs: Vec<u8>,
    sums: Sums,
    without_budget: u64,
    progress: BatchProgress,
    usage_by_model: Vec<UsageLine>,
    usage_by_tags: Vec<TaggedUsage>,
}

impl<S, L, K, C, M> Ports<S, L, K, C, M>
where
    S: GetObject + PutObject + PutOnce + ListObjects + GetSealed + PutSealed,
    L: ReadAttempts + TakePart + ReadPartCalls + CommitAllowance + CountPart,
    K: SignDigest + VerifyDigest,
    C: Clock,
    M: Fn(&str),
{
    /// Seals a part and counts its runs, unless a function is working it off. Safe to repeat.
    ///
    /// # Errors
    /// See [`crate::handle`].
    pub(crate) async fn seal_part(
        &self,
        config: &Config,
        request: &Request,
        opened: &Opened,
    ) -> Result<Response, Fault> {
        let (batch, part) = (&request.batch, request.part.part);
        let subject = Subject::of_part(batch, part);
        let (store, key) = (&self.store, &self.signing_key);
        let manifest = match seal::find::<PartManifest>(store, key, &subject).await? {
            Some(sealed) => sealed.manifest,
            None => match Box::pin(PartRuns::read(self, request, opened)).await? {
                None => return Ok(Response { running: 1 }),
                Some(runs) => {
                    let segments = runs.segments;
                    let mut collected = Box::pin(self.collect(batch, part, runs)).await?;
                    let work = collected.work(opened, segments);
                    collected.sums.platform = work.platform();
                    let outcome = self.store_part(request, collected).await?;
                    seal::seal(store, key, &subject, PartManifest::seal(outcome)).await?.manifest
                }
            },
        };
        let counted = CountedPart { batch: batch.clone(), manifest };
        if self.ledger.count_part(&counted).await? == Closed::Now {
            let documents = metrics::of_part(&config.environment, &counted.manifest);
            documents.iter().for_each(|document| (self.metrics)(document));
        }
        let (batch_id, runs) = (&batch.batch_id, counted.manifest.runs);
        tracing::info!(batch_id, part, runs, "the part is sealed");
        // An item that is still running is a run that a person retried by itself. It does not change what is sealed.
        Ok(Response { running: 0 })
    }

    /// Collects the results of the items of a part, in the order of the source.
    async fn collect(
        &self,
        batch: &BatchRef,
        part: u32,
        mut runs: PartRuns,
    ) -> Result<Collected, Fault> {
        let places = objects::find_lines::<Place>(&self.store, &batch.places_key(part)).await?;
        let due: BTreeMap<u64, u32> =
            places.unwrap_or_default().iter().map(|place| (place.n, place.attempt_no)).collect();
        let mut before = Before::read(&self.store, batch, part).await?;
        let (key, mut collected) = (batch.part_key(part), Collected::new());
        let body = objects::bytes(&self.store, &key).await?;
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let found = match parse::<Entry>(&key, line)? {
                Entry::Rejected(bad) => Found::without_run(rejected(bad)),
                Entry::Item(item) => match due.get(&item.n) {
                    Some(attempt_no) => {
                        self.due(batch, part, &item, *attempt_no, &mut runs).await?
                    }
                    None => before.take(&item)?,
                },
            };
            collected.add(found)?;
        }
        Ok(collected)
    }

    /// Returns the result of an item that this attempt at the batch runs.
    async fn due(
        &self,
        batch: &BatchRef,
        part: u32,
        item: &Item,
        attempt_no: u32,
        runs: &mut PartRuns,
    ) -> Result<Found, Fault> {
        if let Some(error) = runs.refused.remove(&item.n) {
            let (n, line, id) = (item.n, item.line, Some(item.id.clone()));
            return Ok(Found::without_run(rejected(Rejected { n, line, id, error })));
        }
        if let Some(run) = runs.ended.remove(&item.n) {
            let result = ItemResult::of(item, &run.manifest, batch.part_runs_key(part));
            let output = run.output.clone().map(|output| ItemOutput {
                n: item.n,
                line: item.line,
                id: item.id.clone(),
                run_id: run.manifest.run_id.clone(),
                output,
                truncated: run.manifest.truncated,
            });
            return Ok(Found { result, output, run: Some(run) });
        }
        if attempt_no > 1 {
            // A person may have retried the run by itself, as an execution.
            let found = self.ran(batch, item, attempt_no).await?;
            return Ok(Found { result: found.result, output: found.output, run: None });
        }
        Ok(Found::without_run(skipped(item, attempt_no)))
    }

    /// Stores what a part leaves, and returns the facts for its manifest.
    async fn store_part<'a>(
        &self,
        request: &'a Request,
        collected: Collected,
    ) -> Result<PartOutcome<'a>, Fault> {
        let (batch, part) = (&request.batch, request.part.part);
        let id = batch.part_id(part);
        let (results_key, outputs_key) =
            (batch.part_results_key(part), batch.part_outputs_key(part));
        let results = ArtifactRef::of(results_key.clone(), &collected.results);
        let outputs = ArtifactRef::of(outputs_key.clone(), &collected.outputs);
        self.store.put(&results_key, &id, collected.results).await?;
        self.store.put(&outputs_key, &id, collected.outputs).await?;
        let key = batch.part_runs_key(part);
        let manifests = collected.manifests;
        if store_once(&self.store, &key, &id, manifests.clone()).await? != manifests {
            return Err(Fault::internal(format!("{key} is not what this part leaves")));
        }
        Ok(PartOutcome {
            batch,
            part,
            leaves: collected.leaves,
            results,
            outputs,
            sums: collected.sums,
            without_budget: collected.without_budget,
            progress: collected.progress,
            usage_by_model: collected.usage_by_model,
            usage_by_tags: collected.usage_by_tags,
            ended_at: self.clock.now(),
        })
    }
}

impl Collected {
    fn new() -> Self {
        Self { sums: Sums::none(), ..Self::default() }
    }

    /// Returns the work of the part, from which follows what it takes of AWS.
    fn work(&self, opened: &Opened, segments: u64) -> PartWork {
        let steps = || self.usage_by_tags.iter().flat_map(|usage| &usage.steps);
        let on_demand = steps().filter(|step| step.tier != Tier::Batch.name());
        let answered: u64 = steps().map(|step| step.detail.answer.sum()).sum();
        let at_a_time = opened.split.map_or(1, |split| split.calls).max(1);
        PartWork {
            is_bulk: opened.bulk.is_some(),
            runs: self.leaves.len() as u64,
            segments,
            calls: on_demand.map(|step| step.line.calls).sum(),
            counters: self.usage_by_tags.iter().map(|usage| usage.steps.len() as u64 + 1).sum(),
            waited_ms: answered / u64::from(at_a_time),
        }
    }

    fn add(&mut self, found: Found) -> Result<(), Fault> {
        self.sums.count(&found.result, found.run.is_some());
        add_line(&mut self.results, &found.result)?;
        if let Some(output) = &found.output {
            add_line(&mut self.outputs, output)?;
        }
        if let Some(run) = found.run {
            let line = to_json(&run.manifest)?;
            self.leaves.push(tree::leaf(&line));
            self.manifests.extend(line);
            self.manifests.push(b'\n');
            self.without_budget += u64::from(run.manifest.without_budget);
            self.progress.count(&run.manifest);
            add_usage(&mut self.usage_by_model, &run.manifest.usage_by_model);
            add_tagged(&mut self.usage_by_tags, &run.manifest);
        }
        Ok(())
    }
}

impl Found {
    fn without_run(result: ItemResult) -> Self {
        Self { result, output: None, run: None }
    }
}

fn skipped(item: &Item, attempt_no: u32) -> ItemResult {
    ItemResult {
        n: item.n,
        line: item.line,
        id: Some(item.id.clone()),
        status: ItemStatus::Skipped,
        run_id: None,
        attempt_no: Some(attempt_no),
        manifest: None,
        totals: None,
        truncated: 0,
        error: None,
    }
}
