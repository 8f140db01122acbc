//! Measures one simulation.

use std::time::Duration;

use time::OffsetDateTime;

use crate::scenario::Scenario;

/// The results of one simulation. All of them but `lost` are about the failure window of the scenario. A request
/// belongs to the window if it arrived in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    scenario: Scenario,
    /// The number of requests.
    pub requests: u64,
    /// The number of requests of the whole simulation that got no answer.
    pub lost: u64,
    pub failed_calls: u64,
    pub waits: u64,
    /// The number of calls that a region received while it was failing.
    pub calls_while_failing: u64,
    /// The number of answers of the first region to calls that started in the failure window.
    pub answers_of_first: u64,
    /// The share of the failure window in which the breaker of the first region was not closed, from 0 to 1.
    pub open: f64,
    /// The times at which the first region recovered, each with the time until its first call that was not a probe.
    recoveries: Vec<(OffsetDateTime, Option<Duration>)>,
    /// The arrival times of the answered requests, each with the time until the answer.
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
            calls_while_failing: 0,
            answers_of_first: 0,
            open: 0.0,
            recoveries: scenario.recoveries().into_iter().map(|at| (at, None)).collect(),
            answers: vec![],
        }
    }

    /// Records the answer to a request.
    pub fn answered(&mut self, arrived_at: OffsetDateTime, now: OffsetDateTime) {
        let took = (now - arrived_at).try_into().unwrap_or_default();
        self.answers.push((arrived_at, took));
    }

    /// Records the start of a call.
    pub fn called(&mut self, target: usize, is_probe: bool, now: OffsetDateTime) {
        self.calls_while_failing += u64::from(self.scenario.is_failing(target, now));
        if target == 0 && !is_probe {
            let waiting =
                self.recoveries.iter_mut().filter(|(at, took)| *at <= now && took.is_none());
            waiting.for_each(|(at, took)| *took = (now - *at).try_into().ok());
        }
    }

    /// Returns the share of requests in the failure window of `scenario` that were answered, from 0 to 1.
    pub fn success(&self, scenario: &Scenario) -> f64 {
        self.latencies(scenario).len() as f64 / self.requests as f64
    }

    /// Returns a quantile (from 0 to 1) of the time from the arrival to the answer, in seconds, over the answered
    /// requests in the failure window of `scenario`.
    pub fn latency(&self, scenario: &Scenario, quantile: f64) -> f64 {
        let mut latencies = self.latencies(scenario);
        latencies.sort_unstable();
        let at = (latencies.len() as f64 * quantile) as usize;
        latencies.get(at).map_or(f64::NAN, Duration::as_secs_f64)
    }

    fn latencies(&self, scenario: &Scenario) -> Vec<Duration> {
        let in_window =
            self.answers.iter().filter(|(arrived_at, _)| scenario.has_in_window(*arrived_at));
        in_window.map(|(_, took)| *took).collect()
    }

    /// Returns the longest time from a recovery of the first region to its first call that was not a probe, or `None`
    /// if there was no such call after one of the recoveries.
    pub fn recovery(&self) -> Option<Duration> {
        let took: Option<Vec<Duration>> = self.recoveries.iter().map(|(_, took)| *took).collect();
        Some(took?.into_iter().max().unwrap_or_default())
    }

    /// Returns `count` per 1,000 requests.
    pub fn per_thousand(&self, count: u64) -> f64 {
        1_000.0 * count as f64 / self.requests as f64
    }
}
