use super::*;
use crate::progress::{Limits, State, SystemClock, wait};
use crate::scripted_model::prompt::tests::body;

const INPUT: &str = "s3://b/in/";
const RECORDS: usize = 100;

/// Returns a job service with the records at [`INPUT`]. `scripts` precede the prompts of the first records.
async fn jobs(scripts: &[&str]) -> Jobs {
    let line = |n: usize| {
        let script = scripts.get(n).map(|script| format!("{script}\n")).unwrap_or_default();
        let input = body("w", "s", &format!("{script}say {n}"));
        format!("{}\n", json!({ "recordId": format!("R{n:010}"), "modelInput": input }))
    };
    let jobs = Jobs::new(Arc::new(Model::default()), Store::default());
    for (name, lines) in [("a.jsonl", 0..60), ("b.jsonl", 60..RECORDS)] {
        let text: String = lines.map(line).collect();
        jobs.store().put(&format!("{INPUT}{name}"), None, text.into_bytes()).await.unwrap();
    }
    jobs
}

fn order() -> Value {
    json!({
        "jobName": "w-1-1", "clientRequestToken": "w-1-1", "modelId": "us.anthropic.claude",
        "roleArn": "arn:aws:iam::000000000000:role/bulk", "modelInvocationType": "Converse",
        "inputDataConfig": { "s3InputDataConfig": { "s3Uri": INPUT } },
        "outputDataConfig": { "s3OutputDataConfig": { "s3Uri": "s3://b/out/" } },
    })
}

async fn ask(jobs: &Jobs, wanted: Wanted, body: &Value) -> Result<Value, Refusal> {
    let operation = JobOperation { region: "us-east-1".into(), wanted };
    jobs.answer(&operation, body.to_string().as_bytes()).await
}

async fn start(jobs: &Jobs) -> String {
    let created = ask(jobs, Wanted::Create, &order()).await.unwrap();
    created["jobArn"].as_str().unwrap().to_owned()
}

async fn look(jobs: &Jobs, arn: &str) -> Value {
    ask(jobs, Wanted::Get(arn.into()), &Value::Null).await.unwrap()
}

/// Waits for the status `last`. Returns all statuses and the job.
async fn until(jobs: &Jobs, arn: &str, last: &str) -> (Vec<String>, Value) {
    let job = reached(jobs, arn, last, |job| job["status"] == last).await;
    let all = jobs.to_json();
    let found = all.as_array().unwrap().iter().find(|job| job["jobArn"] == arn).unwrap();
    (serde_json::from_value(found["statuses"].clone()).unwrap(), job)
}

async fn reached(jobs: &Jobs, arn: &str, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let ask = async || Some(look(jobs, arn).await).filter(&is_it);
    let state = async || State { own: look(jobs, arn).await.to_string(), around: String::new() };
    let came = wait(&SystemClock::default(), &Limits::STACK, what, ask, state).await;
    came.unwrap_or_else(|standstill| panic!("{standstill}"))
}

