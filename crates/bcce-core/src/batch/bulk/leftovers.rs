//! Decides whether the leftovers of a bulk job run on demand. If nearly all records of a job failed, either the job or
//! the records may be at fault. A small sample that runs on demand shows which, before the other records run at twice
//! the price.

use serde::{Deserialize, Serialize};

use crate::base::error::{ErrorName, Fault};

/// The most records in the sample of a job.
pub const SAMPLE: u64 = 10;
/// The percentage of failed records from which the job itself may be at fault.
const NEARLY_ALL: u64 = 90;

/// The outcome of a part in its job, stored as `taken/<part>.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenPart {
    /// The number of records in the job's input.
    pub records: u64,
    /// The number of records that the job processed: all of them if it is `Completed`.
    pub processed: u64,
    /// The number of processed records without a usable answer.
    pub failed: u64,
    /// The number of records that did not become a finished run: those that failed, and those that were not processed.
    pub left: u64,
    /// The number of the part's other items that run on demand: they had no record, or their job was never started.
    pub others: u64,
    /// The error of the first returned record that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

/// The decision about the leftovers of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// They run on demand.
    OnDemand,
    /// A sample of them runs on demand, and its outcome decides about the others.
    Sample,
    /// They do not run, because the sample failed as well. collect-part closes their runs as failed.
    Held,
    /// They are not started, because the sample was not started either.
    NotStarted,
}

/// The leftovers of a job. The manifest of the batch lists them with the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftovers {
    /// The number of records that the job processed.
    pub processed: u64,
    pub failed: u64,
    pub left: u64,
    /// The error of the first record that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
    pub verdict: Verdict,
    /// The outcome of the sample, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sampled>,
}

/// The outcome of a sample that ran on demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampled {
    pub items: u64,
    pub answered: u64,
    /// The number of items whose run is over without an answer.
    pub failed: u64,
}

impl Leftovers {
    /// Sums the outcomes of the job's parts. Returns `None` if there is no leftover. `did_fail` is true if the service
    /// failed the job as a whole or refused to start it.
    pub fn of<'a>(did_fail: bool, parts: impl IntoIterator<Item = &'a TakenPart>) -> Option<Self> {
        let mut processed = 0;
        let mut failed = 0;
        let mut left = 0;
        let mut error = None;
        for part in parts {
            processed += part.processed;
            failed += part.failed;
            left += part.left;
            error = error.or_else(|| part.error.clone());
        }
        let nearly_all = processed > 0 && failed * 100 >= processed * NEARLY_ALL;
        let verdict = if nearly_all || did_fail { Verdict::Sample } else { Verdict::OnDemand };
        (left > 0).then_some(Self { processed, failed, left, error, verdict, sample: None })
    }

    /// Decides by the outcome of the sample. If most of it was answered, the job was at fault and the others run on
    /// demand.
    pub fn judge(&mut self, sample: Sampled) {
        self.verdict = match sample {
            Sampled { answered: 0, failed: 0, .. } => Verdict::NotStarted,
            Sampled { items, answered, .. } if answered * 2 > items => Verdict::OnDemand,
            _ => Verdict::Held,
        };
        self.sample = Some(sample);
    }

    /// Returns whether nearly all records failed, so that a sample decides.
    pub fn nearly_all_failed(&self) -> bool {
        self.sample.is_some() || self.verdict == Verdict::Sample
    }

    /// Describes the outcome of a job whose records nearly all failed. Returns `None` for any other job.
    pub fn describe(&self) -> Option<String> {
        if !self.nearly_all_failed() {
            return None;
        }
        let Self { processed, failed, left, .. } = self;
        let mut text = match processed {
            0 => format!("none of its {left} records was processed"),
            _ => format!("{failed} of {processed} records failed"),
        };
        if let Some(error) = &self.error {
            text += &format!(", the first with {}", error.name);
        }
        let Some(Sampled { items, answered, .. }) = self.sample else {
            return Some(format!("{text}; a sample of them runs on demand"));
        };
        let others = left.saturating_sub(items);
        let then = match self.verdict {
            Verdict::OnDemand => format!("the other {others} run on demand"),
            Verdict::Held | Verdict::Sample => format!("the other {others} do not run"),
            Verdict::NotStarted => format!("the other {others} are not started"),
        };
        Some(format!("{text}; on demand {answered} of a sample of {items} succeeded: {then}"))
    }

    /// Returns the error of a record that is held.
    pub fn held(&self, job: u32) -> Fault {
        let why = self.describe().unwrap_or_default();
        Fault::new(ErrorName::TooManyFailures, format!("job {job} of the batch: {why}"))
    }
}

