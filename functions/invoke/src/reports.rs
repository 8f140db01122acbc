//! What calls say of their targets, on its way to the ledger beside the next call: a breaker opens while the
//! run is still going, and no call waits for it.

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

/// What a ledger has to take, to be told of calls.
pub trait TakeReports:
    ReadBreakers + ReadCaches + WriteBreaker + CountLatency + NoteCache + LogCall
{
}

impl<L> TakeReports for L where
    L: ReadBreakers + ReadCaches + WriteBreaker + CountLatency + NoteCache + LogCall
{
}

#[derive(Default)]
pub(crate) struct Reports<'a>(RefCell<FuturesUnordered<LocalBoxFuture<'a, ()>>>);

impl<'a> Reports<'a> {
    fn send(&self, report: impl Future<Output = ()> + 'a) {
        self.0.borrow_mut().push(Box::pin(report));
    }

    /// Carries on with the reports while `work` waits.
    pub async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
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

    /// Waits for those that are still under way.
    pub async fn finish(self) {
        self.0.into_inner().collect::<()>().await;
    }
}

/// Notes a call, beside it: should this function end before it can tell of it, the call is known to be lost.
pub(crate) fn begin<'a, S, M, C, L: TakeReports>(
    reports: &Reports<'a>,
    ports: &'a Ports<S, M, C, L>,
    request: &Request,
    call: LoggedCall,
) {
    let (run, step) = (request.run.reference.clone(), request.step.clone());
    reports.send(async move { ports.health.log_call(&run, &step, &call).await });
}

/// A call that is over.
pub(crate) struct Over<'a> {
    pub target: &'a Target,
    pub signal: Signal,
    /// The record of it, and of those before it in this step.
    pub attempt: &'a Attempt,
    pub before: &'a [Attempt],
    /// No schema had to be compiled, so its first token says how fast the target is.
    pub is_compiled: bool,
}

/// Tells the ledger what it does not know yet. An answer of a healthy target says nothing new, and costs
/// nothing.
pub(crate) fn tell<'a, S, M, C, L>(
    reports: &Reports<'a>,
    ports: &'a Ports<S, M, C, L>,
    request: &Request,
    plan: &Plan,
    over: &Over<'_>,
) where
    C: Clock,
    L: TakeReports,
{
    let Some(route) = plan.routes.get(&request.step.route) else { return };
    let (key, now) = (target_key(over.target), ports.clock.now());
    let probe = probe(request.decisions.last(), over);
    if probe.is_some() || is_news(request.decisions.last(), over) {
        let (signal, started_at) = (over.signal, over.attempt.started_at);
        let (key, settings) = (key.clone(), route.routing.breaker);
        reports.send(async move {
            let report = Report { signal, started_at, probe: probe.as_deref() };
            ports.health.report(&key, &report, now, &settings).await;
        });
    }
    if let Some(first_token_ms) = measured(route, over) {
        let key = key.clone();
        reports.send(async move {
            let counted = ports.health.ledger();
            note(counted.count(&key, slot(now), bucket(first_token_ms), now).await);
        });
    }
    if let Some((cache, lasts)) = warmed(route, over.attempt) {
        reports
            .send(async move { note(ports.health.ledger().note(&cache, &key, now + lasts).await) });
    }
}

/// Notes that the service has compiled a schema for a target.
pub(crate) fn note_grammar<'a, S, M, C: Clock, L: TakeReports>(
    reports: &Reports<'a>,
    ports: &'a Ports<S, M, C, L>,
    (schema, target): grammars::Key,
) {
    let until = ports.clock.now() + grammars::KEPT;
    reports.send(async move { note(ports.health.ledger().note(&schema, &target, until).await) });
}

/// The token, where this call was the probe.
fn probe(decision: Option<&Decision>, over: &Over<'_>) -> Option<String> {
    let decision = decision?;
    let Next::Targets(targets) = &decision.next else { return None };
    decision.probe.clone().filter(|_| targets.first() == Some(over.target))
}

/// A failure, once per step and target: what is wrong with a request must not speak against a target as often
/// as it is tried. An answer of a target that has failures on record.
fn is_news(decision: Option<&Decision>, over: &Over<'_>) -> bool {
    match over.signal {
        Signal::Silent => false,
        Signal::UsedUp { .. } => true,
        Signal::Alive => decision.is_some_and(|decision| is_watched(decision, over.target)),
        Signal::Failing { retry_after_s, .. } => {
            let failed = |attempt: &Attempt| {
                attempt.target == *over.target && attempt.error.is_some_and(ErrorName::fails_over)
            };
            retry_after_s.is_some() || !over.before.iter().any(failed)
        }
    }
}

fn is_watched(decision: &Decision, target: &Target) -> bool {
    let Next::Targets(targets) = &decision.next else { return false };
    decision.watched.iter().any(|place| targets.get(*place) == Some(target))
}

fn measured(route: &Route, over: &Over<'_>) -> Option<u64> {
    let asked_for = route.routing.strategy == Strategy::Latency && over.is_compiled;
    over.attempt.first_token_ms.filter(|_| asked_for)
}

/// The prompt lies in the target's cache now, and for how long.
fn warmed(route: &Route, attempt: &Attempt) -> Option<(String, Duration)> {
    let cached = route.expected.as_ref()?.cached.as_ref()?;
    let usage = attempt.usage?;
    let used = usage.cache_read_tokens + usage.cache_write_5m_tokens + usage.cache_write_1h_tokens;
    (used > 0).then(|| (cached.key.clone(), cached.lasts.duration()))
}

/// Statistics: a call that is missing in them changes no answer.
fn note(counted: Result<(), Fault>) {
    if let Err(fault) = counted {
        tracing::warn!("a call is missing in the ledger's statistics: {}", fault.message);
    }
}
