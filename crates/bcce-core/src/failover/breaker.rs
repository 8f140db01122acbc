//! The circuit breaker of a target, shared by every run through the ledger.
//!
//! A breaker counts failures and subtracts answers. It opens when the count reaches `failures`, and the target gets no
//! calls for a cool-down. Then one step is elected to probe the target. The result of its call closes the breaker or
//! opens it for longer. A `Retry-After` opens the breaker at once, because the service itself states the time. A daily
//! quota that is used up opens it at once too. If a target rejects a call, its breaker stays open for minutes, because
//! a person has to correct the configuration.
//!
//! Answers are counted only while there are failures on record, and they arrive later than failures do. Therefore a
//! target that fails one call in three gets no more calls. One error in a hundred does not open a breaker, as long as
//! fewer than `failures` errors occur in the time of one answer.
//!
//! All functions in this module are pure transitions of one breaker. `io::shared_breakers` shares the breakers.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::error::ErrorName;
use crate::base::target::Target;
use crate::call::attempt::AttemptOutcome;
use crate::call::model::{Blame, CallFailure};
use crate::config::breakers::BreakerSettings;

/// The longest `Retry-After` that a breaker follows. One probe in ten minutes is no load for a service.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// The evidence of a finished call about its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The target answered. A refusal of the request and an intervention of a guardrail count as answers too.
    Alive,
    /// The target failed: it is unavailable, throttled or broken, or it rejects calls.
    Failing { error: ErrorName, retry_after_s: Option<u64> },
    /// The target's daily quota is used up until this time.
    UsedUp { until: OffsetDateTime },
    /// The call shows nothing about the target: the caller gave up, or the model failed on this request only.
    Silent,
}

impl Signal {
    /// Returns the evidence of an attempt. `failure` is the failure of its call, if the call failed.
    pub fn of(outcome: AttemptOutcome, failure: Option<&CallFailure>) -> Self {
        match (outcome, failure) {
            (AttemptOutcome::Answered, _) | (AttemptOutcome::Failed, None) => Self::Alive,
            (AttemptOutcome::Failed, Some(failure)) => Self::of_failure(failure),
        }
    }

    fn of_failure(failure: &CallFailure) -> Self {
        match failure.name {
            ErrorName::RequestRejected
            | ErrorName::GuardrailIntervened
            | ErrorName::OutputInvalid => Self::Alive,
            error if error.fails_over() => match failure.blame {
                Blame::Target => Self::Failing { error, retry_after_s: failure.retry_after_s },
                Blame::TargetUntil(until) => Self::UsedUp { until },
                Blame::Request | Blame::Fit(_) | Blame::Limit(_) => Self::Silent,
            },
            _ => Self::Silent,
        }
    }
}

/// The report of a finished call to its breaker.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    pub signal: Signal,
    /// The start of the call. A call that was sent before a breaker closed shows nothing about the time after.
    pub started_at: OffsetDateTime,
    /// The token of the election if the call was the probe.
    pub probe: Option<&'a str>,
}

/// The status of a breaker at a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerStatus {
    Closed,
    Open {
        until: OffsetDateTime,
    },
    /// The breaker is open and its cool-down is over. It becomes half-open when a step is elected to probe its target.
    Due,
    /// The breaker is half-open: a step is probing its target.
    Probed {
        until: OffsetDateTime,
    },
}

/// The breaker of one target, as the ledger stores it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// The number of failures, less answers, but never below 0.
    pub failures: u32,
    /// The time until which failures count.
    #[serde(with = "time::serde::rfc3339::option", default)]
    pub counts_until: Option<OffsetDateTime>,
    /// The end of the cool-down. `None` if the breaker is closed.
    #[serde(with = "time::serde::rfc3339::option", default)]
    pub open_until: Option<OffsetDateTime>,
    /// The error that last opened the breaker.
    #[serde(default)]
    pub cause: Option<ErrorName>,
    /// True if the breaker opened because a daily quota is used up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub used_up: bool,
    /// The number of times that the breaker opened in a row.
    #[serde(default)]
    pub openings: u32,
    /// The time at which the breaker last closed.
    #[serde(with = "time::serde::rfc3339::option", default)]
    pub closed_at: Option<OffsetDateTime>,
    /// The current probe of an open breaker, if any.
    #[serde(default)]
    pub probe: Option<Probe>,
}

/// The one call that an open breaker lets through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The token of the elected step.
    pub holder: String,
    /// The time from which another step may be elected, in case the holder has stopped.
    #[serde(with = "time::serde::rfc3339")]
    pub until: OffsetDateTime,
}

impl Breaker {
    /// Returns the status at `now`.
    pub fn status(&self, now: OffsetDateTime) -> BreakerStatus {
        let Some(until) = self.open_until else { return BreakerStatus::Closed };
        if until > now {
            return BreakerStatus::Open { until };
        }
        match &self.probe {
            Some(probe) if probe.until > now => BreakerStatus::Probed { until: probe.until },
            _ => BreakerStatus::Due,
        }
    }

    /// Returns `true` if failures are on record, so that an answer would be counted.
    pub fn is_watched(&self, now: OffsetDateTime) -> bool {
        self.failures > 0 && self.counts_until.is_some_and(|until| until > now)
    }

    /// Returns `true` if the step with the token `holder` is elected to probe the target.
    pub fn is_probed_by(&self, holder: &str) -> bool {
        self.probe.as_ref().is_some_and(|probe| probe.holder == holder)
    }

