//! Divides the time of a run among what happened in it.

use std::collections::BTreeMap;

use bcce_core::call::attempt::{Attempt, AttemptKind};
use time::OffsetDateTime;

use crate::run::timeline::{Event, Execution, has_failed};

/// The use of a moment of a run. If several steps ran at that moment, the first kind of them counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spent {
    /// A call that was answered was under way.
    Answered,
    /// No call was under way but those that failed.
    Failed,
    /// A bulk job was under way, from its start to its end. Nobody knows when it worked on this run.
    Bulk,
    /// No call was under way, and a step waited for its next round.
    Waited,
    /// No step had started: the run was prepared.
    Before,
    /// Every step had ended: the run was sealed.
    After,
    /// Anything else: AWS's services and our functions, between the calls.
    Between,
}

impl Spent {
    /// All kinds, in the order in which they are drawn.
    pub const ALL: [Self; 7] = [
        Self::Before,
        Self::Answered,
        Self::Bulk,
        Self::Failed,
        Self::Waited,
        Self::Between,
        Self::After,
    ];

    /// Returns the class of its color.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Bulk => "bulk",
            Self::Waited => "waited",
            Self::Between => "between",
            Self::Before | Self::After => "around",
        }
    }
}

/// A time span of a step execution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub spent: Spent,
    pub from: OffsetDateTime,
    pub to: OffsetDateTime,
}

/// Returns the calls and the waits of a step execution.
pub fn intervals(execution: &Execution<'_>) -> Vec<Interval> {
    execution.events().iter().filter_map(interval).collect()
}

/// Returns the time span of a call or a wait. A decision has none.
pub fn interval(event: &Event<'_>) -> Option<Interval> {
    match event {
        Event::Decision(_) => None,
        Event::Wait { at, waited_ms } => {
            let to = *at + std::time::Duration::from_millis(*waited_ms);
            Some(Interval { spent: Spent::Waited, from: *at, to })
        }
        Event::Attempt(attempt) => Some(call(attempt)),
    }
}

fn call(attempt: &Attempt) -> Interval {
    let spent = match attempt.kind {
        AttemptKind::Bulk => Spent::Bulk,
        _ if has_failed(attempt) => Spent::Failed,
        _ => Spent::Answered,
    };
    Interval { spent, from: attempt.started_at, to: attempt.ended_at() }
}

/// Returns the time before the first step and the time after the last one, of a run from `from` to `to`.
pub fn around(
    executions: &[&Execution<'_>],
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> Vec<Interval> {
    let spans: Vec<_> = executions.iter().filter_map(|execution| execution.ran()).collect();
    let first = spans.iter().map(|(began, _)| *began).min();
    let last = spans.iter().map(|(_, ended)| *ended).max();
    let before = first.map(|first| Interval { spent: Spent::Before, from, to: first });
    let after = last.map(|last| Interval { spent: Spent::After, from: last, to });
    before.into_iter().chain(after).collect()
}

/// Divides the time from `from` to `to`. The milliseconds of all kinds add up to the whole time, up to rounding.
pub fn divide(
    intervals: &[Interval],
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> BTreeMap<Spent, u64> {
    let mut changes: Vec<(OffsetDateTime, Spent, i64)> = Vec::new();
    for interval in intervals {
        changes.push((interval.from.clamp(from, to), interval.spent, 1));
        changes.push((interval.to.clamp(from, to), interval.spent, -1));
    }
    changes.push((to, Spent::Between, 0));
    changes.sort_by_key(|(at, ..)| *at);
    let (mut under_way, mut sums, mut last) = (BTreeMap::new(), BTreeMap::new(), from);
    for (at, spent, change) in changes {
        let now =
            under_way.iter().find(|(_, count)| **count > 0).map_or(Spent::Between, |(s, _)| *s);
        *sums.entry(now).or_insert(time::Duration::ZERO) += at - last;
        *under_way.entry(spent).or_insert(0) += change;
        last = at;
    }
    let milliseconds = |time: time::Duration| u64::try_from(time.whole_milliseconds()).unwrap_or(0);
    sums.into_iter().map(|(spent, time)| (spent, milliseconds(time))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::Duration;
    use time::macros::datetime;

    const START: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

    fn interval(spent: Spent, from: i64, to: i64) -> Interval {
        let at = |ms| START + Duration::milliseconds(ms);
        Interval { spent, from: at(from), to: at(to) }
    }

    fn divided(intervals: &[Interval], ms: i64) -> Vec<(Spent, u64)> {
        divide(intervals, START, START + Duration::milliseconds(ms)).into_iter().collect()
    }

    #[test]
    fn the_time_of_a_run_is_divided_without_rest() {
        use Spent::{Answered, Between, Failed, Waited};
        let intervals = [
            interval(Failed, 100, 300),
            interval(Waited, 300, 1_300),
            interval(Answered, 1_400, 2_000),
            // A step beside it, whose call is answered while the other one waits.
            interval(Answered, 200, 800),
        ];
        let divided = divided(&intervals, 2_500);
        assert_eq!(divided, [(Answered, 1_200), (Failed, 100), (Waited, 500), (Between, 700)]);
        assert_eq!(divided.iter().map(|(_, ms)| ms).sum::<u64>(), 2_500);
    }

    #[test]
    fn what_is_outside_of_the_run_does_not_count() {
        let intervals = [interval(Spent::Answered, -500, 100), interval(Spent::Waited, 900, 5_000)];
        assert_eq!(
            divided(&intervals, 1_000),
            [(Spent::Answered, 100), (Spent::Waited, 100), (Spent::Between, 800)]
        );
        assert_eq!(divided(&[], 0), [(Spent::Between, 0)]);
    }
}
