//! Sends the requests while functions are killed and services fail.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use bcce_tests::harness::proxy::Faults;
use bcce_tests::harness::stack::{RunRef, Stack, calls, output, release};
use futures::StreamExt;

use crate::found::listed;
use crate::requests::{HELD, Outcome, Sent};
use crate::rules;
use bcce_tests::harness::kills;
use bcce_tests::harness::seed::Seed;

/// The number of messages that are sent together.
const TOGETHER: usize = 5;
/// The most messages and executions that are under way at a time. With more of them, two cores are busy with processes
/// that wait for each other.
const UNDER_WAY: usize = 24;
/// The time for which the faults continue when everything is sent.
const AFTERMATH: Duration = Duration::from_secs(3);
/// The time, in seconds, until a message that was received and not deleted is received again. It is longer than most
/// invocations take. A message that is received again during its invocation delays the others, so that more of them are
/// received again.
const VISIBILITY_S: u32 = 10;

/// Shortens the visibility timeout of the inbox, so that messages whose function was killed are received again soon.
pub async fn shorten_visibility(stack: &Stack) {
    let set = stack.sqs.set_queue_attributes().queue_url(output("InboxQueueUrl"));
    let set = set.attributes(QueueAttributeName::VisibilityTimeout, VISIBILITY_S.to_string());
    set.send().await.unwrap();
}

/// Sends the first requests while every service fails and every function is killed.
pub async fn first(stack: &Stack, faults: &Faults, seed: &mut Seed, sent: &[Sent]) {
    faults.are(&rules::all(seed));
    let functions =
        ["dispatch", "prepare", "failover-router", "invoke", "persist-artifact", "emit-metrics"];
    let mut kills = seed.split();
    let over = AtomicBool::new(false);
    let send = async {
        deliver(stack, seed, sent).await;
        tokio::time::sleep(AFTERMATH).await;
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(send, kills::at_random(&mut kills, &functions, 120, &over));
    stack.inbox_is_empty().await;
}

/// Stops runs, and kills the functions that finalize them.
pub async fn second(stack: &Stack, faults: &Faults, seed: &mut Seed, sent: &[Sent]) {
    faults.are(&rules::passing(seed));
    let functions = ["persist-artifact", "emit-metrics"];
    let mut kills = seed.split();
    let over = AtomicBool::new(false);
    let send = async {
        let stopped = sent.iter().filter(|sent| sent.outcome == Outcome::Stopped);
        let stop = futures::stream::iter(stopped.map(|sent| stop(stack, &sent.run)));
        let stop = stop.buffer_unordered(sent.len()).collect::<Vec<_>>();
        let stop = async {
            stop.await;
            release(HELD);
        };
        tokio::join!(deliver(stack, seed, sent), stop);
        tokio::time::sleep(AFTERMATH).await;
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(send, kills::at_random(&mut kills, &functions, 40, &over));
}

/// Sends each message as often as it says, in random order, as long as there is room for more.
async fn deliver(stack: &Stack, seed: &mut Seed, sent: &[Sent]) {
    let mut deliveries: Vec<&Sent> =
        sent.iter().flat_map(|sent| std::iter::repeat_n(sent, sent.times)).collect();
    seed.shuffle(&mut deliveries);
    for together in deliveries.chunks(TOGETHER) {
        until(stack, "room for more", async || {
            let running = listed(stack, "WorkflowArn").await;
            let running = running.iter().filter(|(.., status)| status == "RUNNING").count();
            running + stack.inbox().await[0] < UNDER_WAY
        })
        .await;
        for sent in together {
            stack.send(&sent.body).await;
        }
    }
}

/// Stops an execution during its first call, which continues and is paid.
async fn stop(stack: &Stack, run: &RunRef) {
    until(stack, "the call of a run to stop", async || !calls(run).is_empty()).await;
    stack.sfn.stop_execution().execution_arn(stack.arn(run)).send().await.unwrap();
}

/// Waits until the inbox is empty, no execution is under way, and as many runs are finalized as ended badly.
pub async fn rest(stack: &Stack) {
    stack.inbox_is_empty().await;
    until(stack, "the end of every execution", async || {
        let runs = listed(stack, "WorkflowArn").await;
        let finalizations = listed(stack, "FinalizeArn").await;
        let under_way = runs.iter().chain(&finalizations).any(|(.., status)| status == "RUNNING");
        let badly = runs.iter().filter(|(.., status)| status != "SUCCEEDED").count();
        !under_way && finalizations.len() >= badly
    })
    .await;
}

/// Waits until `holds` returns true. The executions show the progress, because the logs of the functions change all the
/// time here.
async fn until(stack: &Stack, what: &str, holds: impl AsyncFn() -> bool) {
    let executions = async || {
        let [runs, finalizations] =
            [listed(stack, "WorkflowArn").await, listed(stack, "FinalizeArn").await];
        let over = |all: &[(String, String, String)]| {
            all.iter().filter(|(.., status)| status != "RUNNING").count()
        };
        let (over, finalized) = (over(&runs), over(&finalizations));
        let (runs, finalizations, inbox) = (runs.len(), finalizations.len(), stack.inbox().await);
        format!(
            "{over} of {runs} runs over, {finalized} of {finalizations} finalized, inbox {inbox:?}"
        )
    };
    stack.reached(what, async || holds().await.then_some(()), executions).await;
}
