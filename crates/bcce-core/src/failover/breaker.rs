//! The circuit breaker of a target, shared by every run through the ledger.
//!
//! A breaker counts failures less answers, and at `failures` it opens: the target is left alone for a cool-down. Then
//! one step is elected to probe it, whose call closes the breaker or opens it for longer. A `Retry-After` opens it at
//! once, since the service itself says until when, and so does a quota of the day that is used up; a rejected target is
//! set aside for minutes, since a person has to mend it.
//!
//! Answers are counted only while there are failures on record, and they come later than failures do. So a
//! target one of whose three calls fails is left alone, and one error in a hundred opens nothing as long as
//! fewer than `failures` of them fall into the time that an answer takes.
//!
//! Everything here is a pure transition of one breaker; `io::shared_breakers` shares them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::error::ErrorName;
use crate::base::target::Target;
use crate::call::attempt::AttemptOutcome;
use crate::call::model::{Blame, CallFailure};
use crate::config::breakers::BreakerSettings;

/// The longest `Retry-After` that a breaker follows: one probe per ten minutes offends no service.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// What a finished call shows about its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It answers: an answer, be it a refusal of this request or a guardrail's.
    Alive,
    /// It is out of order, or out of quota.
    Failing { error: ErrorName, retry_after_s: Option<u64> },
    /// Its quota of the day is used up until then.
    UsedUp { until: OffsetDateTime },
    /// Nothing: the caller gave up, or the model failed over this very request.
    Silent,
}

impl Signal {
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

/// A finished call, as its breaker sees it.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    pub signal: Signal,
    /// A call that was sent before a breaker closed shows nothing about the time after.
    pub started_at: OffsetDateTime,
    /// The token of the election, where the call was the probe.
    pub probe: Option<&'a str>,
}

/// The status of a breaker at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerStatus {
    Closed,
    Open {
        until: OffsetDateTime,
    },
    /// Open, and its cool-down is over: half-open as soon as a step is elected to probe it.
    Due,
    /// Half-open: another step is probing it.
    Probed {
        until: OffsetDateTime,
    },
}

/// The breaker of one target, as the ledger keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Failures less answers, never below 0.
    pub failures: u32,
    /// The time until which failures count.
    #[serde(with = "time::serde::rfc3339::option", default)]
    pub counts_until: Option<OffsetDateTime>,
    /// `None` if it is closed.
    #[serde(with = "time::serde::rfc3339::option", default)]
    pub open_until: Option<OffsetDateTime>,
    /// Why it opened last.
    #[serde(default)]
    pub cause: Option<ErrorName>,
    /// It opened because a quota of the day is used up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub used_up: bool,
    /// How often it opened in a row.
    #[serde(default)]
    pub openings: u32,
    #[serde(with = "time::serde::rfc3339::option", default)]
    pub closed_at: Option<OffsetDateTime>,
    #[serde(default)]
    pub probe: Option<Probe>,
}

/// The one call that an open breaker lets pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Token of the step that was elected.
    pub holder: String,
    /// When another step may be elected: the holder may be gone.
    #[serde(with = "time::serde::rfc3339")]
    pub until: OffsetDateTime,
}

impl Breaker {
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

    /// Returns whether an answer would count: failures are on record.
    pub fn is_watched(&self, now: OffsetDateTime) -> bool {
        self.failures > 0 && self.counts_until.is_some_and(|until| until > now)
    }

    pub fn is_probed_by(&self, holder: &str) -> bool {
        self.probe.as_ref().is_some_and(|probe| probe.holder == holder)
    }

    /// Elects `holder` to probe. Returns `false` if it may not probe.
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
            // Only probes are sent once it is due: one whose answer took longer than its lease.
            (Signal::Alive, Some(until)) if report.started_at >= until => self.close(now),
            (Signal::Silent, _) | (Signal::Alive, Some(_)) => {}
            (Signal::UsedUp { until }, _) => self.use_up(until),
            (Signal::Alive, None) => self.failures = self.failures.saturating_sub(1),
            // In flight while it opened. Only what the service itself asks for is new.
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
            // What opens again soon after it closed flaps, and is left alone for longer each time.
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

    /// One refusal is evidence enough, as with a `Retry-After`, and it holds for as long as the quota says.
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

fn asked(retry_after_s: Option<u64>, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let seconds = retry_after_s.filter(|seconds| *seconds > 0)?;
    Some(now + Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

/// Returns the key of a target's breaker. A guardrail that does not exist must not set the model aside for those
/// who ask it without.
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
