//! In this suite because the inbox is everybody's, and tests take turns here.

use serde_json::json;

use crate::cli::bcce;
use crate::proxy::Faults;
use crate::stack::{RunRef, Stack, calls, fresh};

#[tokio::test]
async fn what_is_sent_while_the_inbox_is_paused_waits_and_runs_afterwards() {
    let _turn = Faults::none().await;
    let stack = Stack::connect().await;
    let own = ["--tenant", "default"];
    let switched = |verb: &str, state: &str| {
        let (code, told) = bcce("dev", &[&[verb], &own[..]].concat());
        assert!(code == 0 && told.starts_with(state), "{told}");
        told
    };
    switched("pause", "Disabled");
    let id = fresh("paused");
    let request = json!({ "workflow": "explain", "id": id, "inputs": { "text": "A breaker." } });
    stack.send(&request.to_string()).await;
    // Some rounds of the poller.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let run = RunRef::first("default", "explain", &id);
    assert!(stack.keys(&run).await.is_empty() && calls(&run).is_empty());
    let told = switched("pause", "Disabled");
    assert!(told.contains("about 1 waiting"), "{told}");
    switched("resume", "Enabled");
    assert_eq!(stack.manifest(&run).await["status"], "SUCCEEDED");

    let (code, told) = bcce("dev", &["pause", "--tenant", "nobody"]);
    assert!(code == 2 && told.contains("nobody has no inbox"), "{told}");
}
