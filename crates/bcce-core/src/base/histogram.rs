//! A histogram of times or other counts that can be added to another one without loss.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The number of buckets between a power of two and the next one. Values below it have a bucket of their own.
const STEPS: u64 = 8;
/// The exponent of [`STEPS`].
const STEPS_EXPONENT: u32 = STEPS.trailing_zeros();

/// The largest relative error of [`Histogram::quantile`]: half the width of a bucket, relative to its lower end.
pub const MAX_ERROR: f64 = 0.5 / STEPS as f64;

/// A histogram of values, such as times in milliseconds or tokens. Its buckets are the same in every histogram, so that
/// histograms of different days, regions or functions add up. The width of a bucket is an eighth of a power of two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u16, u64)>", into = "Vec<(u16, u64)>")]
pub struct Histogram(BTreeMap<u16, u64>);

impl Histogram {
    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        self.add_to(bucket(value), 1);
    }

    /// Adds `times` to a bucket of another histogram.
    pub fn add_to(&mut self, bucket: u16, times: u64) {
        *self.0.entry(bucket).or_default() += times;
    }

    /// Adds another histogram.
    pub fn add(&mut self, other: &Self) {
        other.buckets().for_each(|(bucket, times)| self.add_to(bucket, times));
    }

    /// Returns the buckets that have values, with their number.
    pub fn buckets(&self) -> impl Iterator<Item = (u16, u64)> {
        self.0.iter().map(|(bucket, times)| (*bucket, *times))
    }

    /// Returns the number of values.
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// Returns the sum of the values. Its relative error is at most [`MAX_ERROR`].
    pub fn sum(&self) -> u64 {
        let times = self.0.iter().map(|(bucket, times)| middle(*bucket).saturating_mul(*times));
        times.fold(0, u64::saturating_add)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the value that `percent` of the values do not exceed: the middle of the bucket of that value. Its relative
    /// error is at most [`MAX_ERROR`]. Returns `None` if the histogram is empty.
    pub fn quantile(&self, percent: u64) -> Option<u64> {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.0.iter().find(|(_, times)| {
            seen += **times;
            seen >= rank
        });
        found.map(|(bucket, _)| middle(*bucket))
    }

    /// Returns the values as bars of a diagram: at most `most` of them, without a gap from the lowest value to the highest.
    /// Each bar joins as many buckets, a power of two. The bars of an empty histogram are none.
    pub fn bars(&self, most: usize) -> Vec<Bar> {
        let (Some(first), Some(last)) = (self.0.keys().next(), self.0.keys().next_back()) else {
            return Vec::new();
        };
        let of = |joined: u32| (first >> joined)..=(last >> joined);
        let joined = (0..u16::BITS).find(|joined| of(*joined).count() <= most.max(1));
        let joined = joined.unwrap_or(u16::BITS - 1);
        let bar = |place: u16| {
            let (from, end) = (place << joined, ((u32::from(place) + 1) << joined) as u16);
            let values = self.0.range(from..end).map(|(_, times)| times).sum();
            Bar { from: lowest(from), to: lowest(end - 1) + (width(end - 1) - 1), values }
        };
        of(joined).map(bar).collect()
    }

    /// Returns the highest value that the highest bucket with values can hold. No value is above it, and the highest
    /// value is at most an eighth below it. Returns `None` if the histogram is empty.
    pub fn highest(&self) -> Option<u64> {
        self.0.keys().next_back().map(|bucket| lowest(*bucket) + (width(*bucket) - 1))
    }
}

/// A bar of a diagram ([`Histogram::bars`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// The lowest and the highest value that the bar can hold.
    pub from: u64,
    pub to: u64,
    /// The number of its values.
    pub values: u64,
}

impl From<Vec<(u16, u64)>> for Histogram {
    fn from(buckets: Vec<(u16, u64)>) -> Self {
        let mut histogram = Self::default();
        buckets.into_iter().for_each(|(bucket, times)| histogram.add_to(bucket, times));
        histogram
    }
}

impl From<Histogram> for Vec<(u16, u64)> {
    fn from(histogram: Histogram) -> Self {
        histogram.buckets().collect()
    }
}

fn bucket(value: u64) -> u16 {
    if value < STEPS {
        return value as u16;
    }
    let shift = value.ilog2() - STEPS_EXPONENT;
    (u64::from(shift) * STEPS + (value >> shift)) as u16
}

