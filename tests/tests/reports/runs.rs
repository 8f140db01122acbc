//! The reports of runs.

use bcce_tests::harness::stack::{Layout, RunRef, Stack, calls, fresh, model, release};
use serde_json::json;

use crate::pages::Pages;

/// A region throttles, and the next one answers.
pub async fn failing_over(stack: &Stack, pages: &Pages) {
    let id = fresh("report-failover");
    let manifest = stack.explain(&id, "@model us-east-1: throttle(1)").await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
    let run = RunRef::first("default", "explain", &id);
    let has = [run.run_id.as_str(), "us-east-1", "us-west-2", "Bcce.TargetThrottled"];
    pages.of_run("failing-over", &run, &has);
}

/// All regions fail once, and the run waits.
pub async fn waiting(stack: &Stack, pages: &Pages) {
    let id = fresh("report-wait");
    let manifest = stack.explain(&id, "@model *: throttle, answer").await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
    let run = RunRef::first("default", "explain", &id);
    pages.of_run("waiting", &run, &["us-east-1", "us-west-2"]);
}

/// No target can take the request.
pub async fn failed(stack: &Stack, pages: &Pages) {
    let id = fresh("report-failed");
    let manifest = stack.explain(&id, "@model *: validation").await;
    assert_eq!(manifest["status"], "FAILED", "{manifest}");
    let run = RunRef::first("default", "explain", &id);
    pages.of_run("failed", &run, &["Bcce.RequestRejected"]);
}

/// The model holds the answer of the second step while the report is written.
pub async fn under_way(stack: &Stack, pages: &Pages) {
    let name = fresh("report-held");
    let model = model(Layout::Two);
    let steps = format!(
        "- {{ id: first, model: {model}, prompt: one }}\n- {{ id: second, model: {model}, needs: [first], prompt: \"@model *: held({name})\" }}\n- {{ id: third, model: {model}, needs: [second], prompt: three }}"
    );
    stack.put_workflow(&name, &format!("version: 1\nname: {name}\nsteps:\n{steps}\n")).await;
    stack.send(&json!({ "workflow": name, "id": "1" }).to_string()).await;
    let run = RunRef::first("default", &name, "1");
    let second = async || (calls(&run).len() == 2).then_some(());
    stack.eventually("the call of the second step", second).await;
    pages.of_run("under-way", &run, &["first", "second", "third"]);
    release(&name);
    assert_eq!(stack.manifest(&run).await["status"], "SUCCEEDED");
}

/// One step asks about each of sixteen files, of which some fail over, and another one reads all answers.
pub async fn fanning_out(stack: &Stack, pages: &Pages) {
    let id = fresh("report-fan-out");
    let file = |n: usize| {
        let script = if n.is_multiple_of(7) { "@model us-east-1/hunt: unavailable\n" } else { "" };
        json!({ "path": format!("src/a-module-with-a-long-name/file_{n}.rs"), "text": format!("{script}fn f{n}() {{}}") })
    };
    let files: Vec<_> = (0..16).map(file).collect();
    let manifest = stack.run("bug-hunt", &id, json!({ "files": files })).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
    pages.of_run("fanning-out", &RunRef::first("default", "bug-hunt", &id), &["hunt"]);
}
