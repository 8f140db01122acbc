//! Calls of models and jobs of batch inference.

use crate::base::error::Fault;
use crate::batch::bulk::Job;
use crate::batch::bulk::JobStart;
use crate::batch::bulk::NewJob;
use crate::call::model::CallReport;
use crate::call::model::ModelCall;

pub trait CallModel {
    async fn call(&self, call: &ModelCall<'_>) -> CallReport;
}

pub trait StartJob {
    async fn start_job(&self, job: &NewJob<'_>) -> Result<JobStart, Fault>;
}

pub trait FindJob {
    /// The ARN of the job of this name; `None`: there is none that can be seen.
    async fn find_job(&self, name: &str) -> Result<Option<String>, Fault>;
}

pub trait ReadJob {
    async fn read_job(&self, arn: &str) -> Result<Job, Fault>;
}

pub trait StopJob {
    /// Asks the service to stop a job. The job is `Stopping` then, and over a while later. A job that cannot be stopped
    /// keeps its status, which [`ReadJob`] returns.
    async fn stop_job(&self, arn: &str) -> Result<(), Fault>;
}
