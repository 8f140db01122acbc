use std::io::Write;

use bcce_core::batch::{BatchManifest, ItemResult, ItemStatus};

use crate::batch::objects::{manifest, print};
use crate::exit::{Exit, Outcome};
use crate::json::{self, Field};
use crate::lookup::BatchName;
use crate::stack::Stack;
use crate::world::World;

const FIELDS: [Field; 10] = [
    ("n", "number of the item in the batch, from 1"),
    ("line", "line of the source on which the item begins, or place of the object in the listing"),
    ("id", "id of the item; missing if it has none"),
    ("status", "SUCCEEDED, FAILED, CANCELLED, REJECTED, SKIPPED or RUNNING"),
    ("run_id", "id of the run, or null if no run was started"),
    ("attempt_no", "number of the run attempt; missing if there is none"),
    ("manifest", "key of the manifest of the run; missing if there is none"),
    ("totals", "usage and cost_usd of the run; missing if it has no manifest"),
    ("truncated", "number of answers that max_tokens cut; missing if there are none"),
    ("error", "name and message of the error; missing if there is none"),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints a line of JSON for each item.", &[&FIELDS]))]
pub struct Args {
    #[command(flatten)]
    batch: BatchName,
    /// Print only items that did not succeed
    #[arg(long)]
    failed: bool,
    /// Number of the attempt to read [default: the latest that has ended]
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let batch_id = args.batch.find(&stack, world).await?;
    let manifest: BatchManifest = manifest(&stack, &batch_id, args.attempt).await?;
    let wanted = |line: &[u8]| !args.failed || did_not_succeed(line);
    print(&stack, manifest.results.as_ref(), "results", wanted, out).await?;
    Ok(Exit::Done)
}

/// Returns true if the item of a line did not succeed. A line that cannot be parsed counts as not succeeded.
fn did_not_succeed(line: &[u8]) -> bool {
    let result: Option<ItemResult> = serde_json::from_slice(line).ok();
    result.is_none_or(|result| result.status != ItemStatus::Succeeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_that_did_not_succeed_is_known_by_its_line() {
        let line =
            |status: &str| format!(r#"{{"n":1,"line":1,"status":"{status}","run_id":null}}"#);
        assert!(!did_not_succeed(line("SUCCEEDED").as_bytes()));
        for status in ["FAILED", "CANCELLED", "REJECTED", "SKIPPED", "RUNNING", "?"] {
            assert!(did_not_succeed(line(status).as_bytes()), "{status}");
        }
    }
}
