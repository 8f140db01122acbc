use std::io::Write;

use bcce_aws::dynamodb::Ledger;
use bcce_core::base::error::Fault;
use bcce_core::ledger::{RunRecord, listing_shard};
use bcce_core::run::notification::RunStatus;

use crate::exit::Outcome;
use crate::figures;
use crate::latest::{Filter, Listed, Row, Shard, print};
use crate::paint::span;
use crate::run::view::status_ink;
use crate::values::word;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    filter: Filter,
    /// List only runs with this status: running, succeeded, failed, rejected or cancelled
    #[arg(long, value_parser = status)]
    status: Option<RunStatus>,
}

fn status(given: &str) -> Result<RunStatus, String> {
    word(&given.to_uppercase(), "running, succeeded, failed, rejected, cancelled")
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    print::<RunRecord>(&args.filter, args.status.map(RunStatus::as_str), world, out).await
}

impl Listed for RunRecord {
    const NOUNS: [&'static str; 2] = ["run", "runs"];
    const AMOUNT: &'static str = "cost";

    async fn listed(ledger: &Ledger, shard: Shard, most: i32) -> Result<Vec<Self>, Fault> {
        ledger.listed(&listing_shard(shard.0, shard.1), most).await
    }

    fn row(&self) -> Row<'_> {
        let is_partial = self.ended_at.is_some() && !self.cost_is_complete;
        let more = if is_partial { "+?" } else { "" };
        let cost = self.cost_usd.map(|cost| format!("{}{more}", figures::usd(cost)));
        Row {
            id: &self.run_id,
            workflow: &self.workflow,
            attempt_no: self.attempt_no,
            started_at: self.started_at,
            ended_at: self.ended_at,
            status: span(status_ink(self.status), self.status.as_str()),
            amount: cost.unwrap_or_default(),
            truncated: self.truncated,
            error_name: self.error_name.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latest::{line, newest_first};
    use crate::paint::render;
    use crate::run::samples::record;

    #[test]
    fn a_status_is_written_in_any_case() {
        assert_eq!(status("failed"), Ok(RunStatus::Failed));
        assert_eq!(status("Succeeded"), Ok(RunStatus::Succeeded));
        assert!(status("done").is_err());
    }

    #[test]
    fn a_line_says_when_what_how_and_for_how_much() {
        let mut failed = record(2, RunStatus::Failed).unwrap();
        failed.ended_at = Some(failed.started_at + time::Duration::seconds(14));
        failed.cost_usd = Some(rust_decimal::Decimal::new(31, 3));
        failed.error_name = Some("Bcce.NoTarget".into());
        let run = &failed.run_id;
        let expected = format!(
            "2026-11-01 12:00:00Z  FAILED       14.0 s  $0.0310+?  {run}  attempt 2  Bcce.NoTarget"
        );
        assert_eq!(render(&line(failed.row()), false, usize::MAX), expected);
    }

    #[test]
    fn answers_that_were_cut_are_counted_though_the_run_succeeded() {
        let mut cut = record(1, RunStatus::Succeeded).unwrap();
        let text = |record: &RunRecord| render(&line(record.row()), false, usize::MAX);
        assert!(!text(&cut).contains("cut"), "{}", text(&cut));
        cut.truncated = 1;
        assert!(text(&cut).ends_with("  1 answer cut by max_tokens"), "{}", text(&cut));
        cut.truncated = 2;
        assert!(text(&cut).ends_with("  2 answers cut by max_tokens"), "{}", text(&cut));
    }

    #[test]
    fn the_newest_come_first_and_a_retry_before_its_first_attempt() {
        let attempt = |n| record(n, RunStatus::Failed).unwrap();
        let mut older = attempt(1);
        older.started_at -= time::Duration::HOUR;
        let mut records = vec![older.clone(), attempt(1), attempt(2)];
        newest_first(&mut records, 2);
        assert_eq!(records, [attempt(2), attempt(1)]);
    }
}
