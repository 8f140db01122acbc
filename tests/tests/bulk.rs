//! Tests the adapter for Bedrock's batch inference against the scripted service: the format of records, a job from
//! start to end, and its results.
//!
//! It needs no stack and no emulator: `make offline`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bcce_aws::bedrock::Bedrock;
use bcce_aws::bulk::Jobs as Adapter;
use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::batch::bulk;
use bcce_core::batch::bulk::{
    Asking, Job, JobStart, JobStatus, NewJob, Output, fit, output_key, read,
};
use bcce_core::call::model::{CallLimits, ModelCall};
use bcce_core::document::prompt::Prompt;
use bcce_core::ports::{CallModel, ReadJob, StartJob, StopJob};
use bcce_core::run::ids::RunRef;
use bcce_core::run::plan::Plan;
use bcce_tests::progress::{Limits, State, SystemClock, wait};
use bcce_tests::scripted_model::{Jobs, Model, Store, serve};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::net::TcpListener;

const ROLE: &str = "arn:aws:iam::000000000000:role/bulk";
const RECORDS: u64 = 100;

struct Service {
    model: Arc<Model>,
    jobs: Arc<Jobs>,
    endpoint: String,
}

async fn service() -> Service {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/{{region}}", listener.local_addr().unwrap());
    let model = Arc::new(Model::default());
    let jobs = Arc::new(Jobs::new(model.clone(), Store::default()));
    tokio::spawn(serve(listener, model.clone(), jobs.clone()));
    Service { model, jobs, endpoint }
}

fn config() -> bcce_aws::SdkConfig {
    use aws_config::{BehaviorVersion, Region};
    let credentials = aws_sdk_s3::config::Credentials::new("test", "test", None, None, "test");
    bcce_aws::SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(aws_sdk_s3::config::SharedCredentialsProvider::new(credentials))
        .http_client(bcce_aws::http_client().unwrap())
        // The SDK refuses FIPS together with a custom endpoint. The adapter has to switch FIPS off for its endpoint.
        .use_fips(true)
        .sleep_impl(bcce_aws::sleep_impl())
        .build()
}

/// Returns the plan of `events/invoke` with one step that uses every parameter that a record can have.
fn plan() -> Plan {
    let mut plan: Plan =
        serde_json::from_str(include_str!("../../events/invoke/plan.json")).unwrap();
    plan.steps.truncate(1);
    let step = &mut plan.steps[0];
    (step.for_each, step.temperature, step.effort) = (None, Some(0.3), Some("low".into()));
    let output =
        r#"{"type":"json","schema":{"type":"object","properties":{"ok":{"type":"boolean"}}}}"#;
    step.output = Some(serde_json::from_str(output).unwrap());
    for takes in plan.takes.get_mut(&step.model).unwrap() {
        (takes.json_schema, takes.effort) = (true, vec!["low".into()]);
    }
    plan
}

fn prompt(script: &str) -> Prompt {
    Prompt {
        system: Some("Be brief.".into()),
        user: format!("{script}\nSay something."),
        ..Prompt::default()
    }
}

/// Stores the records and starts a job for them. The prompts of the first records begin with `scripts`.
async fn start(service: &Service, adapter: &Adapter, scripts: &[&str]) -> Result<JobStart, Fault> {
    let (plan, run) = (plan(), RunRef::first("default", "w", "1"));
    let line = |n: u64| {
        let prompt = prompt(scripts.get(n as usize - 1).copied().unwrap_or_default());
        let fit = fit(&plan, "us-east-1").unwrap();
        let (prompt, parameters) = (&prompt, &fit.parameters());
        Asking { run: &run, plan: &plan, step: fit.step, prompt, parameters }.line(n)
    };
    let input: String = (1..=RECORDS).map(line).collect();
    service.jobs.store().put("s3://b/in/1.jsonl", None, input.into_bytes()).await.unwrap();
    let tags = BTreeMap::from([("team".to_owned(), "a, b".to_owned())]);
    let job = NewJob {
        name: "w-1-1",
        role_arn: ROLE,
        model_id: &fit(&plan, "us-east-1").unwrap().target.model_id,
        input: "s3://b/in/",
        output: "s3://b/out/",
        key_arn: "key",
        timeout_hours: bulk::hours(Duration::ZERO),
        tags: &tags,
    };
    adapter.start_job(&job).await
}

async fn started(service: &Service, adapter: &Adapter, scripts: &[&str]) -> String {
    match start(service, adapter, scripts).await.unwrap() {
        JobStart::Started { arn } => arn,
        refused => panic!("{refused:?}"),
    }
}

/// Waits until the job satisfies `is_it`.
async fn until(adapter: &Adapter, arn: &str, is_it: fn(&Job) -> bool) -> Job {
    let read = async || adapter.read_job(arn).await.unwrap();
    let ask = async || Some(read().await).filter(is_it);
    let state = async || State { own: format!("{:?}", read().await), around: String::new() };
    let came = wait(&SystemClock::default(), &Limits::STACK, arn, ask, state).await;
    came.unwrap_or_else(|standstill| panic!("{standstill}"))
}

fn is_over(job: &Job) -> bool {
    job.status.is_over()
}