/// Chooses the records of a sample, spread evenly over the leftovers. `left` has the number of leftovers by part.
/// Returns the part of each chosen record and its line in the part's list.
pub fn sample(left: &[(u32, u64)]) -> Vec<(u32, usize)> {
    let all: u64 = left.iter().map(|(_, records)| records).sum();
    let size = SAMPLE.min(all);
    let mut chosen = Vec::new();
    let mut parts = left.iter();
    let mut before = 0;
    let mut part = parts.next();
    for place in (0..size).map(|n| n * all / size) {
        while let Some((_, records)) = part.filter(|(_, records)| place >= before + records) {
            before += records;
            part = parts.next();
        }
        let line = usize::try_from(place - before).unwrap_or(usize::MAX);
        chosen.extend(part.map(|(part, _)| (*part, line)));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(processed: u64, failed: u64, left: u64) -> TakenPart {
        TakenPart { records: 500, processed, failed, left, ..TakenPart::default() }
    }

    fn verdict(did_fail: bool, parts: &[TakenPart]) -> Option<Verdict> {
        Leftovers::of(did_fail, parts).map(|leftovers| leftovers.verdict)
    }

    #[test]
    fn where_nearly_all_failed_a_sample_comes_first() {
        assert_eq!(verdict(false, &[part(500, 0, 0)]), None);
        assert_eq!(verdict(false, &[part(500, 20, 20)]), Some(Verdict::OnDemand));
        assert_eq!(verdict(false, &[part(100, 89, 89)]), Some(Verdict::OnDemand));
        assert_eq!(verdict(false, &[part(100, 90, 90)]), Some(Verdict::Sample));
        let halves = [part(500, 500, 500), part(500, 0, 0)];
        assert_eq!(verdict(false, &halves), Some(Verdict::OnDemand), "it is the job's share");
        assert_eq!(verdict(false, &[part(9, 9, 500)]), Some(Verdict::Sample));
        assert_eq!(verdict(false, &[part(0, 0, 500)]), Some(Verdict::OnDemand));
        assert_eq!(verdict(true, &[part(0, 0, 500)]), Some(Verdict::Sample));
    }

    #[test]
    fn most_of_the_sample_has_to_be_answered() {
        let judged = |answered, failed| {
            let mut leftovers = Leftovers::of(false, &[part(500, 500, 500)]).unwrap();
            leftovers.error = Some(Fault::new(ErrorName::RequestRejected, "m"));
            assert!(leftovers.describe().unwrap().ends_with("a sample of them runs on demand"));
            leftovers.judge(Sampled { items: 10, answered, failed });
            (leftovers.verdict, leftovers.describe().unwrap())
        };
        assert_eq!(judged(6, 4).0, Verdict::OnDemand);
        assert_eq!(judged(5, 5).0, Verdict::Held);
        assert_eq!(judged(0, 1).0, Verdict::Held);
        assert_eq!(judged(0, 0).0, Verdict::NotStarted);
        let why = "500 of 500 records failed, the first with Bcce.RequestRejected; on demand 0 of a sample of 10 succeeded: the other 490 do not run";
        assert_eq!(judged(0, 10).1, why);
    }

    #[test]
    fn a_sample_is_spread_over_what_is_left() {
        let large: Vec<(u32, u64)> = (1..=100).map(|part| (part, 500)).collect();
        let parts: Vec<u32> = sample(&large).into_iter().map(|(part, _)| part).collect();
        assert_eq!(parts, [1, 11, 21, 31, 41, 51, 61, 71, 81, 91]);
        assert_eq!(sample(&[(3, 2), (4, 0), (7, 1)]), [(3, 0), (3, 1), (7, 0)]);
        let one = sample(&[(1, 105)]);
        assert_eq!((one.len(), one[1], one[9]), (10, (1, 10), (1, 94)));
        assert!(sample(&[]).is_empty());
    }
}
