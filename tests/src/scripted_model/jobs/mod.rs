//! Batch inference: Bedrock's control plane as far as jobs go, and what they do to objects.
//!
//! ```text
//! @bulk refused(quota)    no job is started: the refusal is one of the actions of `@model`
//! @bulk invalid           the job fails at validation
//! @bulk expired           its time is up before its first record
//! @bulk never             this record is never done, and so the job goes on until it is stopped
//! @bulk partial(3)        time is up with three records left
//! @bulk error(400)        this record has this error
//! @bulk lost              this record is missing in the output
//! ```
//!
//! The lines stand in the prompts of records as those of `@model` do; what concerns the job may stand in any of
//! them. A record without one does what `@model` says, as a call without a stream.
//!
//! - [`order`]: what a job is started with, and what the service refuses
//! - [`job`]: one job, and what can be seen of it
//! - [`life`]: what becomes of it, state after state
//! - [`records`]: its records as they come, and as they are given back
//! - [`store`]: the objects

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

    /// All there ever were, in order, with every status that each has had: a look now and then may miss one.
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
        // The service does not look at records by now; only a script is looked for.
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

    /// A token that was seen before stands for the job it was seen with.
    fn register(&self, region: &str, order: Order) -> (Arc<Job>, bool) {
        let mut jobs = self.jobs.lock().expect("nothing panics with the jobs in hand");
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
        self.jobs.lock().expect("nothing panics with the jobs in hand").clone()
    }
}

#[cfg(test)]
mod tests;
