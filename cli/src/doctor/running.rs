//! Finds runs and batches that stay RUNNING although their executions have ended.

use bcce_aws::dynamodb::listing::{Condition, Listing};
use bcce_core::base::error::Fault;
use bcce_core::ledger::{BatchRecord, RunRecord, SHARDS};
use bcce_core::ports::DescribeEnd;
use bcce_core::run::execution_end::ExecutionEnd;
use futures::stream::{StreamExt, TryStreamExt, iter};
use time::{Date, Duration, OffsetDateTime};

use super::{Check, Mend};
use crate::batch::Batch;
use crate::figures;
use crate::latest::Listed;
use crate::references::{batch_reference, run_reference};
use crate::run::Run;
use crate::stack::Stack;
use crate::tracked::Tracked;

/// The number of records of a page, and of pages of a shard and a day that are read. A day has 16 shards, so the runs of
/// a day with up to 160,000 runs are all seen.
const PAGE: i32 = 1_000;
const PAGES: usize = 10;
/// The number of executions that are described.
const DESCRIBED: usize = 50;
const AT_A_TIME: usize = 8;
/// The status of a record that is open, as the ledger has it.
const RUNNING: &str = "RUNNING";

/// The record of a run or of a batch, which stays RUNNING if the end of its execution is not handled.
pub trait Recorded: Listed {
    type Tracked: Tracked;
    /// The number of days that are searched.
    const DAYS: usize;
    /// The time after the end of an execution in which it is finalized.
    const PATIENCE: Duration;

    fn execution_name(&self) -> String;
    /// Returns the change that finalizes it.
    fn mend(id: String) -> Mend;
}

impl Recorded for RunRecord {
    type Tracked = Run;
    /// A run takes at most 25 hours (statemachines/workflow.asl.json).
    const DAYS: usize = 3;
    const PATIENCE: Duration = Duration::minutes(10);

    fn execution_name(&self) -> String {
        run_reference(self).execution_name()
    }

    fn mend(id: String) -> Mend {
        Mend::FinalizeRun(id)
    }
}

impl Recorded for BatchRecord {
    type Tracked = Batch;
    /// A batch takes at most 30 days (statemachines/batch.asl.json).
    const DAYS: usize = 32;
    /// The finalize machine waits for the last calls, and then collects the results of all parts (docs/finalizing.md).
    const PATIENCE: Duration = Duration::hours(1);

    fn execution_name(&self) -> String {
        batch_reference(self).execution_name()
    }

    fn mend(id: String) -> Mend {
        Mend::FinalizeBatch(id)
    }
}

/// A record that is RUNNING, and the end of its execution. `None`: there is no such execution.
pub type Found<R> = (R, Option<ExecutionEnd>);

/// Reads the oldest RUNNING records of the last days.
///
/// # Errors
/// `Bcce.Internal`: the ledger or Step Functions cannot be read.
pub async fn read<R: Recorded>(stack: &Stack, now: OffsetDateTime) -> Result<Vec<Found<R>>, Fault> {
    let mut running: Vec<R> = running(stack, now).await?;
    running.sort_by_key(|record| record.row().started_at);
    running.truncate(DESCRIBED);
    let each = running.into_iter().map(async |record| {
        let end = R::Tracked::machine(stack).end(&record.execution_name()).await?;
        Ok((record, end))
    });
    iter(each).buffered(AT_A_TIME).try_collect().await
}

async fn running<R: Recorded>(stack: &Stack, now: OffsetDateTime) -> Result<Vec<R>, Fault> {
    let days = std::iter::successors(Some(now.date()), |day| day.previous_day()).take(R::DAYS);
    let shards = days.flat_map(|day| SHARDS.chars().map(move |digit| (day, digit)));
    let shards = shards.map(async |(day, digit)| running_in(stack, day, digit).await);
    let shards: Vec<Vec<R>> = iter(shards).buffered(AT_A_TIME).try_collect().await?;
    let is_old = |record: &R| now - record.row().started_at > R::PATIENCE;
    Ok(shards.into_iter().flatten().filter(is_old).collect())
}

/// Reads the RUNNING records of a shard of a day, page by page.
async fn running_in<R: Recorded>(stack: &Stack, day: Date, digit: char) -> Result<Vec<R>, Fault> {
    let mut listing = Listing {
        shard: R::shard(day, digit),
        from: day.to_string(),
        until: day.next_day().unwrap_or(day).to_string(),
        conditions: vec![Condition::equals("status", RUNNING)],
        most: PAGE,
        after: None,
    };
    let mut found = Vec::new();
    for _ in 0..PAGES {
        let page = R::listed(&stack.ledger, listing.clone()).await?;
        found.extend(page.records.into_iter().map(|(_, record)| record));
        match page.next {
            Some(next) => listing.after = Some(next),
            None => break,
        }
    }
    Ok(found)
}

