//! Reports calls and the health of their targets to the ledger. The reports are sent during the next call, so a breaker
//! opens while the run is still under way, and no call waits for a report.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::base::target::Target;
use bcce_core::call::attempt::Attempt;
use bcce_core::config::routing::Strategy;
use bcce_core::failover::breaker::{Report, Signal, target_key};
use bcce_core::failover::decision::{Decision, Next};
use bcce_core::failover::latency::{bucket, slot};
use bcce_core::failover::route::Route;
use bcce_core::ports::{
    Clock, CountLatency, LogCall, NoteCache, ReadBreakers, ReadCaches, WriteBreaker,
};
use bcce_core::run::call_log::LoggedCall;
use bcce_core::run::plan::Plan;
use futures::StreamExt;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;

use crate::{Ports, Request, grammars};

/// A ledger that accepts the reports of calls.
pub trait TakeReports:
    ReadBreakers + ReadCaches + WriteBreaker + CountLatency + NoteCache + LogCall
{
}

impl<L> TakeReports for L where
    L: ReadBreakers + ReadCaches + WriteBreaker + CountLatency + NoteCache + LogCall
{
}

/// The reports that are being sent.
#[derive(Default)]
pub(crate) struct Reports<'a>(RefCell<FuturesUnordered<LocalBoxFuture<'a, ()>>>);

impl<'a> Reports<'a> {
    fn add(&self, report: impl Future<Output = ()> + 'a) {
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
}

/// Adds a call to the call log while it is made. If the function ends before it stores the attempt, the call log shows
/// the lost call.
pub(crate) fn log_call<'a, S, M, C, L: TakeReports, F>(
    reports: &Reports<'a>,
    ports: &'a Ports<S, M, C, L, F>,
    request: &Request,
    call: LoggedCall,
) {
    let (run, step) = (request.run.reference.clone(), request.step.clone());
    reports.add(async move { ports.health.log_call(&run, &step, &call).await });
}

/// A call that is over.
pub(crate) struct FinishedCall<'a> {
    pub target: &'a Target,
    /// The health of the target, as this call shows it.
    pub signal: Signal,
    pub attempt: &'a Attempt,
    /// The earlier attempts of the step.
    pub before: &'a [Attempt],
    /// True if no schema had to be compiled, so that the time to the first token measures the target.
    pub is_compiled: bool,
}

/// Reports a call to the ledger, if it changes the target's breaker, its latency or its warm cache. An answer of a
/// healthy target causes no write.
pub(crate) fn report_call<'a, S, M, C, L, F>(
    reports: &Reports<'a>,
    ports: &'a Ports<S, M, C, L, F>,
    request: &Request,
    plan: &Plan,
    call: &FinishedCall<'_>,
) where
    C: Clock,
    L: TakeReports,
{
    let Some(route) = plan.routes.get(&request.step.route) else { return };
    let (key, now) = (target_key(call.target), ports.clock.now());
    let probe = probe(request.decisions.last(), call);
    if probe.is_some() || is_news(request.decisions.last(), call) {
        let (signal, started_at) = (call.signal, call.attempt.started_at);
        let (key, settings) = (key.clone(), route.routing.breaker);
        reports.add(async move {
            let report = Report { signal, started_at, probe: probe.as_deref() };
            ports.health.report(&key, &report, now, &settings).await;
        });
    }
    if let Some(first_token_ms) = measured(route, call) {
        let key = key.clone();
        reports.add(async move {
            let counted = ports.health.ledger();
            note(counted.count(&key, slot(now), bucket(first_token_ms), now).await);
        });
    }
    if let Some((cache, lasts)) = warmed(route, call.attempt) {
        reports
            .add(async move { note(ports.health.ledger().note(&cache, &key, now + lasts).await) });
    }
}

/// Records in the ledger that the service has compiled or refused a schema for a target.
pub(crate) fn note_grammar<'a, S, M, C: Clock, L: TakeReports, F>(
    reports: &Reports<'a>,
    ports: &'a Ports<S, M, C, L, F>,
    (schema, target): grammars::Key,
) {
    let until = ports.clock.now() + grammars::KEPT;
    reports.add(async move { note(ports.health.ledger().note(&schema, &target, until).await) });
}

/// Returns the token of the election if this call was the probe.
fn probe(decision: Option<&Decision>, call: &FinishedCall<'_>) -> Option<String> {
    let decision = decision?;
    let Next::Targets(targets) = &decision.next else { return None };
    decision.probe.clone().filter(|_| targets.first() == Some(call.target))
}

/// Returns true if the target's breaker has to record a call: an answer of a target that has failures on record, or a
/// failure. A failure counts once per step and target, so that a faulty request does not open a breaker by being
/// retried.
fn is_news(decision: Option<&Decision>, call: &FinishedCall<'_>) -> bool {
    match call.signal {
        Signal::Silent => false,
        Signal::UsedUp { .. } => true,
        Signal::Alive => decision.is_some_and(|decision| is_watched(decision, call.target)),
        Signal::Failing { retry_after_s, .. } => {
            let failed = |attempt: &Attempt| {
                attempt.target == *call.target && attempt.error.is_some_and(ErrorName::fails_over)
            };
            retry_after_s.is_some() || !call.before.iter().any(failed)
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
