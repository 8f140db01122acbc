//! Renders the items of a part as records for a bulk job, and stores the request and the plan of each item's run.
//!
//! The state `RenderPart` of the batch machine invokes [`handle`], which returns the number of records. The request and
//! the plan are the same as `dispatch` and `prepare` would store. An item for which no record can be made is not an
//! error: it runs on demand. The function must never render an item whose run is sealed, or one that needs another
//! target than the batch's jobs have.

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

/// The number of items that are rendered at a time. A part of 500 items takes seconds.
const AT_A_TIME: usize = 16;
/// The most bytes of a part's records. A hundred parts are the input of a job, which may have 5 GiB, and the function
/// has one part in memory. Items beyond the limit run on demand.
const MAX_BYTES: usize = 32 * 1_024 * 1_024;

/// The settings of the function, from its environment variables.
pub struct Config {
    /// The name of the environment, such as `dev` (`BCCE_ENVIRONMENT`).
    pub environment: String,
    /// The name of the artifact bucket (`BCCE_ARTIFACT_BUCKET`).
    pub bucket: String,
    /// The ARN of the KMS key that encrypts the objects of the bucket (`BCCE_ARTIFACT_KEY_ARN`).
    pub key_arn: String,
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

/// The services that [`handle`] uses.
pub struct Ports<S, R, P> {
    pub store: S,
    pub sources: R,
    pub parameters: P,
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
struct Shared<'a> {
    config: &'a Config,
    batch: &'a BatchRef,
    stored: StoredBatch,
    configuration: Configuration,
    /// The target of the batch's jobs.
    target: Target,
}

/// Renders a part. Safe to repeat.
///
/// # Errors
/// `Bcce.Internal`: S3 or SSM failed. A retry renders the part again.
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
    let bulk = opened.bulk.ok_or_else(|| Fault::internal("the batch is not in bulk mode"))?;
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
            tracing::warn!(batch_id, part, "no item of the part is rendered: {problems}");
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
    /// Renders the items of a part. Returns the records as JSON lines, and their counts.
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

    /// Returns the record of an item, or `None` if the item has to run on demand.
    async fn record(&self, shared: &Shared<'_>, item: Item) -> Result<Option<String>, Fault> {
        let n = item.n;
        match self.rendered(shared, item).await {
            Ok(line) => Ok(line),
            Err(fault) if fault.name == ErrorName::Internal => Err(fault),
            Err(fault) => {
                let batch_id = &shared.batch.batch_id;
                tracing::warn!(batch_id, n, "an item runs on demand: {}", fault.message);
                Ok(None)
            }
        }
    }

    /// Stores the request and plan of an item, and renders its record. Returns `None` if its run is sealed or does not
    /// fit the batch's jobs.
    ///
    /// # Errors
    /// `Bcce.InvalidRequest` and the like: the run will be refused. `Bcce.Internal`: S3 failed.
    async fn rendered(&self, shared: &Shared<'_>, item: Item) -> Result<Option<String>, Fault> {
        let (stored, batch, n) = (&shared.stored, shared.batch, item.n);
        let made = item_run(&self.store, &self.sources, stored, batch, item, 1).await?;
        let run = &made.run;
        if self.store.get(&run.manifest_key()).await?.is_some() {
            return Ok(None);
        }
        let plan = self.plan(shared, &made).await?;
        // An item with a model of its own would need a job of its own, and there is none.
        let fit = bulk::fit(&plan, &shared.config.region);
        let Some(fit) = fit.ok().filter(|fit| *fit.target == shared.target) else {
            return Ok(None);
        };
        let parameters = fit.parameters();
        let prompt = bulk::prompt(&plan, fit.step, &parameters)?;
        let (plan, step) = (&plan, fit.step);
        Ok(Some(Asking { run, plan, step, prompt: &prompt, parameters: &parameters }.line(n)))
    }

    /// Makes and stores the plan of an item's run. Returns the stored plan if there is one.
    async fn plan(&self, shared: &Shared<'_>, made: &ItemRun) -> Result<Plan, Fault> {
        let (configuration, retries) = (&shared.configuration, shared.config.retries);
        let sources = Sources { request: &made.request, configuration, retries };
        let plan = Plan::resolve(&sources).map_err(Fault::from)?;
        let key = made.run.plan_key();
        store_value_once(&self.store, &key, &made.run.run_id, plan).await
    }
}
