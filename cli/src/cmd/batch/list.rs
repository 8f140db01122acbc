use std::io::Write;

use bcce_aws::dynamodb::Ledger;
use bcce_aws::dynamodb::listing::{Listing, Page};
use bcce_core::base::error::Fault;
use bcce_core::batch::BatchStatus;
use bcce_core::ledger::{BatchRecord, batches_shard};
use time::Date;

use crate::batch::view::ink;
use crate::exit::Outcome;
use crate::figures;
use crate::latest::{Filter, Listed, Row, print};
use crate::paint::span;
use crate::values::word;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    filter: Filter,
    /// List only batches with this status: running, succeeded, partial, failed or cancelled
    #[arg(long, value_parser = status)]
    status: Option<BatchStatus>,
}

fn status(given: &str) -> Result<BatchStatus, String> {
    word(&given.to_uppercase(), "running, succeeded, partial, failed, cancelled")
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let narrow: Option<fn(&BatchRecord) -> bool> = None;
    print(&args.filter, args.status.map(BatchStatus::as_str), narrow, world, out).await
}

impl Listed for BatchRecord {
    const NOUNS: [&'static str; 2] = ["batch", "batches"];
    const AMOUNT: &'static str = "items";

    fn shard(day: Date, digit: char) -> String {
        batches_shard(day, digit)
    }

    async fn listed(ledger: &Ledger, listing: Listing) -> Result<Page<Self>, Fault> {
        ledger.listed_batches(listing).await
    }

    fn row(&self) -> Row<'_> {
        Row {
            id: &self.batch_id,
            attempt_no: self.attempt_no,
            started_at: self.started_at,
            ended_at: self.ended_at,
            status: span(ink(self.status), self.status.as_str()),
            amount: figures::count(self.items),
            truncated: 0,
            error_name: self.error_name.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::samples::record;
    use crate::latest::line;
    use crate::paint::render;

    #[test]
    fn a_status_is_written_in_any_case() {
        assert_eq!(status("partial"), Ok(BatchStatus::Partial));
        assert!(status("rejected").is_err());
    }

    #[test]
    fn a_line_says_when_how_and_how_many() {
        let mut failed = record(2, BatchStatus::Failed);
        failed.ended_at = Some(failed.started_at + time::Duration::seconds(14));
        failed.error_name = Some("Bcce.TooManyFailures".into());
        let expected = format!(
            "2026-11-01 12:00:00Z  FAILED       14.0 s        500  {}  attempt 2  Bcce.TooManyFailures",
            failed.batch_id
        );
        assert_eq!(render(&line(failed.row()), false, usize::MAX), expected);
    }
}