    /// Elects the step with the token `holder` to probe the target for the time `lease`. Returns `false` if no probe is
    /// due, or if another step is elected.
    pub fn elect(&mut self, holder: &str, now: OffsetDateTime, lease: Duration) -> bool {
        let is_free = match self.status(now) {
            BreakerStatus::Due => true,
            BreakerStatus::Probed { .. } => self.is_probed_by(holder),
            BreakerStatus::Open { .. } | BreakerStatus::Closed => false,
        };
        if is_free {
            self.probe = Some(Probe { holder: holder.to_owned(), until: now + lease });
        }
        is_free
    }

    /// Records a finished call. Returns `false` if nothing changed.
    pub fn hear(
        &mut self,
        report: &Report<'_>,
        now: OffsetDateTime,
        settings: &BreakerSettings,
    ) -> bool {
        let before = self.clone();
        if report.probe.is_some_and(|holder| self.is_probed_by(holder)) {
            self.probed(report.signal, now, settings)
        } else {
            self.called(report, now, settings)
        }
        *self != before
    }

    fn probed(&mut self, signal: Signal, now: OffsetDateTime, settings: &BreakerSettings) {
        self.probe = None;
        match signal {
            Signal::Alive => self.close(now),
            Signal::Failing { error, retry_after_s } => {
                self.open(error, cool_down(error, self.openings + 1, settings), retry_after_s, now);
            }
            Signal::UsedUp { until } => self.use_up(until),
            Signal::Silent => {}
        }
    }

    fn called(&mut self, report: &Report<'_>, now: OffsetDateTime, settings: &BreakerSettings) {
        if self.closed_at.is_some_and(|closed| report.started_at < closed) {
            return;
        }
        match (report.signal, self.open_until) {
            // Only a probe can have started after the end of the cool-down. This one took longer than its lease.
            (Signal::Alive, Some(until)) if report.started_at >= until => self.close(now),
            (Signal::Silent, _) | (Signal::Alive, Some(_)) => {}
            (Signal::UsedUp { until }, _) => self.use_up(until),
            (Signal::Alive, None) => self.failures = self.failures.saturating_sub(1),
            // The call was in flight when the breaker opened. Only a later `Retry-After` is new evidence.
            (Signal::Failing { retry_after_s, .. }, Some(until)) => {
                if let Some(later) = asked(retry_after_s, now).filter(|at| *at > until) {
                    (self.open_until, self.used_up) = (Some(later), false);
                }
            }
            (Signal::Failing { error, retry_after_s }, None) => {
                self.failed(error, retry_after_s, now, settings);
            }
        }
    }

    fn failed(
        &mut self,
        error: ErrorName,
        retry_after_s: Option<u64>,
        now: OffsetDateTime,
        settings: &BreakerSettings,
    ) {
        self.failures = if self.is_watched(now) { self.failures + 1 } else { 1 };
        self.counts_until = Some(now + Duration::from_secs(settings.window_s));
        if error == ErrorName::TargetRejected || self.failures >= settings.failures {
            // The cool-down grows if a breaker opens again soon after it closed, and starts anew after a calm time.
            let calm = Duration::from_secs(settings.max_cool_down_s.saturating_mul(2));
            if self.closed_at.is_none_or(|closed| now - closed > calm) {
                self.openings = 0;
            }
            self.open(error, cool_down(error, self.openings + 1, settings), retry_after_s, now);
        } else if let Some(until) = asked(retry_after_s, now) {
            (self.open_until, self.cause) = (Some(until), Some(error));
        }
    }

    fn open(
        &mut self,
        error: ErrorName,
        cool_down: Duration,
        retry_after_s: Option<u64>,
        now: OffsetDateTime,
    ) {
        self.openings = self.openings.saturating_add(1);
        self.cause = Some(error);
        self.used_up = false;
        let until = now + cool_down;
        self.open_until = Some(asked(retry_after_s, now).map_or(until, |at| at.max(until)));
    }

    /// Opens the breaker until the daily quota is renewed. One refusal is enough evidence, as with a `Retry-After`.
    fn use_up(&mut self, until: OffsetDateTime) {
        self.open_until = Some(self.open_until.map_or(until, |open| open.max(until)));
        self.cause = Some(ErrorName::TargetThrottled);
        self.used_up = true;
    }

    fn close(&mut self, now: OffsetDateTime) {
        *self = Self { closed_at: Some(now), openings: self.openings, ..Self::default() };
    }
}

fn cool_down(error: ErrorName, openings: u32, settings: &BreakerSettings) -> Duration {
    match error {
        ErrorName::TargetRejected => Duration::from_secs(settings.set_aside_s),
        _ => settings.cool_down(openings),
    }
}

/// Returns the time until which the service asks for no calls, if it sent a `Retry-After`.
fn asked(retry_after_s: Option<u64>, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let seconds = retry_after_s.filter(|seconds| *seconds > 0)?;
    Some(now + Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

/// Returns the key of a target's breaker. The key includes the guardrail, so that a guardrail that does not exist does
/// not open the breaker for calls without it.
pub fn target_key(target: &Target) -> String {
    let mut key = format!("{}#{}", target.region, target.model_id);
    if let Some(account) = &target.account {
        key.push_str(&format!("#{account}"));
    }
    if let Some(guardrail) = &target.guardrail {
        key.push_str(&format!("#guardrail:{}:{}", guardrail.id, guardrail.version));
    }
    key
}

#[cfg(test)]
pub(crate) mod tests;
