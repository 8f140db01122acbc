//! Renders the items of a part as records for a bulk job, and stores their planned runs in segments.
//!
//! The state `RenderPart` of the batch machine invokes [`handle`], which returns the number of records. A run is planned
//! as `run-part` plans it. An item for which no record can be made is not an error: it runs on demand. The function must
//! never render an item without storing its plan first, since its answer could not be taken otherwise, or one that needs
//! another target than the batch's jobs have.

#[cfg(test)]
mod tests;

use bcce_aws::{StartError, optional_number, variable};
use bcce_core::base::error::Fault;
use bcce_core::base::json::to_json;
use bcce_core::base::target::Target;
use bcce_core::batch::bulk::{Asking, Rendered, job_of};
use bcce_core::batch::manifest::Opened;
use bcce_core::batch::packed::{PackedRun, RunState};
use bcce_core::batch::reference::{BatchRun, Part};
use bcce_core::batch::{Entry, Item, StoredBatch, bulk};
use bcce_core::config::configuration::Configuration;
use bcce_core::config::routing::Retries;
use bcce_core::io::objects;
use bcce_core::io::packed::{Planning, SegmentBuffer, Segments, reserve_records};
use bcce_core::io::step::CallSize;
use bcce_core::ports::{
    AllowanceLedger, Clock, GetObject, ListObjects, OpenSource, PartOf, PutObject, PutOnce,
    ReadPartCalls,
};
use bcce_core::run::budgets::ToReserve;
use bcce_core::run::ids::Run;
use bcce_core::run::plan::Plan;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The number of items that are rendered at a time. A part of 500 items takes seconds.
const AT_A_TIME: usize = 16;
/// The most bytes of a part's records. A hundred parts are the input of a job, which may have 5 GiB, and the function
/// has one part in memory. Items beyond the limit run on demand.
const MAX_BYTES: usize = 32 * 1_024 * 1_024;

/// The settings of the function, from its environment variables.
pub struct Config {
    /// The name of the artifact bucket (`BCCE_ARTIFACT_BUCKET`).
    pub bucket: String,
    /// The ARN of the KMS key that encrypts the objects of the bucket (`BCCE_ARTIFACT_KEY_ARN`).
    pub key_arn: String,
    /// The name of the ledger's DynamoDB table (`BCCE_LEDGER_TABLE`).
    pub ledger_table: String,
    /// The region of the stack, such as `us-east-1` (`AWS_REGION`).
    pub region: String,
    /// The retry limits that override the routing document (`BCCE_RETRY_ATTEMPTS`, `BCCE_RETRY_DELAY`).
    pub retries: Retries,
}

impl Config {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// A [`StartError`] that names the variable that is missing or is not a whole number.
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            key_arn: variable("BCCE_ARTIFACT_KEY_ARN")?,
            ledger_table: variable("BCCE_LEDGER_TABLE")?,
            region: variable("AWS_REGION")?,
            retries: Retries {
                attempts: optional_number("BCCE_RETRY_ATTEMPTS")?,
                base_delay_ms: optional_number("BCCE_RETRY_DELAY")?,
            },
        })
    }
}

/// The services that [`handle`] uses.
pub struct Ports<S, R, L, C> {
    pub store: S,
    pub sources: R,
    pub ledger: L,
    pub clock: C,
}

/// A part to render.
#[derive(Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    pub part: Part,
}

/// The result of rendering a part.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Response {
    /// The number of records that were made.
    pub records: u64,
}

/// The values that all items of the batch share.
struct Shared<'a, R> {
    region: &'a str,
    batch: &'a BatchRun,
    planning: Planning<'a, R>,
    /// The target of the batch's jobs.
    target: Target,
    now: OffsetDateTime,
}

