//! Allowances: what a part has reserved from budgets for many calls at a time. A call takes its worst case from an
//! allowance and gives back what it has not spent, so few calls write to a budget.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::json::is_zero;
use crate::batch::packed::StartedCall;
use crate::call::attempt::Attempt;
use crate::run::budgets::{Reserved, spent};

/// The most that an allowance takes of a limit: one in this number. So a batch leaves room for other runs.
const SHARE_OF_LIMIT: u32 = 64;

/// The decimal places of an unknown cost.
const DIGITS: u32 = 9;

/// An amount of each budget that the owner of a part has reserved for its calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// The name among the allowances of the part: `<owner>#<number>`.
    pub id: String,
    #[serde(with = "time::serde::rfc3339")]
    pub reserved_at: OffsetDateTime,
    /// The number of records of a bulk job that it pays. 0 if it pays calls.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub records: u64,
    pub reserved: Vec<Reserved>,
}

/// An allowance, as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAllowance {
    pub allowance: Allowance,
    /// True if what it has spent is committed and the rest is free again.
    pub is_committed: bool,
}

/// The calls that a part has started, and its allowances, in no particular order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartCalls {
    pub started: Vec<StartedCall>,
    pub allowances: Vec<StoredAllowance>,
}

impl PartCalls {
    /// Returns the allowances that are not committed.
    pub fn left(&self) -> impl Iterator<Item = &Allowance> {
        let left = self.allowances.iter().filter(|stored| !stored.is_committed);
        left.map(|stored| &stored.allowance)
    }
}

/// Returns the number of calls for which an allowance is reserved: as many as may be under way, but no more than
/// a small share of each limit pays. `amounts` has the worst case of a call with the limit of its budget.
pub fn calls_of_allowance(under_way: u32, amounts: &[(Decimal, Decimal)]) -> u32 {
    let of = |(amount, limit): &(Decimal, Decimal)| {
        let calls = limit.checked_div(Decimal::from(SHARE_OF_LIMIT) * amount).unwrap_or_default();
        u32::try_from(calls.trunc()).unwrap_or(u32::MAX)
    };
    let fewest = amounts.iter().map(of).min().unwrap_or(u32::MAX);
    fewest.min(under_way).max(1)
}

impl Allowance {
    /// Returns what the calls of the allowance have spent, for each of its amounts. `attempt` finds the attempt of a
    /// call. A call without one is lost and may have cost its worst case.
    pub fn spent<'a>(
        &self,
        calls: impl IntoIterator<Item = &'a StartedCall>,
        attempt: impl Fn(&StartedCall) -> Option<&'a Attempt>,
    ) -> Vec<Decimal> {
        let mut sums = vec![Decimal::ZERO; self.reserved.len()];
        let is_mine = |call: &&StartedCall| call.allowance.as_ref() == Some(&self.id);
        for call in calls.into_iter().filter(is_mine) {
            let attempt = attempt(call);
            let (usd, usage) = (attempt.and_then(|a| a.cost_usd), attempt.and_then(|a| a.usage));
            let amounts = spent(&call.call.reserved, usd, usage.as_ref());
            sums.iter_mut().zip(amounts).for_each(|(sum, amount)| *sum += amount);
        }
        sums
    }

    /// Returns what records of a bulk job have spent, for each of the amounts. `attempts` has those of all records that
    /// the job has returned. A record that was charged an unknown amount may have cost its part of the allowance.
    pub fn spent_by_records<'a>(
        &self,
        attempts: impl IntoIterator<Item = &'a Attempt>,
    ) -> Vec<Decimal> {
        let mut of_record = self.reserved.clone();
        for reserved in &mut of_record {
            let share = reserved.amount / Decimal::from(self.records.max(1));
            // The ledger must read back what it has written, and it has fewer digits than a quotient.
            reserved.amount = share.round_dp_with_strategy(DIGITS, RoundingStrategy::AwayFromZero);
        }
        let mut sums = vec![Decimal::ZERO; self.reserved.len()];
        for attempt in attempts {
            let amounts = spent(&of_record, attempt.cost_usd, attempt.usage.as_ref());
            sums.iter_mut().zip(amounts).for_each(|(sum, amount)| *sum += amount);
        }
        let most = self.reserved.iter().map(|reserved| reserved.amount);
        sums.into_iter().zip(most).map(|(sum, most)| sum.min(most)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorName;
    use crate::base::usage::Usage;
    use crate::call::attempt::tests::failed;
    use crate::run::budgets::tests::reserved;
    use crate::run::call_log::LoggedCall;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-30 12:00 UTC);

    #[test]
    fn an_allowance_pays_a_small_share_of_each_limit_and_at_least_one_call() {
        let usd = |amount: i64, limit: i64| (Decimal::new(amount, 2), Decimal::new(limit, 2));
        assert_eq!(calls_of_allowance(50, &[usd(1, 1_000_000)]), 50);
        assert_eq!(calls_of_allowance(50, &[usd(1, 1_000_000), usd(1, 64 * 7)]), 7);
        assert_eq!(calls_of_allowance(50, &[usd(1, 1)]), 1);
        assert_eq!(calls_of_allowance(50, &[]), 50);
    }

    #[test]
    fn a_stored_attempt_has_spent_its_cost_and_a_lost_call_its_worst_case() {
        let call = |n: u64, allowance: &str| StartedCall {
            n,
            step: "answer".into(),
            allowance: Some(allowance.into()),
            call: LoggedCall {
                reserved: vec![reserved("day", Decimal::ONE)],
                ..LoggedCall::new(NOW, failed("us-east-1", ErrorName::TargetBroken).target)
            },
        };
        let calls = [call(1, "a#1"), call(2, "a#1"), call(3, "a#2")];
        let cost = Some(Decimal::new(2, 1));
        let (usage, error) = (Some(Usage::default()), ErrorName::TargetBroken);
        let attempt = Attempt { cost_usd: cost, usage, ..failed("us-east-1", error) };
        let reserved = vec![reserved("day", Decimal::from(5))];
        let id = "a#1".into();
        let allowance = Allowance { id, reserved_at: NOW, records: 0, reserved };
        let spent = allowance.spent(&calls, |call| (call.n == 1).then_some(&attempt));
        assert_eq!(spent, [Decimal::new(12, 1)]);
        // Two of ten records were returned, one of them with an unknown cost.
        let records = Allowance { records: 10, ..allowance };
        let unknown = Attempt { cost_usd: None, usage: None, ..attempt.clone() };
        assert_eq!(records.spent_by_records([&attempt, &unknown]), [Decimal::new(7, 1)]);
    }
}
