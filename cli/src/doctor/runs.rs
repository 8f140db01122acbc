//! Finds runs that stay RUNNING although their executions have ended.

use bcce_aws::dynamodb::Ledger;
use bcce_aws::dynamodb::listing::{Condition, Listing};
use bcce_core::base::error::Fault;
use bcce_core::ledger::{RunRecord, SHARDS, listing_shard};
use bcce_core::ports::DescribeEnd;
use bcce_core::run::execution_end::ExecutionEnd;
use bcce_core::run::notification::RunStatus;
use futures::stream::{StreamExt, TryStreamExt, iter};
use time::{Date, Duration, OffsetDateTime};

use super::{Check, Mend};
use crate::figures;
use crate::references::run_reference;
use crate::stack::Stack;

/// The number of days that are searched. A run takes at most 25 hours (statemachines/workflow.asl.json).
const DAYS: usize = 3;
/// The number of records of a page, and of pages of a shard and a day that are read. A day has 16 shards, so the runs of
/// a day with up to 160,000 runs are all seen.
const PAGE: i32 = 1_000;
const PAGES: usize = 10;
/// The number of executions that are described.
const DESCRIBED: usize = 50;
const AT_A_TIME: usize = 8;
/// The time after the end of an execution in which its run is finalized.
const PATIENCE: Duration = Duration::minutes(10);

/// A record that is RUNNING, and the end of its execution. `None`: there is no such execution.
pub type Found = (RunRecord, Option<ExecutionEnd>);

/// Reads the oldest RUNNING records of the last days.
///
/// # Errors
/// `Bcce.Internal`: the ledger or Step Functions cannot be read.
pub async fn read(stack: &Stack, now: OffsetDateTime) -> Result<Vec<Found>, Fault> {
    let mut running = running(&stack.ledger, now).await?;
    running.sort_by_key(|record| record.started_at);
    running.truncate(DESCRIBED);
    let each = running.into_iter().map(async |record| {
        let end = stack.machine.end(&run_reference(&record).execution_name()).await?;
        Ok((record, end))
    });
    iter(each).buffered(AT_A_TIME).try_collect().await
}

async fn running(ledger: &Ledger, now: OffsetDateTime) -> Result<Vec<RunRecord>, Fault> {
    let days = std::iter::successors(Some(now.date()), |day| day.previous_day()).take(DAYS);
    let shards = days.flat_map(|day| SHARDS.chars().map(move |digit| (day, digit)));
    let shards = shards.map(async |(day, digit)| running_in(ledger, day, digit).await);
    let shards: Vec<Vec<RunRecord>> = iter(shards).buffered(AT_A_TIME).try_collect().await?;
    let is_old = |record: &RunRecord| now - record.started_at > PATIENCE;
    Ok(shards.into_iter().flatten().filter(is_old).collect())
}

/// Reads the RUNNING records of a shard of a day, page by page.
async fn running_in(ledger: &Ledger, day: Date, digit: char) -> Result<Vec<RunRecord>, Fault> {
    let mut listing = Listing {
        shard: listing_shard(day, digit),
        from: day.to_string(),
        until: day.next_day().unwrap_or(day).to_string(),
        conditions: vec![Condition::equals("status", RunStatus::Running.as_str())],
        most: PAGE,
        after: None,
    };
    let mut found = Vec::new();
    for _ in 0..PAGES {
        let page = ledger.listed(listing.clone()).await?;
        found.extend(page.records.into_iter().map(|(_, record)| record));
        match page.next {
            Some(next) => listing.after = Some(next),
            None => break,
        }
    }
    Ok(found)
}

pub fn check(
    runs: &Result<Vec<Found>, Fault>,
    now: OffsetDateTime,
    command: impl Fn(&str) -> String,
) -> Vec<Check> {
    let (name, subject) = ("running", "runs");
    let runs = match runs {
        Ok(runs) => runs,
        Err(fault) => return vec![Check::unread(name, subject, fault)],
    };
    let stale = runs.iter().filter_map(|found| stale(found, now, &command));
    let stale: Vec<Check> = stale.collect();
    match stale.is_empty() {
        true => vec![Check::pass(
            name,
            subject,
            "each run that is RUNNING has an execution that is under way",
        )],
        false => stale,
    }
}

fn stale(
    (record, end): &Found,
    now: OffsetDateTime,
    command: &impl Fn(&str) -> String,
) -> Option<Check> {
    let reason = match end {
        None => "the run is RUNNING, and Step Functions has no execution of it".to_owned(),
        Some(end) => {
            let millis = i128::from(end.stop_date?);
            let ended = OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000).ok()?;
            if now - ended < PATIENCE {
                return None;
            }
            let ended = figures::stamp(ended);
            format!("the run is RUNNING, and its execution ended with {} at {ended}", end.status)
        }
    };
    let id = &record.run_id;
    let remedy = format!("`{}`, or `bcce doctor --fix`", command(&format!("runs finalize {id}")));
    Some(Check::fail("running", id, reason, remedy).with(Mend::FinalizeRun(id.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;
    use crate::run::samples::record;

    fn found(stop: Option<Duration>) -> (Found, OffsetDateTime) {
        let record = record(1, RunStatus::Running).unwrap();
        let started_at = record.started_at;
        let millis = |at: OffsetDateTime| (at.unix_timestamp_nanos() / 1_000_000) as i64;
        let end = ExecutionEnd {
            execution_arn: "a".into(),
            status: if stop.is_some() { "ABORTED" } else { "RUNNING" }.into(),
            input: None,
            start_date: millis(started_at),
            stop_date: stop.map(|stop| millis(started_at + stop)),
            error: None,
            cause: None,
        };
        ((record, Some(end)), started_at + Duration::hours(2))
    }

    fn state(found: Found, now: OffsetDateTime) -> Check {
        check(&Ok(vec![found]), now, |rest| format!("bcce {rest}")).remove(0)
    }

    #[test]
    fn a_run_under_way_and_one_that_has_just_ended_are_no_finding() {
        let (under_way, now) = found(None);
        assert_eq!(state(under_way, now).state, State::Pass);
        let (just_ended, now) = found(Some(Duration::minutes(115)));
        assert_eq!(state(just_ended, now).state, State::Pass);
    }

    #[test]
    fn a_run_whose_execution_has_ended_is_to_be_finalized() {
        let (ended, now) = found(Some(Duration::minutes(5)));
        let id = ended.0.run_id.clone();
        let gone = (ended.0.clone(), None);
        for found in [ended, gone] {
            let check = state(found, now);
            assert_eq!(check.state, State::Fail);
            assert!(check.remedy.contains(&format!("`bcce runs finalize {id}`")), "{check:?}");
            assert_eq!(check.mend, Some(Mend::FinalizeRun(id.clone())));
        }
    }
}
