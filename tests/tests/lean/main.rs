//! Shows what a run takes of AWS: the state transitions of its execution, and the requests of its functions, as
//! docs/workflows.md lists them.
//!
//! `make lean` starts the suite on a local stack of its own that counts requests (`infra/local/meter.py`). The tests run
//! one after the other, because the counts are those of the whole stack.

use std::collections::BTreeMap;

use bcce_tests::harness::stack::{RunRef, Stack, fresh, output};
use serde_json::{Value, json};

/// The runs that are counted together. A count that is not a multiple of it is not that of a run.
const RUNS: u32 = 4;

/// The reads of the configuration, by the name of the meter.
const CONFIGURATION: &str = "s3 configuration reads";

/// Returns the counts of the stack's meter.
fn counts() -> BTreeMap<String, f64> {
    let url = format!("{}/_bcce/counts", output("AWS_ENDPOINT_URL"));
    let body = ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap();
    serde_json::from_str(&body).unwrap()
}

async fn run(stack: &Stack, workflow: &str, inputs: &Value) {
    let id = fresh("lean");
    let request = json!({ "workflow": workflow, "id": id, "inputs": inputs });
    stack.send(&request.to_string()).await;
    let arn = stack.arn(&RunRef::first("default", workflow, &id));
    let over = async || {
        let execution = stack.sfn.describe_execution().execution_arn(&arn).send().await.ok()?;
        let status = execution.status().as_str().to_owned();
        (status != "RUNNING").then_some(status)
    };
    assert_eq!(stack.eventually("the end of the run", over).await, "SUCCEEDED");
}

/// Returns what a run takes, by column.
async fn taken(stack: &Stack, workflow: &str, inputs: &Value) -> BTreeMap<String, f64> {
    let before = counts();
    for _ in 0..RUNS {
        run(stack, workflow, inputs).await;
    }
    let mut after = counts();
    // Functions keep the configuration in memory for some seconds, so the number of its reads depends on the machine.
    let read = after.get(CONFIGURATION).copied().unwrap_or_default();
    let read = read - before.get(CONFIGURATION).copied().unwrap_or_default();
    after.entry("s3 GetObject".to_owned()).and_modify(|count| *count -= read);
    let more = |name: &str, count: f64| count - before.get(name).copied().unwrap_or_default();
    let column = |(column, is_its): &Column| {
        let its = after.iter().filter(|(name, _)| is_its(name));
        let sum: f64 = its.map(|(name, count)| more(name, *count)).sum();
        ((*column).to_owned(), sum / f64::from(RUNS))
    };
    COLUMNS.iter().map(column).collect()
}

/// The column that is an upper limit if a run has several steps.
const READS: &str = "S3 reads";

/// A column of the table, and whether it sums up a count of the meter.
type Column = (&'static str, fn(&str) -> bool);

const COLUMNS: &[Column] = &[
    ("state transitions", |name| name == "states transitions"),
    ("function calls", |name| name.starts_with("lambda ") && name.ends_with(" invocations")),
    ("S3 writes and lists", |name| {
        ["s3 PutObject", "s3 ListObjectsV2", "s3 CopyObject"].contains(&name)
    }),
    // `taken` leaves out the reads of the configuration.
    (READS, |name| name == "s3 GetObject" || name == "s3 HeadObject"),
    ("signatures", |name| name == "kms Sign" || name == "kms Verify"),
    ("DynamoDB requests", |name| name.starts_with("dynamodb ") && !name.ends_with(" units")),
    ("write units", |name| name == "dynamodb write units"),
];

/// Returns the table of the docs: the numbers of each run by the name of the column.
fn documented(run: &str) -> BTreeMap<String, f64> {
    let docs = include_str!("../../../docs/workflows.md");
    let table = docs.split_once("| a run of | ").unwrap().1;
    let header = table.lines().next().unwrap().split('|').map(str::trim);
    let row = table.lines().find(|row| row.starts_with(&format!("| {run} "))).unwrap();
    let cells = row.split('|').skip(2).map(str::trim);
    let numbers = cells.filter_map(|cell| cell.parse().ok());
    header.map(str::to_owned).zip(numbers).collect()
}

/// A run of one step, and one of five steps in three waves, take what the docs say. The documents are in the memory of
/// the functions, as they are for all but the first run in a while.
#[tokio::test]
async fn a_run_takes_what_the_docs_say() {
    let stack = Stack::connect().await;
    // The model takes its time, so that the steps of a wave overlap and each gets a process of its own. A step that
    // follows in the same process does not read the plan again.
    let slow = "@model *: slow(400)\n";
    let diff = format!("{slow}{}", include_str!("../../../events/workflow/sample.diff"));
    for (documented_as, steps, workflow, inputs) in [
        ("one step", 1, "explain", json!({ "text": format!("{slow}A breaker.") })),
        ("five steps in three waves", 5, "code-review", json!({ "diff": diff })),
    ] {
        run(&stack, workflow, &inputs).await;
        let mut counted = taken(&stack, workflow, &inputs).await;
        let documented = documented(documented_as);
        // It depends on the machine which process a further step gets. One that has read the plan does not read it again.
        let most = documented[READS];
        assert!((most - f64::from(steps - 1)..=most).contains(&counted[READS]), "{counted:?}");
        counted.insert(READS.to_owned(), most);
        assert_eq!(counted, documented, "{workflow}: {:?}", counts());
    }
}
