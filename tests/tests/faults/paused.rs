//! `bcce pause` and `bcce resume`. The test is in this suite because all tests of a stack share the inbox, and here one
//! test runs at a time.

use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::proxy::Faults;
use bcce_tests::harness::stack::{RunRef, Stack, calls, fresh};
use serde_json::json;

/// A request that is sent while the inbox is paused waits, and runs after `bcce resume`. A tenant without an inbox is
/// refused.
#[tokio::test]
async fn a_request_sent_to_a_paused_inbox_runs_after_it_is_resumed() {
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
    // The poller would have received the message several times.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let run = RunRef::first("default", "explain", &id);
    assert!(stack.keys(&run).await.is_empty() && calls(&run).is_empty());
    let output = switched("pause", "Disabled");
    assert!(output.contains("about 1 waiting"), "{output}");
    switched("resume", "Enabled");
    assert_eq!(stack.manifest(&run).await["status"], "SUCCEEDED");
    let (code, output) = bcce("dev", &["resume", "--tenant", "default", "--json"]);
    let inboxes: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert!(code == 0 && inboxes[0]["state"] == "Enabled", "{output}");

    let (code, output) = bcce("dev", &["pause", "--tenant", "nobody"]);
    assert!(code == 2 && output.contains("nobody has no inbox"), "{output}");
}
