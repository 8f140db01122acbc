//! A part's items -> records for a job: each with its request and its plan, as `dispatch` and `prepare` would have kept
//! them. An item that makes no record is no error here: it runs on demand, and fails there if it has to.

#[cfg(test)]
mod tests;

use bcce_aws::{StartError, optional_number, variable};
use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::base::json::to_json;
use bcce_core::base::target::Target;
use bcce_core::batch::bulk::{Asking, Rendered, job_of};
use bcce_core::batch::manifest::Opened;
use bcce_core::batch::reference::{BatchRef, BatchRun, Part};
use bcce_core::batch::{Entry, Item, StoredBatch, bulk};
use bcce_core::config::configuration::Configuration;
use bcce_core::config::routing::Retries;
use bcce_core::io::item_run::{ItemRun, item_run};
use bcce_core::io::objects::{self, store_value_once};
use bcce_core::io::reader::Reader;
use bcce_core::ports::{GetObject, GetParameters, OpenSource, PutObject, PutOnce};
use bcce_core::run::plan::{Plan, Sources};
use futures::StreamExt;
use serde::{Deserialize, Serialize};

/// Items made at a time: a part of 500 in seconds.
const AT_A_TIME: usize = 16;
/// The most bytes of a part's records: a hundred parts are a job's input, which has 5 GiB at most, and a function holds
/// one part in its memory. What is beyond runs on demand.
const MAX_BYTES: usize = 32 * 1_024 * 1_024;

pub struct Config {
    pub environment: String,
    pub bucket: String,
    pub key_arn: String,
    /// The stack's.
    pub region: String,
    /// What stands in the place of the routing document's.
    pub retries: Retries,
}

impl Config {
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            environment: variable("BCCE_ENVIRONMENT")?,
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            key_arn: variable("BCCE_ARTIFACT_KEY_ARN")?,
            region: variable("AWS_REGION")?,
            retries: Retries {
                attempts: optional_number("BCCE_RETRY_ATTEMPTS")?,
                base_delay_ms: optional_number("BCCE_RETRY_DELAY")?,
            },
        })
    }
}

pub struct Ports<S, R, P> {
    pub store: S,
    pub sources: R,
    pub parameters: P,
}

#[derive(Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    pub part: Part,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Response {
    pub records: u64,
}

/// What all items of the batch share.
struct Shared<'a> {
    config: &'a Config,
    batch: &'a BatchRef,
    stored: StoredBatch,
    configuration: Configuration,
    /// Of the batch's jobs.
    target: Target,
}

/// # Errors
/// `Bcce.Internal`; a retry does it all again.
pub async fn handle<S, R, P>(
    ports: &Ports<S, R, P>,
    config: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + PutObject + PutOnce,
    R: OpenSource,
    P: GetParameters,
{
    let (batch, part) = (&request.batch.reference, request.part.part);
    let opened: Opened = objects::read(&ports.store, &batch.opened_key()).await?;
    let bulk = opened.bulk.ok_or_else(|| Fault::internal("the batch is not in bulk"))?;
    let stored: StoredBatch = objects::read(&ports.store, &batch.request_key()).await?;
    let source = Reader {
        store: &ports.store,
        parameters: &ports.parameters,
        bucket: &config.bucket,
        environment: &config.environment,
    };
    let configuration = match source.read(&stored.workflow).await? {
        Ok(configuration) => configuration,
        Err(problems) => {
            let batch_id = &batch.batch_id;
            tracing::warn!(batch_id, part, "nothing is made a record: {problems}");
            return Ok(Response { records: 0 });
        }
    };
    let shared = Shared { config, batch, stored, configuration, target: bulk.target };
    let (lines, rendered) = ports.records(&shared, part).await?;
    let put = async |key: String, body| ports.store.put(&key, &batch.batch_id, body).await;
    if rendered.records > 0 {
        put(batch.bulk_input_key(job_of(part, opened.parts), part), lines).await?;
    }
    put(batch.rendered_key(part), to_json(&rendered)?).await?;
    Ok(Response { records: rendered.records })
}

impl<S, R, P> Ports<S, R, P>
where
    S: GetObject + PutOnce,
    R: OpenSource,
{
    async fn records(&self, shared: &Shared<'_>, part: u32) -> Result<(Vec<u8>, Rendered), Fault> {
        let key = shared.batch.part_key(part);
        let entries: Vec<Entry> = objects::read_lines(&self.store, &key).await?;
        let items = entries.into_iter().filter_map(|entry| match entry {
            Entry::Item(item) => Some(*item),
            Entry::Rejected(_) => None,
        });
        let made = items.map(|item| async move { (item.n, self.record(shared, item).await) });
        let mut made = futures::stream::iter(made).buffered(AT_A_TIME);
        let (mut lines, mut rendered) = (Vec::new(), Rendered::default());
        while let Some((n, line)) = made.next().await {
            match line?.filter(|line| lines.len() + line.len() <= MAX_BYTES) {
                Some(line) => {
                    lines.extend(line.bytes());
                    rendered.records += 1;
                }
                None => _ = rendered.without.insert(n),
            }
        }
        rendered.bytes = lines.len() as u64;
        Ok((lines, rendered))
    }

    /// Returns the record of an item, or `None` if it makes none.
    async fn record(&self, shared: &Shared<'_>, item: Item) -> Result<Option<String>, Fault> {
        let n = item.n;
        match self.rendered(shared, item).await {
            Ok(line) => Ok(line),
            Err(fault) if fault.name == ErrorName::Internal => Err(fault),
            Err(fault) => {
                let batch_id = &shared.batch.batch_id;
                tracing::warn!(batch_id, n, "an item makes no record: {}", fault.message);
                Ok(None)
            }
        }
    }

    /// # Errors
    /// `Bcce.InvalidRequest` and the like: its run will be refused.
    async fn rendered(&self, shared: &Shared<'_>, item: Item) -> Result<Option<String>, Fault> {
        let (stored, batch, n) = (&shared.stored, shared.batch, item.n);
        let made = item_run(&self.store, &self.sources, stored, batch, item, 1).await?;
        let run = &made.run;
        if self.store.get(&run.manifest_key()).await?.is_some() {
            return Ok(None);
        }
        let plan = self.plan(shared, &made).await?;
        // A model of the item's own is another job's, which there is not.
        let fit = bulk::fit(&plan, &shared.config.region);
        let Some(fit) = fit.ok().filter(|fit| *fit.target == shared.target) else {
            return Ok(None);
        };
        let parameters = fit.parameters();
        let prompt = bulk::prompt(&plan, fit.step, &parameters)?;
        let (plan, step) = (&plan, fit.step);
        Ok(Some(Asking { run, plan, step, prompt: &prompt, parameters: &parameters }.line(n)))
    }

    async fn plan(&self, shared: &Shared<'_>, made: &ItemRun) -> Result<Plan, Fault> {
        let (configuration, retries) = (&shared.configuration, shared.config.retries);
        let sources = Sources { request: &made.request, configuration, retries };
        let plan = Plan::resolve(&sources).map_err(Fault::from)?;
        let key = made.run.plan_key();
        store_value_once(&self.store, &key, &made.run.run_id, plan).await
    }
}
