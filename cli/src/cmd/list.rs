use std::io::Write;

use bcce_aws::dynamodb::Ledger;
use bcce_aws::dynamodb::listing::{Listing, Page};
use bcce_core::base::error::Fault;
use bcce_core::ledger::{RunRecord, listing_shard};
use bcce_core::run::notification::RunStatus;
use rust_decimal::Decimal;
use time::Date;

use crate::exit::Outcome;
use crate::figures;
use crate::latest::{Filter, Listed, Row, print};
use crate::paint::span;
use crate::run::view::status_ink;
use crate::values::{amount, tag, word};
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    filter: Filter,
    /// List only runs with this status: running, succeeded, failed, rejected or cancelled
    #[arg(long, value_parser = status)]
    status: Option<RunStatus>,
    /// List only runs with this tag; repeat the option for several tags. A run has its tags once it is over
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
    /// List only runs that cost more than this amount, as far as their costs are known
    #[arg(long, value_name = "USD", value_parser = amount)]
    cost_above: Option<Decimal>,
}

impl Args {
    /// Returns true if a run has the tags and the cost.
    fn wants(&self, run: &RunRecord) -> bool {
        let has = |(name, value): &(String, String)| run.tags.get(name) == Some(value);
        let is_above = |least: Decimal| run.cost_usd.is_some_and(|cost| cost > least);
        self.tags.iter().all(has) && self.cost_above.is_none_or(is_above)
    }
}

fn status(given: &str) -> Result<RunStatus, String> {
    word(&given.to_uppercase(), "running, succeeded, failed, rejected, cancelled")
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let is_narrowed = !args.tags.is_empty() || args.cost_above.is_some();
    let narrow = is_narrowed.then_some(|run: &RunRecord| args.wants(run));
    print(&args.filter, args.status.map(RunStatus::as_str), narrow, world, out).await
}

impl Listed for RunRecord {
    const NOUNS: [&'static str; 2] = ["run", "runs"];
    const AMOUNT: &'static str = "cost";

    fn shard(day: Date, digit: char) -> String {
        listing_shard(day, digit)
    }

    async fn listed(ledger: &Ledger, listing: Listing) -> Result<Page<Self>, Fault> {
        ledger.listed(listing).await
    }

    fn row(&self) -> Row<'_> {
        let is_partial = self.ended_at.is_some() && !self.cost_is_complete;
        let more = if is_partial { "+?" } else { "" };
        let cost = self.cost_usd.map(|cost| format!("{}{more}", figures::usd(cost)));
        Row {
            id: &self.run_id,
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
    use clap::Parser;

    use crate::latest::{line, newest_first};
    use crate::paint::render;
    use crate::run::samples::record;

    #[derive(clap::Parser)]
    struct CommandLine {
        #[command(flatten)]
        args: Args,
    }

    fn listed_by(options: &[&str]) -> Args {
        CommandLine::try_parse_from(["list"].iter().chain(options)).unwrap().args
    }

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
        newest_first(&mut records);
        assert_eq!(records, [attempt(2), attempt(1), older]);
    }

    #[test]
    fn a_run_is_selected_by_all_of_its_tags_and_by_its_cost() {
        let wants = |given: &[&str]| {
            let mut run = record(1, RunStatus::Succeeded).unwrap();
            run.tags = [("team", "a=b"), ("kind", "x")].map(|(k, v)| (k.into(), v.into())).into();
            run.cost_usd = Some(Decimal::new(5, 1));
            listed_by(given).wants(&run)
        };
        assert!(wants(&["--tag", "team=a=b", "--tag", "kind=x", "--cost-above", "0.4"]));
        assert!(!wants(&["--tag", "team=a=b", "--tag", "kind=y"]));
        assert!(!wants(&["--cost-above", "0.5"]), "the cost must be above the amount");
    }

    #[test]
    fn a_run_without_a_known_cost_is_above_no_amount() {
        let args = Args { cost_above: Some(Decimal::ZERO), ..listed_by(&[]) };
        assert!(!args.wants(&record(1, RunStatus::Running).unwrap()));
    }
}
