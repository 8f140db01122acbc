//! The allowances of a part that a function other than its owner reserves or commits.

use std::collections::HashMap;

use rust_decimal::Decimal;
use time::OffsetDateTime;

use crate::base::error::Fault;
use crate::batch::packed::{Allowance, PackedRun, PartCalls};
use crate::call::attempt::AttemptKind;
use crate::io::budgets::{Reservation, reserve_allowance};
use crate::io::packed::Segments;
use crate::ports::{AllowanceLedger, CommitAllowance, GetObject, PartOf, ReadPartCalls};
use crate::run::artifact::StepRecord;
use crate::run::budgets::ToReserve;

/// What is known of the records of a bulk job whose allowance is not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobRecords {
    /// Another function commits their allowance.
    Leave,
    /// The segments have the attempts of all records that the job has returned.
    Returned,
    /// The answers were not taken. If the job was started, its records may have cost their worst case.
    Untaken { is_started: bool },
}

/// Commits the allowances that earlier owners of a part have left. Nobody else may write `segments` any more. If they
/// have the attempt of a call, its cost counts. Otherwise the call is lost and its worst case counts.
///
/// # Errors
/// Returns `Bcce.Internal` if the store or the ledger failed. A retry commits the rest.
pub async fn commit_left(
    store: &impl GetObject,
    ledger: &impl CommitAllowance,
    part: &PartOf,
    segments: &Segments,
    (calls, job): (&PartCalls, JobRecords),
) -> Result<(), Fault> {
    let is_mine = |left: &&Allowance| left.records == 0 || job != JobRecords::Leave;
    let left: Vec<&Allowance> = calls.left().filter(is_mine).collect();
    if left.is_empty() {
        return Ok(());
    }
    let mut records: HashMap<u64, Vec<StepRecord>> = HashMap::new();
    let take = |run: PackedRun| {
        // A later line of a run has all that an earlier one has.
        records.insert(run.n, run.records()?);
        Ok(())
    };
    segments.read(store, take).await?;
    let attempts = || records.values().flatten().flat_map(|record| &record.attempts);
    let of_jobs = || attempts().filter(|attempt| attempt.kind == AttemptKind::Bulk);
    for allowance in left {
        let all = || allowance.reserved.iter().map(|reserved| reserved.amount).collect();
        let spent = match (allowance.records, job) {
            (0, _) => allowance.spent(&calls.started, |call| {
                call.clone().logged().attempt(records.get(&call.n).into_iter().flatten())
            }),
            (_, JobRecords::Untaken { is_started: true }) => all(),
            _ => allowance.spent_by_records(of_jobs()),
        };
        ledger.commit_allowance(part, allowance, &spent).await?;
    }
    Ok(())
}

/// The name of the allowance that pays the records of a bulk job.
const RECORDS: &str = "records";
/// The number of tries to find out how many records can be paid.
const TRIES: u32 = 5;

/// Reserves the worst cases of records of a bulk job, in their order, as far as the budgets have enough. Returns how
/// many of them are paid. Safe to repeat: a part reserves this once.
///
/// # Errors
/// Returns `Bcce.Internal` if the ledger failed. No record may be sent then.
pub async fn reserve_records(
    ledger: &(impl AllowanceLedger + ReadPartCalls),
    part: &PartOf,
    at: OffsetDateTime,
    needs: &[ToReserve],
) -> Result<usize, Fault> {
    let known = ledger.part_calls(part).await?.allowances.into_iter();
    if let Some(known) = known.map(|stored| stored.allowance).find(|known| known.id == RECORDS) {
        let most = needs.len().min(usize::try_from(known.records).unwrap_or(usize::MAX));
        // An item that could not be read before may be among them now.
        return Ok((0..=most).rev().find(|count| is_paid(&needs[..*count], &known)).unwrap_or(0));
    }
    let mut count = needs.len();
    for _ in 0..TRIES {
        let Some(need) = sum(&needs[..count]) else { break };
        let allowance = Allowance {
            id: RECORDS.to_owned(),
            reserved_at: at,
            records: count as u64,
            reserved: need.amounts,
        };
        match reserve_allowance(ledger, part, &allowance, &need.limits).await? {
            Reservation::Made => return Ok(count),
            Reservation::Contended => return Err(Fault::internal("the budgets are contended")),
            Reservation::Busy(short) | Reservation::Exceeded(short) => {
                let left = short.limit - short.spent - short.reserved;
                count = affordable(&needs[..count], short.at, left);
            }
        }
    }
    Ok(0)
}

