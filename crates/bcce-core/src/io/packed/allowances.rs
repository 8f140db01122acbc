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

/// Commits the allowances that earlier owners of a part have left. Nobody else may write `segments` any more: a call
/// whose attempt they have has spent its cost, and any other call is lost and may have cost its worst case.
///
/// # Errors
/// Returns `Bcce.Internal` if the store or the ledger failed. A retry commits the rest.
pub async fn commit_left(
    store: &impl GetObject,
    ledger: &impl CommitAllowance,
    part: &PartOf,
    segments: &Segments,
    calls: &PartCalls,
) -> Result<(), Fault> {
    let left = calls.allowances.iter().filter(|stored| !stored.is_committed);
    let left: Vec<&Allowance> = left.map(|stored| &stored.allowance).collect();
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
        let spent = match allowance.records {
            0 => allowance.spent(&calls.started, |call| {
                call.clone().logged().attempt(records.get(&call.n).into_iter().flatten())
            }),
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
        return Ok(needs.len().min(usize::try_from(known.records).unwrap_or(usize::MAX)));
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
            Reservation::Contended => {}
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

/// Returns how many of the records, in their order, a budget can pay that has `left`.
fn affordable(needs: &[ToReserve], budget: usize, left: Decimal) -> usize {
    let mut left = left;
    let pays = |need: &&ToReserve| {
        left -= need.amounts[budget].amount;
        left >= Decimal::ZERO
    };
    needs.iter().take_while(pays).count()
}
