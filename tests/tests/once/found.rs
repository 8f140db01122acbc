//! Reads everything that exists when the stack is at rest.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::Message;
use bcce_tests::harness::stack::{Stack, all_calls, log, output};
use futures::StreamExt;
use p256::ecdsa::VerifyingKey;
use p256::pkcs8::DecodePublicKey;
use serde_json::Value;

use bcce_tests::harness::kills;

/// The number of objects that are read at the same time.
const AT_A_TIME: usize = 8;

pub type Item = HashMap<String, AttributeValue>;

pub struct Found {
    /// The status and the error of each execution of the workflow machine, by name.
    pub executions: BTreeMap<String, (String, Option<String>)>,
    /// The status of each execution of the finalize machine.
    pub finalizations: Vec<String>,
    /// The objects below `runs/`, by key.
    pub objects: BTreeMap<String, Vec<u8>>,
    pub key: VerifyingKey,
    pub ledger: Vec<Item>,
    /// The calls, from the log of the model.
    pub calls: Vec<Value>,
    pub notifications: Vec<Value>,
    /// The dead letters.
    pub letters: Vec<Message>,
    /// The number of times that each function was killed while it worked, by function.
    pub hits: BTreeMap<String, usize>,
    /// The log of `invoke`.
    pub log: String,
    /// The number of times that `dispatch` rejected a message.
    pub rejections: usize,
}

impl Found {
    /// Reads everything. `notifications` is a queue that gets the topic's notifications.
    pub async fn on(stack: &Stack, notifications: &str) -> Self {
        let mut executions = BTreeMap::new();
        for (arn, name, status) in listed(stack, "WorkflowArn").await {
            let error = match status.as_str() {
                "SUCCEEDED" => None,
                _ => stack.sfn.describe_execution().execution_arn(arn).send().await.unwrap().error,
            };
            executions.insert(name, (status, error));
        }
        let key = stack.kms.get_public_key().key_id(output("SigningKeyArn")).send().await.unwrap();
        let emulator_log = kills::emulator_log();
        let notifications = stack.sweep(notifications, 600).await;
        let notifications = notifications.iter().filter_map(Message::body);
        Self {
            executions,
            finalizations: listed(stack, "FinalizeArn")
                .await
                .into_iter()
                .map(|(.., s)| s)
                .collect(),
            objects: objects(stack).await,
            key: VerifyingKey::from_public_key_der(key.public_key.unwrap().as_ref()).unwrap(),
            ledger: ledger(stack).await,
            calls: all_calls(),
            notifications: notifications.map(|body| serde_json::from_str(body).unwrap()).collect(),
            letters: stack.sweep(&output("DeadLetterQueueUrl"), 600).await,
            hits: kills::hits(&emulator_log),
            log: log("invoke"),
            rejections: emulator_log.matches("the message is rejected").count(),
        }
    }

    /// Returns an object as JSON, or `None` if it does not exist or is not JSON.
    pub fn document(&self, key: &str) -> Option<Value> {
        serde_json::from_slice(self.objects.get(key)?).ok()
    }
}

/// Returns ARN, name and status of a machine's executions.
pub async fn listed(stack: &Stack, machine: &str) -> Vec<(String, String, String)> {
    let list = stack.sfn.list_executions().state_machine_arn(output(machine));
    let listed = list.max_results(1000).send().await.unwrap();
    assert_eq!(listed.next_token(), None, "more executions than a page has");
    let executions = listed.executions().iter().map(|execution| {
        let (arn, name) = (execution.execution_arn().to_owned(), execution.name().to_owned());
        (arn, name, execution.status().as_str().to_owned())
    });
    executions.collect()
}

async fn objects(stack: &Stack) -> BTreeMap<String, Vec<u8>> {
    let bucket = output("ArtifactBucket");
    let list = stack.s3.list_objects_v2().bucket(&bucket).prefix("runs/").into_paginator().send();
    let pages = list.collect::<Result<Vec<_>, _>>().await.unwrap();
    let keys = pages.iter().flat_map(|page| page.contents()).filter_map(|object| object.key());
    let read = keys.map(async |key| (key.to_owned(), stack.object(key).await.unwrap()));
    futures::stream::iter(read).buffered(AT_A_TIME).collect().await
}

async fn ledger(stack: &Stack) -> Vec<Item> {
    let scan = stack.dynamodb.scan().table_name(output("LedgerTable")).into_paginator().items();
    scan.send().collect::<Result<Vec<_>, _>>().await.unwrap()
}
