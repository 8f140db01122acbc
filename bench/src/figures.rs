use std::time::Duration;

use crate::candidates::Candidate;

/// The measurements of one process of a function.
pub struct Round {
    /// The time from the start of the process to its first request for an event.
    pub init: Duration,
    /// The time from each event to its answer.
    pub took: Vec<Duration>,
    /// The resident memory at the end, in KiB.
    pub memory_kb: u64,
}

pub const HEADING: &str =
    "| function | init ms | p50 ms | p99 ms | per second, one core | memory MB |
|---|---|---|---|---|---|";

/// Returns a row of the table with the medians of the rounds.
pub fn line(candidate: &Candidate, rounds: &[Round]) -> String {
    let each = |of: fn(&Round) -> f64| median(rounds.iter().map(of).collect());
    let rate = each(|round| round.took.len() as f64 / total(round)) * candidate.per_event as f64;
    format!(
        "| {} | {:.1} | {:.2} | {:.2} | {rate:.0} {} | {:.1} |",
        candidate.name,
        each(|round| round.init.as_secs_f64() * 1e3),
        each(|round| percentile(round, 50)),
        each(|round| percentile(round, 99)),
        candidate.unit,
        each(|round| round.memory_kb as f64 / 1024.0),
    )
}

fn total(round: &Round) -> f64 {
    round.took.iter().sum::<Duration>().as_secs_f64()
}

/// Returns a percentile of the times of a round, in milliseconds.
fn percentile(round: &Round, percent: usize) -> f64 {
    let mut took = round.took.clone();
    took.sort_unstable();
    let at = (took.len() * percent).div_ceil(100).saturating_sub(1);
    took.get(at).map_or(0.0, |took| took.as_secs_f64() * 1e3)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let took = (1..=200).map(Duration::from_millis).collect();
        let round = Round { init: Duration::ZERO, took, memory_kb: 0 };
        assert_eq!((percentile(&round, 50), percentile(&round, 99)), (100.0, 198.0));
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