async fn output(service: &Service, arn: &str) -> Output {
    let key = output_key("out/", arn, "1.jsonl");
    read(&service.jobs.store().get(&format!("s3://b/{key}")).await.unwrap())
}

/// The `modelInput` of a record equals the body of a Converse call for the same step.
#[tokio::test]
async fn a_record_has_the_same_body_as_a_call() {
    let service = service().await;
    let (plan, run, prompt) = (plan(), RunRef::first("default", "w", "1"), prompt(""));
    let fit = fit(&plan, "us-east-1").unwrap();
    let (step, parameters) = (fit.step, &fit.parameters());
    let limit = Duration::from_secs(5);
    let call = ModelCall {
        target: fit.target,
        prompt: &prompt,
        repair: None,
        parameters,
        cache: None,
        metadata: bcce_core::run::step_metadata::step_metadata(&plan, &run, step, None),
        limits: CallLimits { first_token: limit, stall: limit, attempt: limit },
    };
    let report = Bedrock::new(&config(), Some(service.endpoint)).call(&call).await;
    report.result.unwrap();
    let record = Asking { run: &run, plan: &plan, step, prompt: &prompt, parameters }.line(1);
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["modelInput"], service.model.calls(None)[0]["request"]);
}

/// A second start with the same name returns the first job. Its output has an answer or an error for each record but
/// the one that the script loses.
#[tokio::test]
async fn a_job_is_started_once_and_its_records_are_read() {
    let service = service().await;
    let adapter = Adapter::new(&config(), Some(&service.endpoint));
    let scripts = ["@bulk error(429)", "@bulk lost", "@model *: max-tokens", "@model *: thinks"];
    let before = OffsetDateTime::now_utc();
    let arn = started(&service, &adapter, &scripts).await;
    assert_eq!(started(&service, &adapter, &scripts).await, arn);
    let job = until(&adapter, &arn, is_over).await;
    assert_eq!(job.status, JobStatus::Completed);
    assert_eq!((job.records.total, job.records.succeeded), (Some(RECORDS), Some(RECORDS - 2)));
    assert!(job.submitted_at >= before - Duration::from_secs(1));
    assert!(job.ended_at.is_some_and(|ended_at| ended_at > job.submitted_at));
    let output = output(&service, &arn).await;
    assert!(output.unreadable.is_empty(), "{:?}", output.unreadable);
    assert_eq!(output.records.len() as u64, RECORDS - 1);
    let result = |n: u64| &output.records[&n].result;
    assert_eq!(result(1).as_ref().unwrap_err().name, ErrorName::TargetThrottled);
    assert!(!output.records.contains_key(&2));
    assert_eq!(result(3).as_ref().unwrap().stop_reason, "max_tokens");
    assert!(!result(4).as_ref().unwrap().text.contains("I count, I do not think"));
    assert!(output.records[&5].usage.is_some_and(|usage| usage.input_tokens > 0));
}

/// A job that is stopped has the output of the records that it had processed. Stopping it again succeeds.
#[tokio::test]
async fn a_stopped_job_returns_the_records_it_had_processed() {
    let service = service().await;
    let adapter = Adapter::new(&config(), Some(&service.endpoint));
    let arn = started(&service, &adapter, &["@bulk never"]).await;
    until(&adapter, &arn, |job| job.records.processed == Some(RECORDS - 1)).await;
    adapter.stop_job(&arn).await.unwrap();
    assert_eq!(until(&adapter, &arn, is_over).await.status, JobStatus::Stopped);
    assert_eq!(output(&service, &arn).await.records.len() as u64, RECORDS - 1);
    assert_eq!(adapter.stop_job(&arn).await, Ok(()), "stopping a job that is over must succeed");
}

/// A job whose input the service finds invalid ends as `Failed`, with the service's message.
#[tokio::test]
async fn an_invalid_job_fails_with_the_message_of_the_service() {
    let service = service().await;
    let adapter = Adapter::new(&config(), Some(&service.endpoint));
    let arn = started(&service, &adapter, &["@bulk invalid"]).await;
    let job = until(&adapter, &arn, is_over).await;
    assert_eq!(job.status, JobStatus::Failed);
    assert_eq!(job.message.as_deref(), Some("The script declares that the input is not valid."));
}

/// An error that would come again is returned as `JobStart::Refused`. A throttle or an internal error of the service is
/// a fault, which is retried.
#[tokio::test]
async fn a_refused_job_is_reported_and_a_transient_error_is_a_fault() {
    for (script, refused) in [
        ("@bulk refused(quota)", true),
        ("@bulk refused(denied)", true),
        ("@bulk refused(validation)", true),
        ("@bulk refused(throttle)", false),
        ("@bulk refused(internal)", false),
    ] {
        let service = service().await;
        let config = config().into_builder();
        let config = config.retry_config(aws_config::retry::RetryConfig::disabled()).build();
        let adapter = Adapter::new(&config, Some(&service.endpoint));
        match start(&service, &adapter, &[script]).await {
            Ok(start) => assert!(refused && matches!(start, JobStart::Refused { .. }), "{script}"),
            Err(fault) => assert!(!refused && fault.name == ErrorName::Internal, "{script}"),
        }
    }
}
