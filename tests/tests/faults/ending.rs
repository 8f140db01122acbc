//! Sends a request for a workflow of its own, and reads everything that shows how the run ended.

use std::process::Command;
use std::sync::Mutex;

use aws_sdk_dynamodb::types::AttributeValue;
use bcce_core::ledger::usage::{RUNS, usage_pk};
use bcce_core::ledger::{attempt_sk, run_pk};
use bcce_tests::harness::stack::{RunRef, Stack, calls, fresh, output};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::OnceCell;

/// The end of a run, as its execution, its objects, the ledger, the topic and the model show it.
pub struct Ending {
    pub run: RunRef,
    pub status: String,
    pub error: Option<String>,
    pub cause: Option<String>,
    pub manifest: Option<Value>,
    /// The number of objects below the run's prefix.
    pub keys: usize,
    /// The status in the run's record in the ledger.
    pub record: Option<String>,
    /// The runs that the usage counters of its shard had counted before.
    before: u64,
    /// The runs that the usage counters have gained.
    pub counted: u64,
    pub notifications: Vec<Value>,
    pub model_calls: usize,
}

/// The number of workflows that all tests of this suite use together.
const WORKFLOWS: usize = 60;

/// Returns an unused workflow with one step, so that no function has cached its template. All workflows are stored
/// together, because dispatch lists the names at most once in ten seconds.
pub async fn workflow(stack: &Stack) -> String {
    static UNUSED: OnceCell<Mutex<Vec<String>>> = OnceCell::const_new();
    let put = async || {
        let mut names = Vec::new();
        for _ in 0..WORKFLOWS {
            let name = fresh("faults");
            let body = format!(
                "version: 1\nname: {name}\nsteps:\n  - {{ id: answer, model: haiku, prompt: Say something. }}\n"
            );
            stack.put_workflow(&name, &body).await;
            names.push(name);
        }
        Mutex::new(names)
    };
    let unused = UNUSED.get_or_init(put).await;
    unused.lock().unwrap().pop().expect("raise WORKFLOWS: the tests use more of them")
}

/// Sends a request, waits for the end of its execution, and reads how the run ended. `notifications` is a queue that
/// gets the topic's notifications.
pub async fn of(stack: &Stack, workflow: &str, notifications: &str) -> Ending {
    let run = RunRef::first("default", workflow, "1");
    let before = counted(stack, &run).await;
    stack.send(&json!({ "workflow": workflow, "id": "1", "inputs": {} }).to_string()).await;
    let arn = stack.arn(&run);
    stack
        .eventually("the end of the execution", async || {
            let execution = stack.sfn.describe_execution().execution_arn(&arn).send().await.ok()?;
            (execution.status().as_str() != "RUNNING").then_some(())
        })
        .await;
    stack.inbox_is_empty().await;
    look(stack, run, before, notifications).await
}

async fn look(stack: &Stack, run: RunRef, before: u64, notifications: &str) -> Ending {
    let execution = stack.sfn.describe_execution().execution_arn(stack.arn(&run));
    let execution = execution.send().await.unwrap();
    let manifest = stack.object(&run.manifest_key()).await;
    Ending {
        status: execution.status().as_str().to_owned(),
        error: execution.error().map(str::to_owned),
        cause: execution.cause().map(str::to_owned),
        manifest: manifest.map(|bytes| serde_json::from_slice(&bytes).unwrap()),
        keys: stack.keys(&run).await.len(),
        record: record(stack, &run).await,
        before,
        counted: counted(stack, &run).await - before,
        notifications: notifications_of(stack, notifications, &run).await,
        model_calls: calls(&run).len(),
        run,
    }
}

impl Ending {
    /// Checks that the run succeeded and that everything exists once: manifest, signature, record, count, notification
    /// and call.
    pub fn is_whole(&self) -> Result<(), String> {
        let is = |what: &str, holds: bool| holds.then_some(()).ok_or_else(|| what.to_owned());
        is(
            &format!("the execution {}, {:?}", self.status, self.cause),
            self.status == "SUCCEEDED",
        )?;
        is("the manifest", self.manifest.as_ref().is_some_and(|m| m["status"] == "SUCCEEDED"))?;
        is(&format!("{} objects", self.keys), self.keys == 5)?;
        is("digests and signature", self.verifies())?;
        is(
            &format!("the ledger's {:?}", self.record),
            self.record.as_deref() == Some("SUCCEEDED"),
        )?;
        is(&format!("counted {} times", self.counted), self.counted == 1)?;
        is(&format!("{} notifications", self.notifications.len()), self.notifications.len() == 1)?;
        is(&format!("{} model calls", self.model_calls), self.model_calls == 1)
    }

    /// Waits for the finalize machine and reads everything again. The notifications are those since the first reading.
    pub async fn finalized(&self, stack: &Stack, notifications: &str) -> Self {
        stack.finalized(&self.run).await;
        look(stack, self.run.clone(), self.before, notifications).await
    }

    /// Returns true if `bcce runs verify` accepts the run.
    pub fn verifies(&self) -> bool {
        let bcce = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/debug/bcce");
        let verify =
            Command::new(bcce).args(["runs", "verify", &self.run.run_id]).output().unwrap();
        verify.status.success()
    }
}

async fn record(stack: &Stack, run: &RunRef) -> Option<String> {
    let get = stack.dynamodb.get_item().table_name(output("LedgerTable")).consistent_read(true);
    let get = get.key("pk", AttributeValue::S(run_pk(&run.run_id)));
    let got = get.key("sk", AttributeValue::S(attempt_sk(run.attempt_no))).send().await.unwrap();
    got.item()?["status"].as_s().ok().cloned()
}

/// Returns the runs that the usage counters of the run's shard have counted today.
async fn counted(stack: &Stack, run: &RunRef) -> u64 {
    let pk = usage_pk(OffsetDateTime::now_utc().date(), &run.run_id);
    let query = stack.dynamodb.query().table_name(output("LedgerTable"));
    let query = query.key_condition_expression("pk = :pk");
    let items =
        query.expression_attribute_values(":pk", AttributeValue::S(pk)).send().await.unwrap();
    let runs = items.items().iter().filter(|item| item["sk"].as_s().unwrap().starts_with(RUNS));
    let counters = runs.flat_map(|item| [item.get("succeeded"), item.get("failed")]).flatten();
    counters.map(|counter| counter.as_n().unwrap().parse::<u64>().unwrap()).sum()
}

/// Returns the notifications of a run in a queue. Each one is received once, because its visibility timeout is longer
/// than the reading takes.
async fn notifications_of(stack: &Stack, queue: &str, run: &RunRef) -> Vec<Value> {
    let bodies = stack.sweep(queue, 60).await.into_iter().filter_map(|message| message.body);
    let notifications = bodies.map(|body| serde_json::from_str::<Value>(&body).unwrap());
    notifications.filter(|notification| notification["run_id"] == *run.run_id).collect()
}
