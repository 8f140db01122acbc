//! Reads the documents of the stack and its batches that ran on demand.

use std::collections::{BTreeMap, BTreeSet};

use bcce_aws::dynamodb::listing::Listing;
use bcce_core::base::error::Fault;
use bcce_core::batch::bulk::MIN_RECORDS;
use bcce_core::batch::intake::Typical;
use bcce_core::batch::packed::PartManifest;
use bcce_core::batch::{BatchManifest, BatchRef, Entry, Item, Mode, StoredBatch, Way};
use bcce_core::config::configuration::Configuration;
use bcce_core::config::template::{Step, Template};
use bcce_core::io::objects::{find, find_lines};
use bcce_core::io::reader::Reader;
use bcce_core::ledger::{BatchRecord, SHARDS, batches_shard};
use bcce_core::run::manifest::StepUsage;
use bcce_core::standby::canary;
use futures::stream::{StreamExt, TryStreamExt};

use crate::exit::Outcome;
use crate::latest::search::{FIRST, LAST};
use crate::metrics::advice::bulk::Ran;
use crate::metrics::advice::measured::MeasuredBatch;
use crate::metrics::period::Period;
use crate::references::batch_reference;
use crate::stack::Stack;

/// The number of objects or documents that are read at the same time. SSM accepts 40 reads per second.
const AT_A_TIME: usize = 8;
/// The number of batches of a shard and day that one answer of the ledger holds.
const BATCHES_OF_A_PAGE: i32 = 1_000;

/// The configurations of workflows.
#[derive(Debug, Default)]
pub struct Configurations {
    pub by_workflow: BTreeMap<String, Configuration>,
    /// The workflows without a valid configuration, each with the reason.
    pub unread: Vec<(String, String)>,
}

/// Reads the configuration of each workflow.
///
/// # Errors
/// SSM or S3 cannot be reached.
pub async fn configurations(stack: &Stack, workflows: BTreeSet<&str>) -> Outcome<Configurations> {
    let reader = Reader {
        store: &stack.store,
        parameters: &stack.parameters,
        bucket: &stack.outputs.artifact_bucket,
        environment: &stack.environment,
    };
    // The canary's calls have no configuration, and nobody can change them.
    let read = workflows
        .into_iter()
        .filter(|workflow| *workflow != canary::WORKFLOW)
        .map(async |workflow| Ok::<_, Fault>((workflow.to_owned(), reader.read(workflow).await?)));
    let read: Vec<_> = futures::stream::iter(read).buffered(AT_A_TIME).try_collect().await?;
    let mut all = Configurations::default();
    for (workflow, configuration) in read {
        match configuration {
            Ok(configuration) => _ = all.by_workflow.insert(workflow, configuration),
            Err(problems) => all.unread.push((workflow, problems.to_string())),
        }
    }
    Ok(all)
}

/// Reads the batches that started in the period, ran on demand and could have run in bulk.
///
/// # Errors
/// The ledger or S3 cannot be reached, or an object is not what this version writes.
pub async fn batches(
    stack: &Stack,
    period: Period,
    configurations: &Configurations,
) -> Outcome<Vec<MeasuredBatch>> {
    let days = period.days();
    let shards = days.flat_map(|day| SHARDS.chars().map(move |shard| batches_shard(day, shard)));
    let listed = shards.map(async |shard| shard_of_batches(stack, shard).await);
    let listed: Vec<Vec<BatchRecord>> =
        futures::stream::iter(listed).buffered(AT_A_TIME).try_collect().await?;
    let candidates = listed.into_iter().flatten().filter_map(|record| {
        let configuration = configurations.by_workflow.get(&record.workflow)?;
        may_fit(&record, &configuration.template).then_some((record, configuration))
    });
    let measured = candidates
        .map(async |(record, configuration)| measured(stack, &record, configuration).await);
    let measured: Vec<Option<MeasuredBatch>> =
        futures::stream::iter(measured).buffered(AT_A_TIME).try_collect().await?;
    Ok(measured.into_iter().flatten().collect())
}

/// Reads all batches of one shard of one day.
async fn shard_of_batches(stack: &Stack, shard: String) -> Result<Vec<BatchRecord>, Fault> {
    let mut listing = Listing {
        shard,
        from: FIRST.into(),
        until: LAST.into(),
        conditions: Vec::new(),
        most: BATCHES_OF_A_PAGE,
        after: None,
    };
    let mut batches = Vec::new();
    loop {
        let page = stack.ledger.listed_batches(listing.clone()).await?;
        batches.extend(page.records.into_iter().map(|(_, record)| record));
        match page.next {
            Some(next) => listing.after = Some(next),
            None => return Ok(batches),
        }
    }
}

/// Returns true if a bulk job may have taken the items of a batch, as far as its record and the workflow say. A retry
/// always runs on demand.
fn may_fit(record: &BatchRecord, template: &Template) -> bool {
    let is_over = record.attempt_no == 1 && record.manifest.is_some();
    // Bulk jobs use no response cache, so the comparison would be wrong.
    let fits = |step: &Step| step.for_each.is_none() && step.response_cache.is_none();
    let is_one_step = template.steps.len() == 1 && template.steps.iter().all(fits);
    is_over && is_one_step && record.mode == Mode::OnDemand && record.to_run >= MIN_RECORDS
}

/// Returns `None` if the batch could not have run in bulk, or if its objects do not exist any more.
async fn measured(
    stack: &Stack,
    record: &BatchRecord,
    configuration: &Configuration,
) -> Result<Option<MeasuredBatch>, Fault> {
    let (store, batch) = (&stack.store, batch_reference(record));
    let manifest: Option<BatchManifest> = find(store, &batch.manifest_key()).await?;
    let opened = manifest.and_then(|manifest| manifest.opened);
    let Some(opened) = opened.filter(|opened| opened.way == Way::Packed) else { return Ok(None) };
    let stored: Option<StoredBatch> = find(store, &batch.request_key()).await?;
    let (Some(stored), Some(item)) = (stored, typical_item(stack, &batch).await?) else {
        return Ok(None);
    };
    let ran = Ran {
        batch: &stored,
        item: &item,
        items: record.to_run,
        started_at: record.started_at,
        usage: &usage(stack, &batch, opened.parts).await?,
    };
    Ok(ran.measured(configuration, stack.region()))
}

/// Returns an item that stands for all of them, from the first part, as opening the batch chose it.
async fn typical_item(stack: &Stack, batch: &BatchRef) -> Result<Option<Item>, Fault> {
    let entries: Option<Vec<Entry>> = find_lines(&stack.store, &batch.part_key(1)).await?;
    let mut typical = Typical::default();
    for entry in entries.iter().flatten() {
        typical.note(entry, || match entry {
            Entry::Item(item) => Some((**item).clone()),
            Entry::Rejected(_) => None,
        });
    }
    Ok(typical.get().cloned())
}

/// Returns the usage that the manifests of the parts state.
async fn usage(stack: &Stack, batch: &BatchRef, parts: u32) -> Result<Vec<StepUsage>, Fault> {
    let part =
        async |part| find::<PartManifest>(&stack.store, &batch.part_manifest_key(part)).await;
    let parts = futures::stream::iter((1..=parts).map(part)).buffered(AT_A_TIME);
    let parts: Vec<Option<PartManifest>> = parts.try_collect().await?;
    let tagged = parts.into_iter().flatten().flat_map(|part| part.usage_by_tags);
    Ok(tagged.flat_map(|usage| usage.steps).collect())
}
