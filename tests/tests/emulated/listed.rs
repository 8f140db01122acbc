//! `bcce runs list` with filters and pages, the names of runs and batches, and `bcce runs logs`.

use std::collections::BTreeSet;

use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::stack::{Layout, RunRef, Stack, fresh, model};
use serde_json::{Value, json};

/// Runs the requests `<name>-0`, `<name>-1` and so on of a workflow with one step, until they have ended. Each has a
/// tag with its number.
async fn ran(stack: &Stack, name: &str, prompt: &str, count: u32) -> Vec<RunRef> {
    let model = model(Layout::Two);
    let step = format!("- {{ id: answer, model: {model}, prompt: \"{prompt}\" }}");
    stack.put_workflow(name, &format!("version: 1\nname: {name}\nsteps:\n{step}\n")).await;
    let mut runs = Vec::new();
    for n in 0..count {
        let id = format!("{name}-{n}");
        let tags = json!({ "number": n.to_string() });
        stack.send(&json!({ "workflow": name, "id": id, "tags": tags }).to_string()).await;
        runs.push(RunRef::first("default", name, &id));
    }
    for run in &runs {
        ended(stack, run).await;
    }
    runs
}

/// Waits until the record of a run attempt is closed.
async fn ended(stack: &Stack, run: &RunRef) {
    stack.manifest(run).await;
    let is_closed = async || stack.record(run).await.contains_key("ended_at").then_some(());
    stack.eventually("the end of the run in the ledger", is_closed).await;
}

/// Returns the ids of the runs that `bcce runs list --json` prints, and the cursor of the next page.
fn listed(workflow: &str, options: &[&str]) -> (Vec<String>, Option<String>) {
    let common = ["runs", "list", "--json", "--workflow", workflow];
    let (code, output) = bcce("dev", &[&common[..], options].concat());
    assert_eq!(code, 0, "{output}");
    let mut values = serde_json::Deserializer::from_str(&output).into_iter::<Value>();
    let records = values.next().unwrap().unwrap();
    let ids = records.as_array().unwrap().iter().map(|run| run["run_id"].as_str().unwrap().into());
    let rest = &output[values.byte_offset()..];
    let next = rest.lines().find_map(|line| line.strip_prefix("next page: --cursor "));
    (ids.collect(), next.map(str::to_owned))
}

#[tokio::test]
async fn pages_of_a_list_have_every_run_once_and_filters_select() {
    let stack = Stack::connect().await;
    let name = fresh("listed");
    let runs = ran(&stack, &name, "one", 3).await;
    let all: BTreeSet<String> = runs.iter().map(|run| run.run_id.clone()).collect();

    let (mut seen, mut pages, mut cursor) = (Vec::new(), 0, None);
    loop {
        let mut options = vec!["--limit", "2"];
        options.extend(cursor.as_deref().into_iter().flat_map(|cursor| ["--cursor", cursor]));
        let (ids, next) = listed(&name, &options);
        seen.extend(ids);
        pages += 1;
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!((pages, seen.len()), (2, 3), "{seen:?}");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), all);

    let second = vec![runs[1].run_id.clone()];
    assert_eq!(listed(&name, &["--tag", "number=1"]).0, second);
    assert_eq!(listed(&name, &["--tag", "number=1", "--tag", "number=2"]).0.len(), 0);
    for (options, count) in [
        (&["--status", "succeeded", "--tenant", "default", "--since", "2h"][..], 3),
        (&["--cost-above", "0"], 3),
        (&["--cost-above", "1000"], 0),
        (&["--status", "failed"], 0),
        (&["--tenant", "nobody"], 0),
        (&["--older-than", "1h"], 0),
    ] {
        assert_eq!(listed(&name, options).0.len(), count, "{options:?}");
    }
    let (code, output) = bcce("dev", &["runs", "list", "--cursor", "7"]);
    assert!(code == 2 && output.contains("must be a cursor"), "{output}");
}

#[tokio::test]
async fn a_run_is_named_by_its_request_id_or_the_beginning_of_its_id() {
    let stack = Stack::connect().await;
    let name = fresh("named");
    let runs = ran(&stack, &name, "@model *: validation", 2).await;
    let id = &runs[0].run_id;

    let (code, output) = bcce("dev", &["runs", "show", &format!("{name}-0")]);
    let stands_for = format!("note: {name}-0 is the run {id}");
    assert!(code == 0 && output.contains(&stands_for), "{output}");
    let (code, output) = bcce("dev", &["runs", "explain", &id[..id.len() - 20]]);
    assert!(code == 0 && output.contains(&format!("is the run {id}")), "{output}");

    // The hashes of the two runs differ, so the workflow's name with the hyphen is the beginning of both.
    let (code, output) = bcce("dev", &["runs", "retry", &format!("{name}-")]);
    assert_eq!(code, 2, "{output}");
    assert!(output.contains("stands for 2 runs"), "{output}");
    assert!(runs.iter().all(|run| output.contains(&run.run_id)), "{output}");
    let (code, output) = bcce("dev", &["runs", "cancel", &format!("{name}-none")]);
    assert!(code == 2 && output.contains("has this request id"), "{output}");
    assert!(output.contains("no run of the last 30 days"), "{output}");

    let (code, output) = bcce("dev", &["runs", "retry", &format!("{name}-1")]);
    let again = &runs[1].run_id;
    assert!(code == 0 && output.contains(&format!("{again}  attempt 2")), "{output}");
    assert!(output.contains(&format!("is the run {again}")), "{output}");
    ended(&stack, &runs[1].retry().unwrap()).await;
}

#[tokio::test]
async fn the_log_of_a_run_has_the_lines_of_its_functions_in_order_of_time() {
    let stack = Stack::connect().await;
    let name = fresh("logged");
    let runs = ran(&stack, &name, "@model *: validation", 2).await;
    let id = &runs[0].run_id;

    // The emulator writes the lines of a function after its answer.
    let lines = stack
        .eventually("the log line of persist-artifact", async || {
            let (code, output) = bcce("dev", &["runs", "logs", id, "--json"]);
            assert_eq!(code, 0, "{output}");
            let lines = output.lines().filter_map(|line| serde_json::from_str(line).ok());
            let lines: Vec<Value> = lines.collect();
            let is_whole = lines.iter().any(|line| line["function"] == "persist-artifact");
            is_whole.then_some(lines)
        })
        .await;
    let other = &runs[1].run_id;
    assert!(lines.iter().all(|line| !line.to_string().contains(other)), "{lines:?}");
    assert!(lines.iter().any(|line| line["function"] == "invoke"), "{lines:?}");
    let at = |line: &Value| line["at"].as_str().unwrap()[..19].to_owned();
    assert!(lines.windows(2).all(|pair| at(&pair[0]) <= at(&pair[1])), "{lines:?}");

    let (code, output) = bcce("dev", &["runs", "logs", &format!("{name}-0"), "--level", "warn"]);
    assert!(code == 0 && output.contains("the step failed"), "{output}");
    assert!(!output.contains("the run is sealed"), "{output}");
    let (code, output) = bcce("dev", &["runs", "logs", id, "--level", "error"]);
    assert!(code == 0 && output.contains("LogRetentionDays"), "{output}");
    let (code, output) = bcce("dev", &["runs", "logs", id, "--limit", "1"]);
    assert!(code == 0 && output.contains("there are more lines"), "{output}");
}