/// Returns the sum of what records need. Returns `None` if there are no records.
fn sum(needs: &[ToReserve]) -> Option<ToReserve> {
    let (first, others) = needs.split_first()?;
    let mut sum = first.clone();
    for need in others {
        for (sum, need) in sum.amounts.iter_mut().zip(&need.amounts) {
            sum.amount += need.amount;
        }
    }
    Some(sum)
}

/// Returns whether an allowance pays all of these records.
fn is_paid(needs: &[ToReserve], allowance: &Allowance) -> bool {
    let Some(need) = sum(needs) else { return true };
    let mut amounts = need.amounts.iter().zip(&allowance.reserved);
    amounts.all(|(need, reserved)| need.amount <= reserved.amount)
}

/// Returns how many of the records, in their order, a budget can pay that has `left`.
fn affordable(needs: &[ToReserve], budget: usize, left: Decimal) -> usize {
    let mut left = left;
    let pays = |need: &&ToReserve| {
        left -= need.amounts[budget].amount;
        left >= Decimal::ZERO
    };
    needs.iter().take_while(pays).count()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::batch::packed::StoredAllowance;
    use crate::batch::reference::BatchRef;
    use crate::config::budgets::Unit;
    use crate::fakes::{MemoryLedger, MemoryStore, now};
    use crate::ports::SetLimit;
    use crate::run::budgets::tests::reserved;
    use crate::run::budgets::{Limit, Reserved};

    const NOON: OffsetDateTime = datetime!(2026-11-30 12:00 UTC);

    fn need(amount: u32) -> ToReserve {
        let limit = Limit {
            counter: "day".into(),
            unit: Unit::Usd,
            limit: 10.into(),
            revision: 1,
            expires_at: None,
        };
        let amounts = vec![Reserved { amount: amount.into(), ..reserved("day", Decimal::ZERO) }];
        ToReserve { places: vec![0], limits: vec![limit], amounts }
    }

    /// Returns what is spent and what is reserved after the allowance of a job's records was committed or left.
    fn left(job: JobRecords) -> (Decimal, Decimal) {
        let (store, ledger) = (MemoryStore::default(), MemoryLedger::default());
        let batch = BatchRef::first("default", "explain", "42");
        let part = PartOf { batch: batch.item_of(), part: 1 };
        assert_eq!(now(reserve_records(&ledger, &part, NOON, &[need(3), need(3)])), Ok(2));
        let calls = now(ledger.part_calls(&part)).unwrap();
        let segments = now(Segments::list(&store, &batch, 1)).unwrap();
        for _ in 0..2 {
            now(commit_left(&store, &ledger, &part, &segments, (&calls, job))).unwrap();
        }
        let counter = ledger.counters.get("day");
        (counter.spent(), counter.reserved())
    }

    #[test]
    fn records_of_a_started_job_keep_their_worst_case_until_their_answers_are_taken() {
        let all = Decimal::from(6);
        assert_eq!(left(JobRecords::Leave), (Decimal::ZERO, all));
        assert_eq!(left(JobRecords::Returned), (Decimal::ZERO, Decimal::ZERO));
        assert_eq!(left(JobRecords::Untaken { is_started: true }), (all, Decimal::ZERO));
        assert_eq!(left(JobRecords::Untaken { is_started: false }), (Decimal::ZERO, Decimal::ZERO));
    }

    /// The first item could not be read when the records were reserved. Now it is the first record.
    #[test]
    fn a_repeated_reservation_pays_no_more_than_the_first() {
        let ledger = MemoryLedger::default();
        let batch = BatchRef::first("default", "explain", "42");
        let part = PartOf { batch: batch.item_of(), part: 1 };
        now(ledger.set_limit(&need(1).limits[0])).unwrap();
        assert_eq!(now(reserve_records(&ledger, &part, NOON, &[need(1), need(2)])), Ok(2));
        let again = [need(2), need(1), need(2)];
        assert_eq!(now(reserve_records(&ledger, &part, NOON, &again)), Ok(2));
        let dearer = [need(4), need(1)];
        assert_eq!(now(reserve_records(&ledger, &part, NOON, &dearer)), Ok(0));
        let stored: Vec<StoredAllowance> = now(ledger.part_calls(&part)).unwrap().allowances;
        assert_eq!((stored.len(), ledger.counters.get("day").reserved()), (1, 3.into()));
    }
}
