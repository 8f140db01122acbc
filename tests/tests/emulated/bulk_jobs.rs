//! The adapter for bulk jobs and the scripted service with the emulator's bucket.

use std::collections::BTreeMap;

use bcce_aws::bulk::Jobs;
use bcce_core::batch::bulk::{JobStart, JobStatus, NewJob, output_key, read, record_id};
use bcce_core::ports::{ReadJob, StartJob};
use bcce_tests::harness::stack::{Stack, fresh, output};
use serde_json::json;

/// A bulk job reads its records from the artifact bucket and writes its results there, encrypted with the stack's key.
#[tokio::test]
async fn a_job_reads_its_records_from_the_bucket_and_writes_its_results_there() {
    let stack = Stack::connect().await;
    let config = bcce_aws::chain::sdk_config().await.unwrap();
    let endpoint = format!("{}/{{region}}", output("SCRIPTED_MODEL_URL"));
    let jobs = Jobs::new(&config, Some(&endpoint));
    let (bucket, name) = (output("ArtifactBucket"), fresh("job"));
    let below = format!("batches/runs/default/{name}/bulk");
    let line = |n: u64| {
        let input =
            json!({ "messages": [{ "role": "user", "content": [{ "text": n.to_string() }] }] });
        format!("{}\n", json!({ "recordId": record_id(n), "modelInput": input }))
    };
    let input: String = (1..=100).map(line).collect();
    let put = stack.s3.put_object().bucket(&bucket).key(format!("{below}/in/1.jsonl"));
    put.body(input.into_bytes().into()).send().await.unwrap();
    let job = NewJob {
        name: &name,
        role_arn: "arn:aws:iam::000000000000:role/bulk",
        model_id: "us.anthropic.claude",
        input: &format!("s3://{bucket}/{below}/in/"),
        output: &format!("s3://{bucket}/{below}/out/"),
        key_arn: &output("ArtifactKeyArn"),
        timeout_hours: 24,
        tags: &BTreeMap::new(),
    };
    let JobStart::Started { arn } = jobs.start_job(&job).await.unwrap() else { panic!("refused") };
    let look = async || jobs.read_job(&arn).await.unwrap();
    let over = async || Some(look().await).filter(|job| job.status.is_over());
    let job =
        stack.reached("the end of the job", over, async || format!("{:?}", look().await)).await;
    assert_eq!(job.status, JobStatus::Completed, "{:?}", job.message);
    let key = output_key(&format!("{below}/out/"), &arn, "1.jsonl");
    let object = stack.s3.get_object().bucket(&bucket).key(&key).send().await.unwrap();
    assert_eq!(object.ssekms_key_id(), Some(output("ArtifactKeyArn").as_str()));
    let made = read(&object.body.collect().await.unwrap().into_bytes());
    assert!(made.records.len() == 100 && made.records.values().all(|record| record.result.is_ok()));
}
