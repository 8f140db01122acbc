//! Shows that each request has exactly one execution, one manifest and one record, whatever fails.
//!
//! `make once` starts the suite on a local stack of its own with a fault proxy. The test sends 300 requests, each of
//! them one to three times in random order, while functions are killed and every service that they call fails. When the
//! faults are over, the stack must come to rest, and then it checks what exists for each request.
//!
//! All random choices come from one number, which is printed. `BCCE_SEED` repeats them. The order in which the machine
//! does things differs nevertheless.
//!
//! The waits of Step Functions have a fiftieth of their length here, and a message that was not deleted is received
//! again after 10 seconds instead of six minutes.

mod checks;
mod found;
mod requests;
mod rules;
mod storm;

use std::time::Instant;

use bcce_tests::harness::proxy::Faults;
use bcce_tests::harness::stack::{Stack, fresh};

use bcce_tests::harness::seed::Seed;
use found::Found;
use requests::Workflows;

/// Each request has one execution, one signed manifest, one record and its notification after the faults. The usage
/// counters equal the manifests, and nothing else exists.
#[tokio::test]
async fn every_request_is_one_execution_one_manifest_and_one_record_whatever_fails() {
    let mut seed = Seed::from_env();
    let faults = Faults::none().await;
    let stack = Stack::connect().await;
    let workflows = Workflows::put(&stack).await;
    let notifications = stack.listen(&fresh("once")).await;
    storm::shorten_visibility(&stack).await;
    let started = Instant::now();
    let say = |what: &str| eprintln!("{:5.1} s  {what}", started.elapsed().as_secs_f64());

    let first = requests::first(&mut seed, &workflows);
    storm::first(&stack, &faults, &mut seed, &first).await;
    say("the first requests are sent");
    let second = requests::second(&mut seed, &workflows, &first);
    storm::second(&stack, &faults, &mut seed, &second).await;
    say("runs are stopped, and used ids are sent again");
    faults.are(&serde_json::json!([]));
    storm::rest(&stack).await;
    say("the stack is at rest");

    let found = Found::on(&stack, &notifications).await;
    say("everything is read");
    let sent: Vec<_> = first.into_iter().chain(second).collect();
    let wrong = checks::all(&sent, &found);
    say("everything is checked");
    assert!(wrong.is_empty(), "{} of {} wrong: {wrong:#?}", wrong.len(), sent.len());
}
