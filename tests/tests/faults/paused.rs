//! In this suite because all tests share the inbox, and one test at a time runs here.

use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::proxy::Faults;
use bcce_tests::harness::stack::{RunRef, Stack, calls, fresh};
use serde_json::json;

#[tokio::test]
async fn what_is_sent_while_the_inbox_is_paused_waits_and_runs_afterwards() {
    let _faults = Faults::none().await;
    let stack = Stack::connect().await;
    let own = ["--tenant", "default"];
    let switched = |verb: &str, state: &str| {
        let (code, output) = bcce("dev", &[&[verb], &own[..]].concat());
        assert!(code == 0 && output.starts_with(state), "{output}");
        output
    };
    switched("pause", "Disabled");
    let id = fresh("paused");
    let request = json!({ "workflow": "explain", "id": id, "inputs": { "text": "A breaker." } });
    stack.send(&request.to_string()).await;
    // Some rounds of the poller.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let run = RunRef::first("default", "explain", &id);
    assert!(stack.keys(&run).await.is_empty() && calls(&run).is_empty());
    let output = switched("pause", "Disabled");
    assert!(output.contains("about 1 waiting"), "{output}");
    switched("resume", "Enabled");
    assert_eq!(stack.manifest(&run).await["status"], "SUCCEEDED");

    let (code, output) = bcce("dev", &["pause", "--tenant", "nobody"]);
    assert!(code == 2 && output.contains("nobody has no inbox"), "{output}");
}