/// Renders a part, unless that was done before. Safe to repeat.
///
/// # Errors
/// `Bcce.Internal`: S3 or the ledger failed. A retry renders the part again.
pub async fn handle<S, R, L, C>(
    ports: &Ports<S, R, L, C>,
    config: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + PutObject + PutOnce + ListObjects,
    R: OpenSource,
    L: AllowanceLedger + ReadPartCalls,
    C: Clock,
{
    let (batch, part, store) = (&request.batch, request.part.part, &ports.store);
    if let Some(Rendered { records, .. }) = objects::find(store, &batch.rendered_key(part)).await? {
        return Ok(Response { records });
    }
    let opened: Opened = objects::read(store, &batch.opened_key()).await?;
    let bulk = opened.bulk.ok_or_else(|| Fault::internal("the batch is not in bulk mode"))?;
    let stored: StoredBatch = objects::read(store, &batch.request_key()).await?;
    let configuration: Configuration = objects::read(store, &batch.configuration_key()).await?;
    let planning = Planning {
        sources: &ports.sources,
        batch,
        stored: &stored,
        configuration: &configuration,
        retries: config.retries,
    };
    let (region, target, now) = (config.region.as_str(), bulk.target, ports.clock.now());
    let shared = Shared { region, batch, planning, target, now };
    let (lines, rendered) = Box::pin(ports.records(&shared, part)).await?;
    let put = async |key: String, body| store.put(&key, &batch.batch_id, body).await;
    if rendered.records > 0 {
        put(batch.bulk_input_key(job_of(part, opened.parts), part), lines).await?;
    }
    put(batch.rendered_key(part), to_json(&rendered)?).await?;
    Ok(Response { records: rendered.records })
}

impl<S, R, L, C> Ports<S, R, L, C>
where
    S: GetObject + PutOnce + ListObjects,
    R: OpenSource,
    L: AllowanceLedger + ReadPartCalls,
{
    /// Renders the items of a part and stores their runs. Returns the records as JSON lines, and their counts.
    async fn records(
        &self,
        shared: &Shared<'_, R>,
        part: u32,
    ) -> Result<(Vec<u8>, Rendered), Fault> {
        let (store, batch) = (&self.store, shared.batch);
        let entries: Vec<Entry> = objects::read_lines(store, &batch.part_key(part)).await?;
        let items = entries.into_iter().filter_map(|entry| match entry {
            Entry::Item(item) => Some(*item),
            Entry::Rejected(_) => None,
        });
        let planned = items.map(|item| async { (item.n, shared.plan(item).await) });
        let mut planned = futures::stream::iter(planned).buffered(AT_A_TIME);
        let next = Segments::list(store, batch, part).await?.next();
        let mut segments = SegmentBuffer::new(batch, part, next);
        let (mut lines, mut rendered) = (Vec::new(), Rendered::default());
        let mut paid = Paid::default();
        let (mut unread, mut is_source_read) = (None, false);
        while let Some((n, run)) = planned.next().await {
            let run = match run {
                Ok(run) => run,
                Err(fault) => {
                    rendered.without.insert(n);
                    unread.get_or_insert(fault);
                    continue;
                }
            };
            is_source_read = true;
            let record = shared.record(&run)?;
            match record.filter(|record| lines.len() + record.line.len() <= MAX_BYTES) {
                Some(record) if paid.takes(&record) => {
                    segments.add(store, &run).await?;
                    lines.extend(record.line.bytes());
                    paid.add(run.n, lines.len(), record.need);
                }
                _ => _ = rendered.without.insert(run.n),
            }
        }
        // One object that cannot be read holds up no other item. If none can be read, the fault is not that of an item.
        if let Some(fault) = unread.filter(|_| !is_source_read) {
            return Err(fault);
        }
        segments.finish(store).await?;
        self.pay(shared, part, paid, &mut lines, &mut rendered).await?;
        rendered.bytes = lines.len() as u64;
        Ok((lines, rendered))
    }

    /// Reserves the cost of the records. Those that the budgets cannot pay are left out: they run on demand, as far as
    /// there is money then.
    async fn pay(
        &self,
        shared: &Shared<'_, R>,
        part: u32,
        paid: Paid,
        lines: &mut Vec<u8>,
        rendered: &mut Rendered,
    ) -> Result<(), Fault> {
        let Paid { records, needs } = paid;
        let of = PartOf { batch: shared.batch.item_of(), part };
        let count = match needs.is_empty() {
            true => records.len(),
            false => reserve_records(&self.ledger, &of, shared.now, &needs).await?,
        };
        let (kept, left) = records.split_at(count);
        lines.truncate(kept.last().map_or(0, |(_, end)| *end));
        rendered.records = kept.len() as u64;
        rendered.without.extend(left.iter().map(|(n, _)| *n));
        if !left.is_empty() {
            let (batch_id, left) = (&shared.batch.batch_id, left.len());
            tracing::warn!(batch_id, part, left, "budgets cannot pay all records of the part");
        }
        Ok(())
    }
}

/// A record with what it needs of budgets.
struct Record {
    line: String,
    /// `None` if no budget pays it.
    need: Option<ToReserve>,
}

/// The records of a part that one allowance can pay.
#[derive(Default)]
struct Paid {
    /// The item of each record, and the end of its line among all lines.
    records: Vec<(u64, usize)>,
    /// What each record needs. Empty if no budget pays them.
    needs: Vec<ToReserve>,
}

impl Paid {
    /// Returns whether the same budgets pay a record as the others.
    fn takes(&self, record: &Record) -> bool {
        let first = self.needs.first().map(|need| &need.limits);
        self.records.is_empty() || first == record.need.as_ref().map(|need| &need.limits)
    }

    fn add(&mut self, n: u64, end: usize, need: Option<ToReserve>) {
        self.records.push((n, end));
        self.needs.extend(need);
    }
}

impl<R: OpenSource> Shared<'_, R> {
    async fn plan(&self, item: Item) -> Result<PackedRun, Fault> {
        let run = Run {
            reference: item.run(self.batch, 1),
            execution_arn: self.batch.execution_arn.clone(),
            started_at: self.now,
        };
        self.planning.plan(item, run, self.now).await
    }

    /// Returns the record of a run. Returns `None` if the run does not fit the batch's jobs, or will be refused.
    ///
    /// # Errors
    /// `Bcce.Internal`: the plan cannot be read.
    fn record(&self, run: &PackedRun) -> Result<Option<Record>, Fault> {
        let Some(plan) = run.plan()?.filter(|_| run.state == RunState::Planned) else {
            return Ok(None);
        };
        // An item with a model of its own would need a job of its own, and there is none.
        let fit = bulk::fit(&plan, self.region);
        let Some(fit) = fit.ok().filter(|fit| *fit.target == self.target) else {
            return Ok(None);
        };
        let parameters = fit.parameters();
        let Ok(prompt) = bulk::prompt(&plan, fit.step, &parameters) else { return Ok(None) };
        let (plan, step) = (&plan, fit.step);
        let asking = Asking { run: &run.run, plan, step, prompt: &prompt, parameters: &parameters };
        // A record that a budget cannot pay for lack of a price gets its error on demand.
        let Ok(need) = self.need(&run.run, plan, &asking) else { return Ok(None) };
        Ok(Some(Record { line: asking.line(run.n), need }))
    }

    /// Returns what a record needs of budgets. Returns `None` if no budget pays it.
    ///
    /// # Errors
    /// The name of a budget that needs a price, if there is none.
    fn need(
        &self,
        run: &Run,
        plan: &Plan,
        asking: &Asking<'_>,
    ) -> Result<Option<ToReserve>, String> {
        let Some(budgets) = &plan.budgets else { return Ok(None) };
        let size = CallSize::of(asking.prompt, asking.parameters, None);
        let most = plan.most_of_record(&self.target, self.now, size.bytes, size.max_tokens);
        let need = ToReserve::of(budgets, &run.run_id, self.now, &most)?;
        Ok(Some(need).filter(|need| !need.amounts.is_empty()))
    }
}
