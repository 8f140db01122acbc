//! Batch inference: the part of Bedrock's control plane that handles jobs, and the processing of their records.
//!
//! ```text
//! @bulk refused(quota)    no job starts: the request is refused with this action of `@model`
//! @bulk invalid           the job fails at validation
//! @bulk expired           the job expires before its first record
//! @bulk never             the record is never processed, so the job runs until it is stopped
//! @bulk partial(3)        the job reaches its time limit with three records left
//! @bulk error(400)        the result of the record is this error
//! @bulk lost              the record is missing in the output
//! ```
//!
//! These lines are in the prompts of records, like the lines with `@model`. A line about the whole job can be in any
//! record. A record without such a line follows its `@model` lines, as a call without a stream does.
//!
//! - [`order`]: the request that starts a job, and its validation
//! - [`job`]: one job and its visible state
//! - [`life`]: the statuses of a job, one after the other
//! - [`records`]: the records of a job, and their results
//! - [`store`]: the objects that jobs read and write

mod job;
mod life;
mod order;
mod records;
mod store;

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::model::Model;
use super::outcome::Outcome;
use super::path::{JobOperation, Wanted};
use super::reply::Refusal;
use job::Job;
use order::Order;
pub use store::Store;

pub struct Jobs {
    model: Arc<Model>,
    store: Arc<Store>,
    jobs: Mutex<Vec<Arc<Job>>>,
}

impl Jobs {
    pub fn new(model: Arc<Model>, store: Store) -> Self {
        Self { model, store: Arc::new(store), jobs: Mutex::default() }
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub async fn answer(&self, operation: &JobOperation, body: &[u8]) -> Result<Value, Refusal> {
        match &operation.wanted {
            Wanted::Create => self.create(&operation.region, body).await,
            Wanted::List(name) => Ok(self.list(&operation.region, name)),
            Wanted::Get(id) => Ok(self.find(&operation.region, id)?.to_json()),
            Wanted::Stop(id) => self.find(&operation.region, id)?.stop().map(|()| json!({})),
        }
    }

    fn list(&self, region: &str, name: &str) -> Value {
        let all = self.all();
        let named =
            all.iter().filter(|job| job.region == region && job.order.job_name.contains(name));
        json!({ "invocationJobSummaries": named.map(|job| job.to_json()).collect::<Value>() })
    }

    /// Returns all jobs in order, each with all of its statuses. A test that polls a job may miss a status.
    pub fn to_json(&self) -> Value {
        let described = |job: &Arc<Job>| {
            let mut json = job.to_json();
            json["statuses"] = json!(job.statuses());
            json
        };
        self.all().iter().map(described).collect()
    }

    async fn create(&self, region: &str, body: &[u8]) -> Result<Value, Refusal> {
        let order = Order::parse(body).map_err(Refusal::validation)?;
        // The service does not read the records at this point. Here they are read to find a script.
        let records = records::read(&self.store, order.input()).await.unwrap_or_default();
        let mut outcomes = records.iter().flat_map(|record| &record.outcomes);
        if let Some(refusal) = outcomes.find_map(Outcome::refusal) {
            return Err(refusal);
        }
        let (job, is_new) = self.register(region, order);
        if is_new {
            tokio::spawn(life::live(job.clone(), self.model.clone(), self.store.clone()));
        }
        Ok(json!({ "jobArn": job.arn }))
    }

    /// Registers a job. Returns the existing job and `false` if its token was used before.
    fn register(&self, region: &str, order: Order) -> (Arc<Job>, bool) {
        let mut jobs = self.jobs.lock().expect("no thread panics while it holds the jobs");
        let known = |job: &&Arc<Job>| {
            job.region == region && order.token.is_some() && job.order.token == order.token
        };
        if let Some(job) = jobs.iter().find(known) {
            return (job.clone(), false);
        }
        let job = Arc::new(Job::new(region, jobs.len(), order));
        jobs.push(job.clone());
        (job, true)
    }

    fn find(&self, region: &str, id: &str) -> Result<Arc<Job>, Refusal> {
        let named = |job: &Arc<Job>| job.region == region && (job.arn == id || job.id() == id);
        self.all().into_iter().find(named).ok_or_else(|| Refusal {
            status: 404,
            code: "ResourceNotFoundException",
            message: "Could not find the job.".into(),
            retry_after_s: None,
        })
    }

    fn all(&self) -> Vec<Arc<Job>> {
        self.jobs.lock().expect("no thread panics while it holds the jobs").clone()
    }
}

#[cfg(test)]
mod tests;
