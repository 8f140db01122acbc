//! Starts, finds, reads and stops bulk jobs through Bedrock's control plane.

use aws_sdk_bedrock::Client;
use aws_sdk_bedrock::error::SdkError;
use aws_sdk_bedrock::operation::get_model_invocation_job::GetModelInvocationJobOutput;
use aws_sdk_bedrock::types::{
    ModelInvocationJobInputDataConfig, ModelInvocationJobOutputDataConfig,
    ModelInvocationJobS3InputDataConfig, ModelInvocationJobS3OutputDataConfig, ModelInvocationType,
    S3InputFormat, Tag,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::error::operation::BuildError;
use aws_types::SdkConfig;
use bcce_core::base::error::Fault;
use bcce_core::base::limits::{MAX_MESSAGE_CHARS, cut};
use bcce_core::batch::bulk::{Job, JobStart, JobStatus, NewJob, Records};
use bcce_core::ports::{FindJob, ReadJob, StartJob, StopJob};

use crate::control::{client, moment};
use crate::fault::internal;

/// The errors that a repeated call would receive again.
const REFUSALS: [&str; 4] = [
    "AccessDeniedException",
    "ResourceNotFoundException",
    "ServiceQuotaExceededException",
    "ValidationException",
];
/// The error for a job whose name or token exists already, and for a call that the state of the job does not allow.
const CONFLICT: &str = "ConflictException";
/// The errors for a job that cannot be stopped because it has ended or has not started.
const NOT_STOPPED: [&str; 2] = [CONFLICT, "ValidationException"];

/// The bulk jobs of the region of the stack.
pub struct Jobs {
    client: Client,
}

impl Jobs {
    /// Creates the adapter. `endpoint` replaces AWS's own endpoint. `{region}` in it stands for the region of the
    /// stack.
    pub fn new(config: &SdkConfig, endpoint: Option<&str>) -> Self {
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        Self { client: client(config, &region, endpoint) }
    }
}

impl StartJob for Jobs {
    async fn start_job(&self, job: &NewJob<'_>) -> Result<JobStart, Fault> {
        let what = format!("bedrock:CreateModelInvocationJob {}", job.name);
        let create = self
            .client
            .create_model_invocation_job()
            .job_name(job.name)
            .client_request_token(job.name)
            .role_arn(job.role_arn)
            .model_id(job.model_id)
            .model_invocation_type(ModelInvocationType::Converse)
            .input_data_config(input(job).map_err(unbuilt)?)
            .output_data_config(output(job).map_err(unbuilt)?)
            .timeout_duration_in_hours(job.timeout_hours)
            .set_tags(Some(tags(job).map_err(unbuilt)?));
        let error = match create.send().await {
            Ok(created) => {
                return Ok(JobStart::Started { arn: created.job_arn });
            }
            Err(error) => error,
        };
        // A job that is not listed yet may be running, so its absence is an error and not a refusal.
        if error.code() == Some(CONFLICT) {
            let found = self.find_job(job.name).await?;
            return found
                .map(|arn| JobStart::Started { arn })
                .ok_or_else(|| internal(&what, &error));
        }
        match refusal(&error) {
            Some(because) => Ok(JobStart::Refused { because }),
            None => Err(internal(&what, &error)),
        }
    }
}

impl FindJob for Jobs {
    async fn find_job(&self, name: &str) -> Result<Option<String>, Fault> {
        let what = format!("bedrock:ListModelInvocationJobs {name}");
        let list = self.client.list_model_invocation_jobs().name_contains(name);
        // The filter also finds jobs whose longer names contain `name`.
        let mut jobs = list.into_paginator().items().send();
        while let Some(job) = jobs.next().await {
            let job = job.map_err(|error| internal(&what, &error))?;
            if job.job_name() == name {
                return Ok(Some(job.job_arn));
            }
        }
        Ok(None)
    }
}

impl ReadJob for Jobs {
    async fn read_job(&self, arn: &str) -> Result<Job, Fault> {
        let what = format!("bedrock:GetModelInvocationJob {arn}");
        let got = self.client.get_model_invocation_job().job_identifier(arn).send().await;
        let got = got.map_err(|error| internal(&what, &error))?;
        let submitted_at = moment(&got.submit_time)
            .ok_or_else(|| Fault::internal(format!("{what}: invalid submission time")))?;
        Ok(Job {
            // A job without a status has just been submitted.
            status: got.status.as_ref().map_or(JobStatus::Submitted, |s| JobStatus::of(s.as_str())),
            message: got.message.as_deref().map(|message| cut(message, MAX_MESSAGE_CHARS)),
            records: records(&got),
            submitted_at,
            ended_at: got.end_time.as_ref().and_then(moment),
        })
    }
}

impl StopJob for Jobs {
    async fn stop_job(&self, arn: &str) -> Result<(), Fault> {
        let stop = self.client.stop_model_invocation_job().job_identifier(arn);
        match stop.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code().is_some_and(|code| NOT_STOPPED.contains(&code)) => Ok(()),
            Err(error) => Err(internal(&format!("bedrock:StopModelInvocationJob {arn}"), &error)),
        }
    }
}

