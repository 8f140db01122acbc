//! Waits for events on the stack. Each wait has a description of the state, which changes with every progress.

use std::collections::HashMap;
use std::path::Path;

use aws_sdk_sqs::types::{Message, QueueAttributeName};
use serde_json::Value;

use super::stack::{RunRef, Stack, calls, output};
use crate::progress::{Limits, State, SystemClock, wait};

impl Stack {
    /// Waits for the end of a run's execution and returns its manifest.
    pub async fn manifest(&self, run: &RunRef) -> Value {
        let arn = self.arn(run);
        let over = async || {
            let execution = self.sfn.describe_execution().execution_arn(&arn).send().await.ok()?;
            // The state machine seals the run before it sends the notification, so wait for its end.
            match execution.status().as_str() {
                "RUNNING" => None,
                _ => self.object(&run.manifest_key()).await,
            }
        };
        let body = self.reached(&run.manifest_key(), over, async || self.state_of(run).await).await;
        serde_json::from_slice(&body).unwrap()
    }

    /// Waits until the execution of a run is stopped.
    pub async fn stopped(&self, run: &RunRef) {
        let arn = self.arn(run);
        self.eventually("the end of the execution", async || {
            let execution = self.sfn.describe_execution().execution_arn(&arn).send().await.unwrap();
            (execution.status().as_str() == "ABORTED").then_some(())
        })
        .await;
    }

    /// Waits until the finalize machine was started for a run and all of these executions have ended.
    pub async fn finalized(&self, run: &RunRef) {
        let finalized = async || {
            let found = self.finalizations(&run.run_id).await;
            (!found.is_empty() && found.iter().all(|(_, is_over)| *is_over)).then_some(())
        };
        let state = async || self.state_of(run).await;
        self.reached("the end of the finalize machine", finalized, state).await;
    }

    /// Waits until the finalize machine was started at least `times` times for the run or batch `id`.
    pub async fn finalizing(&self, id: &str, times: usize) {
        let started = async || (self.finalizations(id).await.len() >= times).then_some(());
        self.eventually("the start of the finalize machine", started).await;
    }

    /// Returns the executions of the finalize machine whose input contains `id`. Each has its input, and `true` if it
    /// has ended.
    pub async fn finalizations(&self, id: &str) -> Vec<(String, bool)> {
        let list = self.sfn.list_executions().state_machine_arn(output("FinalizeArn"));
        let listed = list.max_results(1000).send().await.unwrap();
        let mut found = Vec::new();
        for execution in listed.executions() {
            let describe = self.sfn.describe_execution().execution_arn(execution.execution_arn());
            let described = describe.send().await.unwrap();
            let input = described.input().unwrap_or_default();
            if input.contains(id) {
                found.push((input.to_owned(), described.status().as_str() != "RUNNING"));
            }
        }
        found
    }

    /// Waits for a message for which `is` returns true.
    pub async fn receive(&self, queue: &str, is: impl Fn(&Message) -> bool) -> Message {
        self.eventually("a message", async || {
            // Other tests read the same queue, so the messages are hidden for one second only.
            self.sweep(queue, 1).await.into_iter().find(|message| is(message))
        })
        .await
    }

    /// Waits until `dispatch` has handled all messages of the inbox.
    pub async fn inbox_is_empty(&self) {
        let empty = async || (self.inbox().await == [0, 0]).then_some(());
        self.eventually("an empty inbox", empty).await;
    }

    /// Returns the number of visible messages in the inbox, and the number of messages that a reader has received.
    pub async fn inbox(&self) -> [usize; 2] {
        use QueueAttributeName as Name;
        let counts =
            [Name::ApproximateNumberOfMessages, Name::ApproximateNumberOfMessagesNotVisible];
        let get = self.sqs.get_queue_attributes().queue_url(output("InboxQueueUrl"));
        let got = get.set_attribute_names(Some(counts.to_vec())).send().await.unwrap();
        let attributes: &HashMap<_, _> = got.attributes().unwrap();
        counts.map(|name| attributes[&name].parse().unwrap())
    }

    /// Calls `ask` until it returns a result. Panics at a standstill of the whole stack (see [`Limits`]).
    pub async fn eventually<T>(&self, what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
        let state = async || State { own: self.at_work().await, around: String::new() };
        let found = wait(&SystemClock::default(), &Limits::STACK, what, ask, state).await;
        found.unwrap_or_else(|standstill| panic!("{standstill}"))
    }

    /// Calls `ask` until it returns a result. Panics at a standstill of `own`, which describes the awaited thing, or of
    /// the whole stack (see [`Limits`]).
    pub async fn reached<T>(
        &self,
        what: &str,
        ask: impl AsyncFn() -> Option<T>,
        own: impl AsyncFn() -> String,
    ) -> T {
        let state = async || State { own: own().await, around: self.at_work().await };
        let found = wait(&SystemClock::default(), &Limits::STACK, what, ask, state).await;
        found.unwrap_or_else(|standstill| panic!("{standstill}"))
    }

    /// Describes the progress of a run.
    async fn state_of(&self, run: &RunRef) -> String {
        let arn = self.arn(run);
        let execution = self.sfn.describe_execution().execution_arn(&arn).send().await;
        let status = execution.as_ref().map_or("none", |execution| execution.status().as_str());
        let keys = self.keys(run).await;
        let names: Vec<&str> =
            keys.iter().filter_map(|key| key.strip_prefix(&run.prefix())).collect();
        let last = self.last_event(&arn).await;
        format!("execution {status}, {last}, {} model calls, objects {names:?}", calls(run).len())
    }

    /// Describes the last event of an execution's history.
    pub async fn last_event(&self, arn: &str) -> String {
        let get = self.sfn.get_execution_history().execution_arn(arn);
        let history = get.reverse_order(true).max_results(1).send().await;
        let event = history.as_ref().ok().and_then(|history| history.events().first());
        event.map_or("no event".to_owned(), |event| {
            format!("event {} {}", event.id, event.r#type.as_str())
        })
    }

    /// Describes the activity of the stack: messages, calls of the scripted model, and output of the functions.
    async fn at_work(&self) -> String {
        let [waiting, taken] = self.inbox().await;
        let count = ureq::get(format!("{}/__count", output("SCRIPTED_MODEL_URL"))).call().unwrap();
        let calls = count.into_body().read_to_string().unwrap();
        let log = Path::new(&output("LOCAL_LOGS")).join("emulator.log");
        let printed = std::fs::metadata(log).map_or(0, |log| log.len());
        format!("inbox {waiting} + {taken} taken, {calls} model calls, {printed} bytes of logs")
    }
}
