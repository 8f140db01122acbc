//! Calls of models and jobs of batch inference.

use crate::base::error::Fault;
use crate::batch::bulk::Job;
use crate::batch::bulk::JobStart;
use crate::batch::bulk::NewJob;
use crate::call::model::CallReport;
use crate::call::model::ModelCall;

pub trait CallModel {
    /// Calls a model and reports what came of it, a failure included.
    async fn call(&self, call: &ModelCall<'_>) -> CallReport;
}

pub trait StartJob {
    /// Starts a job of batch inference.
    async fn start_job(&self, job: &NewJob<'_>) -> Result<JobStart, Fault>;
}

pub trait FindJob {
    /// Finds a job by its name. Returns its ARN, or `None` if no job of that name is visible.
    async fn find_job(&self, name: &str) -> Result<Option<String>, Fault>;
}

pub trait ReadJob {
    /// Reads the status of a job.
    async fn read_job(&self, arn: &str) -> Result<Job, Fault>;
}

pub trait StopJob {
    /// Asks the service to stop a job. The job is then `Stopping`, and stopped some time later. A job that cannot be
    /// stopped keeps its status, which [`ReadJob`] returns.
    async fn stop_job(&self, arn: &str) -> Result<(), Fault>;
}