fn input(job: &NewJob<'_>) -> Result<ModelInvocationJobInputDataConfig, BuildError> {
    let s3 = ModelInvocationJobS3InputDataConfig::builder().s3_uri(job.input);
    let s3 = s3.s3_input_format(S3InputFormat::Jsonl).build()?;
    Ok(ModelInvocationJobInputDataConfig::S3InputDataConfig(s3))
}

fn output(job: &NewJob<'_>) -> Result<ModelInvocationJobOutputDataConfig, BuildError> {
    let s3 = ModelInvocationJobS3OutputDataConfig::builder().s3_uri(job.output);
    let s3 = s3.s3_encryption_key_id(job.key_arn).build()?;
    Ok(ModelInvocationJobOutputDataConfig::S3OutputDataConfig(s3))
}

/// Returns the tags that the service accepts. Any other tag would fail the whole job, so it is left out.
fn tags(job: &NewJob<'_>) -> Result<Vec<Tag>, BuildError> {
    let taken = |text: &str, most: usize| {
        let sign = |c: char| c.is_ascii_whitespace() || "._:/=+@-".contains(c);
        text.len() <= most && text.chars().all(|c| c.is_ascii_alphanumeric() || sign(c))
    };
    let fit = job.tags.iter().filter(|(key, value)| taken(key, 128) && taken(value, 256));
    fit.map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

fn unbuilt(error: BuildError) -> Fault {
    Fault::internal(error.to_string())
}

/// Returns the message of an error that a repeated call would receive again, and `None` for any other error.
fn refusal<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<String> {
    let code = error.code().filter(|code| REFUSALS.contains(code))?;
    let message = error.message().unwrap_or("no reason given");
    Some(cut(&format!("{code}: {message}"), MAX_MESSAGE_CHARS))
}

fn records(job: &GetModelInvocationJobOutput) -> Records {
    let count = |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok());
    Records {
        total: count(job.total_record_count),
        processed: count(job.processed_record_count),
        succeeded: count(job.success_record_count),
        failed: count(job.error_record_count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::LazyLock;

    use aws_sdk_bedrock::operation::create_model_invocation_job::{
        CreateModelInvocationJobError, CreateModelInvocationJobOutput,
    };
    use aws_sdk_bedrock::operation::list_model_invocation_jobs::ListModelInvocationJobsOutput;
    use aws_sdk_bedrock::operation::stop_model_invocation_job::StopModelInvocationJobError;
    use aws_sdk_bedrock::types::{ModelInvocationJobStatus, ModelInvocationJobSummary};
    use aws_smithy_mocks::{Rule, mock, mock_client};
    use aws_smithy_types::DateTime;
    use aws_smithy_types::error::ErrorMetadata;
    use time::macros::datetime;

    const ARN: &str = "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/abc123def456";

    fn jobs(rule: &Rule) -> Jobs {
        Jobs { client: mock_client!(aws_sdk_bedrock, [rule]) }
    }

    static TAGS: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        BTreeMap::from([tag("team", "payments"), tag("who", "Zoë")])
    });

    fn job() -> NewJob<'static> {
        NewJob {
            name: "explain-1-1",
            role_arn: "arn:aws:iam::000000000000:role/bulk",
            model_id: "us.anthropic.claude",
            input: "s3://b/in/",
            output: "s3://b/out/",
            key_arn: "key",
            timeout_hours: 24,
            tags: &TAGS,
        }
    }

    async fn start(rule: Rule) -> Result<JobStart, Fault> {
        jobs(&rule).start_job(&job()).await
    }

    #[tokio::test]
    async fn a_job_is_started_over_records_of_converse_under_a_token() {
        let rule = mock!(Client::create_model_invocation_job)
            .match_requests(|create| {
                let (input, output) = (create.input_data_config(), create.output_data_config());
                let input = input.and_then(|input| input.as_s3_input_data_config().ok());
                let output = output.and_then(|output| output.as_s3_output_data_config().ok());
                let tags: Vec<&str> = create.tags().iter().map(Tag::key).collect();
                create.client_request_token() == create.job_name()
                    && create.model_invocation_type() == Some(&ModelInvocationType::Converse)
                    && input.is_some_and(|input| input.s3_uri() == "s3://b/in/")
                    && output.is_some_and(|output| output.s3_encryption_key_id() == Some("key"))
                    && tags == ["team"]
            })
            .then_output(|| {
                CreateModelInvocationJobOutput::builder().job_arn(ARN).build().unwrap()
            });
        assert_eq!(start(rule).await, Ok(JobStart::Started { arn: ARN.into() }));
    }

    fn refused_with(code: &'static str) -> Rule {
        mock!(Client::create_model_invocation_job).then_error(move || {
            let meta = ErrorMetadata::builder().code(code).message("no").build();
            CreateModelInvocationJobError::generic(meta)
        })
    }

    #[tokio::test]
    async fn a_final_refusal_is_reported_and_other_errors_are_tried_again() {
        for code in REFUSALS {
            let because = format!("{code}: no");
            assert_eq!(start(refused_with(code)).await, Ok(JobStart::Refused { because }));
        }
        for code in ["ThrottlingException", "InternalServerException", "ExpiredTokenException"] {
            assert!(start(refused_with(code)).await.is_err(), "{code}");
        }
    }

    #[tokio::test]
    async fn an_existing_job_of_that_name_is_returned() {
        let summary = |name: &str, arn: &str| {
            let summary = ModelInvocationJobSummary::builder().job_name(name).job_arn(arn);
            let summary = summary.model_id("m").role_arn("r").submit_time(DateTime::from_secs(0));
            let (input, output) = (input(&job()).unwrap(), output(&job()).unwrap());
            summary.input_data_config(input).output_data_config(output).build().unwrap()
        };
        for (name, expected) in
            [("explain-1-1", Some(JobStart::Started { arn: ARN.into() })), ("explain-1-10", None)]
        {
            let listed = summary(name, ARN);
            let list = mock!(Client::list_model_invocation_jobs)
                .match_requests(|list| list.name_contains() == Some("explain-1-1"))
                .then_output(move || {
                    let jobs = ListModelInvocationJobsOutput::builder();
                    jobs.invocation_job_summaries(listed.clone()).build()
                });
            let conflict = refused_with(CONFLICT);
            let client = mock_client!(aws_sdk_bedrock, [&conflict, &list]);
            assert_eq!(Jobs { client }.start_job(&job()).await.ok(), expected);
        }
    }

    #[tokio::test]
    async fn a_job_reports_its_progress() {
        let rule = mock!(Client::get_model_invocation_job)
            .match_requests(|get| get.job_identifier() == Some(ARN))
            .then_output(|| {
                GetModelInvocationJobOutput::builder()
                    .job_arn(ARN)
                    .model_id("m")
                    .role_arn("r")
                    .status(ModelInvocationJobStatus::Failed)
                    .message("x".repeat(2_000))
                    .submit_time(DateTime::from_secs(1_793_534_400))
                    .end_time(DateTime::from_secs(1_793_534_460))
                    .total_record_count(100)
                    .processed_record_count(3)
                    .build()
                    .unwrap()
            });
        let job = jobs(&rule).read_job(ARN).await.unwrap();
        assert_eq!(job.status, JobStatus::Failed);
        assert!(job.message.is_some_and(|message| message.len() < 2_000));
        let counted = Records { total: Some(100), processed: Some(3), ..Records::default() };
        assert_eq!(job.records, counted);
        assert_eq!(job.submitted_at, datetime!(2026-11-01 12:00 UTC));
        assert_eq!(job.ended_at, Some(datetime!(2026-11-01 12:01 UTC)));
    }

    #[tokio::test]
    async fn a_job_that_cannot_be_stopped_is_no_error() {
        for (code, is_over) in [("ConflictException", true), ("ThrottlingException", false)] {
            let rule = mock!(Client::stop_model_invocation_job).then_error(move || {
                let meta = ErrorMetadata::builder().code(code).build();
                StopModelInvocationJobError::generic(meta)
            });
            assert_eq!(jobs(&rule).stop_job(ARN).await.is_ok(), is_over, "{code}");
        }
    }
}
