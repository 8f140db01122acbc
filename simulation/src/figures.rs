//! What is measured of a run.

use std::time::Duration;

use time::OffsetDateTime;

use crate::scenario::Scenario;

#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    scenario: Scenario,
    /// Of the sick time, by when they arrived, as all that follows but `lost`.
    pub requests: u64,
    /// Requests of the whole run that got no answer.
    pub lost: u64,
    pub failed_calls: u64,
    pub waits: u64,
    /// Calls that a region got while it was sick.
    pub sick_calls: u64,
    /// Answers of the first region to calls of the sick time.
    pub answers_of_first: u64,
    /// Share of the sick time in which the first region's breaker was not closed.
    pub open: f64,
    /// When the first region was well again, and how long it took until it was called as before.
    recoveries: Vec<(OffsetDateTime, Option<Duration>)>,
    /// When a request arrived, and how long it took until it was answered.
    answers: Vec<(OffsetDateTime, Duration)>,
}

impl Figures {
    pub fn of(scenario: Scenario) -> Self {
        Self {
            scenario,
            requests: 0,
            lost: 0,
            failed_calls: 0,
            waits: 0,
            sick_calls: 0,
            answers_of_first: 0,
            open: 0.0,
            recoveries: scenario.recoveries().into_iter().map(|at| (at, None)).collect(),
            answers: vec![],
        }
    }

    pub fn answered(&mut self, arrived_at: OffsetDateTime, now: OffsetDateTime) {
        let took = (now - arrived_at).try_into().unwrap_or_default();
        self.answers.push((arrived_at, took));
    }

    pub fn called(&mut self, target: usize, is_probe: bool, now: OffsetDateTime) {
        self.sick_calls += u64::from(self.scenario.is_sick(target, now));
        if target == 0 && !is_probe {
            let waiting =
                self.recoveries.iter_mut().filter(|(at, took)| *at <= now && took.is_none());
            waiting.for_each(|(at, took)| *took = (now - *at).try_into().ok());
        }
    }

    /// Of the requests that arrived in the sick time of `scenario`, from 0 to 1.
    pub fn success(&self, scenario: &Scenario) -> f64 {
        self.latencies(scenario).len() as f64 / self.requests as f64
    }

    /// How long the answered of those took, in seconds; `quantile` from 0 to 1.
    pub fn latency(&self, scenario: &Scenario, quantile: f64) -> f64 {
        let mut latencies = self.latencies(scenario);
        latencies.sort_unstable();
        let at = (latencies.len() as f64 * quantile) as usize;
        latencies.get(at).map_or(f64::NAN, Duration::as_secs_f64)
    }

    fn latencies(&self, scenario: &Scenario) -> Vec<Duration> {
        let sick = self.answers.iter().filter(|(arrived_at, _)| scenario.holds(*arrived_at));
        sick.map(|(_, took)| *took).collect()
    }

    /// The longest until the first region was called as before; `None`: it never was.
    pub fn recovery(&self) -> Option<Duration> {
        let took: Option<Vec<Duration>> = self.recoveries.iter().map(|(_, took)| *took).collect();
        Some(took?.into_iter().max().unwrap_or_default())
    }

    pub fn per_thousand(&self, count: u64) -> f64 {
        1_000.0 * count as f64 / self.requests as f64
    }
}