async fn output(jobs: &Jobs, name: &str) -> Vec<Value> {
    let found = jobs.store().list("s3://b/out/").await.unwrap();
    let uri = found.iter().find(|uri| uri.ends_with(name)).unwrap_or_else(|| panic!("{found:?}"));
    let text = String::from_utf8(jobs.store().get(uri).await.unwrap()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_job_goes_through_its_states_and_answers_every_record() {
    let jobs = jobs(&["@model *: throttle", "@model says: yes"]).await;
    let arn = start(&jobs).await;
    let (seen, job) = until(&jobs, &arn, "Completed").await;
    assert_eq!(seen, ["Submitted", "Validating", "Scheduled", "InProgress", "Completed"]);
    assert_eq!((&job["totalRecordCount"], &job["errorRecordCount"]), (&json!(100), &json!(1)));
    let (a, b) =
        (output(&jobs, "/job000000000/a.jsonl.out").await, output(&jobs, "b.jsonl.out").await);
    assert_eq!((a.len(), b.len()), (60, 40));
    assert_eq!(a[59]["recordId"], "R0000000000", "the order differs from the input");
    assert_eq!(a[59]["error"]["errorCode"], 429);
    assert_eq!(a[58]["modelOutput"]["output"]["message"]["content"][0]["text"], "yes");
    assert_eq!(a[58]["modelOutput"]["stopReason"], "end_turn");
    let summary = &output(&jobs, "manifest.json.out").await[0];
    assert_eq!(
        (&summary["processedRecordCount"], &summary["successRecordCount"]),
        (&json!(100), &json!(99))
    );
    assert!(summary["inputTokenCount"].as_u64() > Some(0));
}

#[tokio::test]
async fn each_token_starts_one_job() {
    let jobs = jobs(&[]).await;
    let (first, second) = (start(&jobs).await, start(&jobs).await);
    assert_eq!(first, second);
    let mut other = order();
    other["clientRequestToken"] = json!("w-1-2");
    let third = ask(&jobs, Wanted::Create, &other).await.unwrap();
    assert_ne!(third["jobArn"], first);
    assert_eq!(jobs.to_json().as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn records_are_lost_fail_or_are_left_when_time_is_up() {
    let jobs = jobs(&["", "", "", "@bulk error(400)", "@bulk lost", "@bulk partial(3)"]).await;
    let arn = start(&jobs).await;
    let (_, job) = until(&jobs, &arn, "PartiallyCompleted").await;
    assert_eq!(job["processedRecordCount"], 97);
    let a = output(&jobs, "a.jsonl.out").await;
    assert_eq!(a.len(), 56);
    assert_eq!(a[55]["recordId"], "R0000000003");
    assert_eq!(a[55]["error"]["errorCode"], 400);
    assert!(!a.iter().any(|line| line["recordId"] == "R0000000004"));
}

#[tokio::test]
async fn a_stopped_job_keeps_the_results_so_far() {
    let jobs = jobs(&["@bulk never"]).await;
    let arn = start(&jobs).await;
    reached(&jobs, &arn, "all but one", |job| job["processedRecordCount"] == RECORDS - 1).await;
    assert_eq!(look(&jobs, &arn).await["status"], "InProgress");
    ask(&jobs, Wanted::Stop(arn.clone()), &Value::Null).await.unwrap();
    let (seen, job) = until(&jobs, &arn, "Stopped").await;
    assert_eq!(seen[3..], ["InProgress", "Stopping", "Stopped"]);
    assert!(job["endTime"].is_string());
    assert_eq!(output(&jobs, "a.jsonl.out").await.len(), 59);
    let refusal = ask(&jobs, Wanted::Stop(arn), &Value::Null).await.unwrap_err();
    assert_eq!(refusal.code, "ConflictException");
}

#[tokio::test]
async fn a_job_can_fail_at_validation_or_expire_without_any_output() {
    for (script, last) in [("@bulk invalid", "Failed"), ("@bulk expired", "Expired")] {
        let jobs = jobs(&[script]).await;
        let arn = start(&jobs).await;
        until(&jobs, &arn, last).await;
        assert!(jobs.store().list("s3://b/out/").await.unwrap().is_empty(), "{script}");
    }
}

#[tokio::test]
async fn too_few_records_fail() {
    let jobs = jobs(&[]).await;
    let mut fewer = order();
    fewer["inputDataConfig"]["s3InputDataConfig"]["s3Uri"] = json!("s3://b/in/a.jsonl");
    let created = ask(&jobs, Wanted::Create, &fewer).await.unwrap();
    let (_, job) = until(&jobs, created["jobArn"].as_str().unwrap(), "Failed").await;
    let expected = "Batch job contains less records (60) than the required minimum of: 100";
    assert_eq!(job["message"], expected);
}

#[tokio::test]
async fn a_refused_request_starts_no_job() {
    let jobs = jobs(&["@bulk refused(quota)"]).await;
    let refusal = ask(&jobs, Wanted::Create, &order()).await.unwrap_err();
    assert_eq!(refusal.code, "ServiceQuotaExceededException");
    for (field, value) in [
        ("jobName", json!("a_b")),
        ("clientRequestToken", json!("a.b")),
        ("modelInvocationType", json!("InvokeModel")),
        ("timeoutDurationInHours", json!(1)),
        ("tags", json!([{ "key": "team", "value": "a,b" }])),
    ] {
        let mut wrong = order();
        wrong[field] = value;
        let refusal = ask(&jobs, Wanted::Create, &wrong).await.unwrap_err();
        assert_eq!(refusal.code, "ValidationException");
        assert!(refusal.message.contains(field), "{}", refusal.message);
    }
    assert_eq!(jobs.to_json(), json!([]));
    let unknown = ask(&jobs, Wanted::Get("job000000007".into()), &Value::Null).await.unwrap_err();
    assert_eq!(unknown.status, 404);
}
