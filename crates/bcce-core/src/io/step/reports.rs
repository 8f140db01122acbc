//! Reports calls and the health of their targets to the ledger. The reports are sent during the next call, so a breaker
//! opens while the run is still under way, and no call waits for a report.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures::StreamExt;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use time::OffsetDateTime;

use super::grammars;
use super::work::StepWork;
use crate::base::error::{ErrorName, Fault};
use crate::base::target::Target;
use crate::call::attempt::Attempt;
use crate::config::routing::Strategy;
use crate::failover::breaker::{Report, Signal, target_key};
use crate::failover::decision::{Decision, Next};
use crate::failover::latency::{bucket, slot};
use crate::failover::route::Route;
use crate::io::shared_breakers::SharedBreakers;
use crate::ports::{
    CountLatency, EnterResponse, FindResponse, NoteCache, ReadBreakers, ReadCaches, WriteBreaker,
};

/// A ledger that accepts the reports of calls, and what the response cache enters of them.
pub trait TakeReports:
    ReadBreakers + ReadCaches + WriteBreaker + CountLatency + NoteCache + FindResponse + EnterResponse
{
}

impl<L> TakeReports for L where
    L: ReadBreakers
        + ReadCaches
        + WriteBreaker
        + CountLatency
        + NoteCache
        + FindResponse
        + EnterResponse
{
}

/// The reports that are being sent.
#[derive(Default)]
pub struct Reports<'a>(RefCell<FuturesUnordered<LocalBoxFuture<'a, ()>>>);

impl<'a> Reports<'a> {
    /// Adds a report. It is sent while [`Reports::send_during`] or [`Reports::finish`] waits.
    pub fn add(&self, report: impl Future<Output = ()> + 'a) {
        self.0.borrow_mut().push(Box::pin(report));
    }

    /// Runs `work`, and sends the reports while it waits.
    pub async fn send_during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            let mut reports = self.0.borrow_mut();
            while let Poll::Ready(Some(())) = reports.poll_next_unpin(context) {}
            Poll::Pending
        })
        .await
    }

    /// Waits for the reports that are still under way.
    pub async fn finish(self) {
        self.0.into_inner().collect::<()>().await;
    }

    /// Reports a call to the ledger, if it changes the target's breaker, its latency or its warm cache. An answer of a
    /// healthy target causes no write. `is_heard` is false if the breaker hears of the call only if it was the probe.
    pub(super) fn report_call<L: TakeReports>(
        &self,
        health: &'a SharedBreakers<L>,
        work: &StepWork<'_>,
        call: &FinishedCall<'_>,
        is_heard: bool,
        now: OffsetDateTime,
    ) {
        let (Some(route), decision) = (work.route(), work.decided.decisions.last()) else { return };
        let key = target_key(&call.attempt.target);
        let probe = probe(decision, call);
        if probe.is_some() || is_heard && is_news(decision, call, &work.attempts) {
            let (signal, started_at) = (call.signal, call.attempt.started_at);
            let (key, settings) = (key.clone(), route.routing.breaker);
            self.add(async move {
                let report = Report { signal, started_at, probe: probe.as_deref() };
                health.report(&key, &report, now, &settings).await;
            });
        }
        if let Some(first_token_ms) = measured(route, call) {
            let key = key.clone();
            self.add(async move {
                let counted = health.ledger();
                note(counted.count(&key, slot(now), bucket(first_token_ms), now).await);
            });
        }
        if let Some((cache, lasts)) = warmed(route, call.attempt) {
            self.add(async move { note(health.ledger().note(&cache, &key, now + lasts).await) });
        }
    }

    /// Records in the ledger that the service has compiled or refused a schema for a target.
    pub(super) fn note_grammar<L: TakeReports>(
        &self,
        health: &'a SharedBreakers<L>,
        (schema, target): grammars::Key,
        now: OffsetDateTime,
    ) {
        let until = now + grammars::KEPT;
        self.add(async move { note(health.ledger().note(&schema, &target, until).await) });
    }
}

/// A call that is over.
#[derive(Clone, Copy, Debug)]
pub struct FinishedCall<'a> {
    /// The health of the target, as this call shows it.
    pub signal: Signal,
    pub attempt: &'a Attempt,
    /// True if no schema had to be compiled, so that the time to the first token measures the target.
    pub is_compiled: bool,
}

/// Returns the token of the election if this call was the probe.
fn probe(decision: Option<&Decision>, call: &FinishedCall<'_>) -> Option<String> {
    let decision = decision?;
    let Next::Targets(targets) = &decision.next else { return None };
    decision.probe.clone().filter(|_| targets.first() == Some(&call.attempt.target))
}

/// Returns true if the target's breaker has to record a call: an answer of a target that has failures on record, or a
/// failure. A failure counts once per step and target, so that a faulty request does not open a breaker by being
/// retried. `before` has the earlier attempts of the step.
fn is_news(decision: Option<&Decision>, call: &FinishedCall<'_>, before: &[Attempt]) -> bool {
    let target = &call.attempt.target;
    match call.signal {
        Signal::Silent => false,
        Signal::UsedUp { .. } => true,
        Signal::Alive => decision.is_some_and(|decision| is_watched(decision, target)),
        Signal::Failing { retry_after_s, .. } => {
            let failed = |attempt: &Attempt| {
                attempt.target == *target && attempt.error.is_some_and(ErrorName::fails_over)
            };
            retry_after_s.is_some() || !before.iter().any(failed)
        }
    }
}

/// Returns true if the target had failures on record when the router decided.
fn is_watched(decision: &Decision, target: &Target) -> bool {
    let Next::Targets(targets) = &decision.next else { return false };
    decision.watched.iter().any(|place| targets.get(*place) == Some(target))
}

/// Returns the time to the first token, in milliseconds, if the route needs latencies.
fn measured(route: &Route, call: &FinishedCall<'_>) -> Option<u64> {
    let asked_for = route.routing.strategy == Strategy::Latency && call.is_compiled;
    call.attempt.first_token_ms.filter(|_| asked_for)
}

/// Returns the key of the prompt in the target's cache, and the time for which the cache holds it. Returns `None` if
/// the call did not use the cache.
fn warmed(route: &Route, attempt: &Attempt) -> Option<(String, Duration)> {
    let cached = route.expected.as_ref()?.cached.as_ref()?;
    let usage = attempt.usage?;
    let used = usage.cache_read_tokens + usage.cache_write_5m_tokens + usage.cache_write_1h_tokens;
    (used > 0).then(|| (cached.key.clone(), cached.lasts.duration()))
}

/// Logs that statistics could not be written. The call's outcome does not depend on them.
fn note(counted: Result<(), Fault>) {
    if let Err(fault) = counted {
        tracing::warn!("a call is missing in the ledger's statistics: {}", fault.message);
    }
}