pub fn check<R: Recorded>(
    records: &Result<Vec<Found<R>>, Fault>,
    now: OffsetDateTime,
    command: impl Fn(&str) -> String,
) -> Vec<Check> {
    let (name, [noun, nouns]) = ("running", R::NOUNS);
    let records = match records {
        Ok(records) => records,
        Err(fault) => return vec![Check::unread(name, nouns, fault)],
    };
    let stale: Vec<Check> =
        records.iter().filter_map(|found| stale(found, now, &command)).collect();
    match stale.is_empty() {
        true => {
            let reason = format!("each {noun} that is RUNNING has an execution that is under way");
            vec![Check::pass(name, nouns, reason)]
        }
        false => stale,
    }
}

fn stale<R: Recorded>(
    (record, end): &Found<R>,
    now: OffsetDateTime,
    command: &impl Fn(&str) -> String,
) -> Option<Check> {
    let (noun, id) = (R::NOUNS[0], record.row().id.to_owned());
    let reason = match end {
        None => format!("the {noun} is RUNNING, and Step Functions has no execution of it"),
        Some(end) => {
            let millis = i128::from(end.stop_date?);
            let ended = OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000).ok()?;
            if now - ended < R::PATIENCE {
                return None;
            }
            let (status, ended) = (&end.status, figures::stamp(ended));
            format!("the {noun} is RUNNING, and its execution ended with {status} at {ended}")
        }
    };
    let finalize = command(&format!("{} finalize {id}", R::Tracked::GROUP));
    let remedy = format!("`{finalize}`, or `bcce doctor --fix`");
    Some(Check::fail("running", &id, reason, remedy).with(R::mend(id.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::samples as batches;
    use crate::doctor::State;
    use crate::run::samples as runs;
    use bcce_core::batch::BatchStatus;
    use bcce_core::run::notification::RunStatus;

    /// The time between the start of the record and the check.
    const AGE: Duration = Duration::hours(4);

    fn run() -> RunRecord {
        runs::record(1, RunStatus::Running).unwrap()
    }

    fn batch() -> BatchRecord {
        batches::record(1, BatchStatus::Running)
    }

    /// Checks a record whose execution ended some time ago. `None`: it is under way.
    fn checked<R: Recorded>(record: R, ended: Option<Duration>) -> Check {
        let started_at = record.row().started_at;
        let now = started_at + AGE;
        let millis = |at: OffsetDateTime| (at.unix_timestamp_nanos() / 1_000_000) as i64;
        let end = ExecutionEnd {
            execution_arn: "a".into(),
            status: if ended.is_some() { "ABORTED" } else { "RUNNING" }.into(),
            input: None,
            start_date: millis(started_at),
            stop_date: ended.map(|ago| millis(now - ago)),
            error: None,
            cause: None,
        };
        judged((record, Some(end)), now)
    }

    fn judged<R: Recorded>(found: Found<R>, now: OffsetDateTime) -> Check {
        check(&Ok(vec![found]), now, |rest| format!("bcce {rest}")).remove(0)
    }

    #[test]
    fn what_is_under_way_and_what_has_just_ended_is_no_finding() {
        for ended in [None, Some(Duration::minutes(9))] {
            assert_eq!(checked(run(), ended).state, State::Pass);
        }
        for ended in [None, Some(Duration::minutes(59))] {
            let check = checked(batch(), ended);
            assert_eq!((check.state, &*check.subject), (State::Pass, "batches"));
        }
    }

    #[test]
    fn a_run_whose_execution_has_ended_is_to_be_finalized() {
        let id = run().run_id;
        let gone = judged((run(), None), run().started_at + AGE);
        for check in [checked(run(), Some(Duration::minutes(11))), gone] {
            assert_eq!(check.state, State::Fail);
            assert!(check.remedy.contains(&format!("`bcce runs finalize {id}`")), "{check:?}");
            assert_eq!(check.mend, Some(Mend::FinalizeRun(id.clone())));
        }
    }

    #[test]
    fn a_batch_whose_execution_has_ended_is_to_be_finalized() {
        let id = batch().batch_id;
        let gone = judged((batch(), None), batch().started_at + AGE);
        for check in [checked(batch(), Some(Duration::minutes(61))), gone] {
            assert_eq!((check.state, &check.subject), (State::Fail, &id));
            assert!(check.reason.starts_with("the batch is RUNNING"), "{check:?}");
            assert!(check.remedy.contains(&format!("`bcce batch finalize {id}`")), "{check:?}");
            assert_eq!(check.mend, Some(Mend::FinalizeBatch(id.clone())));
        }
    }

    #[test]
    fn records_that_cannot_be_read_are_a_warning_of_their_own() {
        let fault = Fault::internal("dynamodb:Query listing: AccessDeniedException");
        let checks = check::<BatchRecord>(&Err(fault), batch().started_at, str::to_owned);
        assert_eq!((checks[0].state, &*checks[0].subject), (State::Warn, "batches"));
    }
}
