//! Calls of models, descriptions of profiles, and bulk jobs.

use crate::base::error::Fault;
use crate::batch::bulk::Job;
use crate::batch::bulk::JobStart;
use crate::batch::bulk::NewJob;
use crate::call::model::CallReport;
use crate::call::model::ModelCall;
use crate::config::profiles::Profile;

pub trait CallModel {
    /// Calls a model and returns the outcome, which can be a failure.
    async fn call(&self, call: &ModelCall<'_>) -> CallReport;
}

pub trait DescribeProfile {
    /// Describes an inference profile that is called in `region`. Returns the reason if no target can use it.
    async fn describe_profile(
        &self,
        region: &str,
        id: &str,
    ) -> Result<Result<Profile, String>, Fault>;
}

pub trait StartJob {
    /// Starts a bulk job.
    async fn start_job(&self, job: &NewJob<'_>) -> Result<JobStart, Fault>;
}

pub trait FindJob {
    /// Finds a bulk job by its name. Returns its ARN, or `None` if no job with that name is visible.
    async fn find_job(&self, name: &str) -> Result<Option<String>, Fault>;
}

pub trait ReadJob {
    /// Reads the state of a bulk job.
    async fn read_job(&self, arn: &str) -> Result<Job, Fault>;
}

pub trait StopJob {
    /// Asks the service to stop a bulk job. The job is `Stopping` first and is stopped some time later. A job that
    /// cannot be stopped keeps its status, which [`ReadJob`] returns.
    async fn stop_job(&self, arn: &str) -> Result<(), Fault>;
}