/// Returns the middle of a bucket, rounded down.
fn middle(bucket: u16) -> u64 {
    lowest(bucket) + width(bucket) / 2
}

/// Returns the lowest value of a bucket.
fn lowest(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    if bucket < 2 * STEPS { bucket } else { (STEPS + bucket % STEPS) * width(bucket as u16) }
}

/// Returns the number of values of a bucket.
fn width(bucket: u16) -> u64 {
    let exponent = (u64::from(bucket) / STEPS).saturating_sub(1);
    1 << exponent.min(u64::from(u64::BITS - STEPS_EXPONENT - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        times.into_iter().for_each(|time| histogram.record(time));
        histogram
    }

    #[test]
    fn a_sum_is_within_the_stated_error() {
        let times: Vec<u64> = (1..5_000).step_by(7).collect();
        let (found, sum) = (of(times.iter().copied()).sum(), times.iter().sum::<u64>());
        assert!((found as f64 / sum as f64 - 1.0).abs() <= MAX_ERROR, "{found} of {sum}");
        assert_eq!((Histogram::default().sum(), of([u64::MAX, u64::MAX]).sum()), (0, u64::MAX));
    }

    #[test]
    fn a_quantile_is_within_the_stated_error() {
        for time in (0..2_000).chain((2_000..900_000).step_by(37)).chain([u64::MAX / 3]) {
            let found = of([time]).quantile(50).unwrap();
            let error = found.abs_diff(time) as f64 / (time.max(1)) as f64;
            assert!(error <= MAX_ERROR, "{time} is {found}");
        }
        let all = of(1..=10_000);
        for (percent, exact) in [(50, 5_000), (90, 9_000), (99, 9_900), (100, 10_000)] {
            let found = all.quantile(percent).unwrap();
            let error = found.abs_diff(exact) as f64 / exact as f64;
            assert!(error <= MAX_ERROR, "p{percent} is {found}");
        }
    }

    #[test]
    fn no_value_is_above_the_highest_one() {
        for value in (0..2_000).chain((2_000..900_000).step_by(37)).chain([u64::MAX / 3, u64::MAX])
        {
            let highest = of([1, value]).highest().unwrap();
            assert!(highest >= value.max(1), "{value} is above {highest}");
            assert!(
                bucket(highest) == bucket(value.max(1)),
                "{highest} is not in the bucket of {value}"
            );
        }
        assert_eq!((of([300]).highest(), Histogram::default().highest()), (Some(319), None));
    }

    #[test]
    fn bars_have_all_values_and_no_gap() {
        let all = of([3, 400, 420, 900, 1_500, 70_000, u64::MAX]);
        for most in [1, 2, 12, 1_000] {
            let bars = all.bars(most);
            assert!((1..=most).contains(&bars.len()), "{most}");
            assert_eq!(bars.iter().map(|bar| bar.values).sum::<u64>(), 7);
            assert!(bars[0].from <= 3 && bars.last().unwrap().to == u64::MAX);
            assert!(bars.windows(2).all(|two| two[0].to + 1 == two[1].from), "{bars:?}");
        }
        assert_eq!(of([300, 300]).bars(12), [Bar { from: 288, to: 319, values: 2 }]);
        assert_eq!(Histogram::default().bars(12), []);
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        let mut last = 0;
        for time in 1..1_000_000_u64 {
            let next = bucket(time);
            assert!(next == last || next == last + 1, "{time} is in {next} after {last}");
            last = next;
        }
        assert!(last < 160, "a quarter of an hour is in bucket {last}");
    }

    #[test]
    fn histograms_of_parts_add_up_to_that_of_the_whole() {
        let (mut one, other) = (of([1, 20, 300, 300]), of([300, 40_000]));
        one.add(&other);
        assert_eq!(one, of([1, 20, 300, 300, 300, 40_000]));
        assert_eq!((one.count(), one.quantile(50)), (6, Some(304)));
        assert_eq!(Histogram::default().quantile(50), None);
    }

    #[test]
    fn a_histogram_is_a_list_of_pairs_in_json() {
        let histogram = of([5, 5, 900]);
        let json = serde_json::to_string(&histogram).unwrap();
        assert_eq!(json, "[[5,2],[62,1]]");
        assert_eq!(serde_json::from_str::<Histogram>(&json).unwrap(), histogram);
    }
}
