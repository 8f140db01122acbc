//! Tests of what an admission decides. The tests of the function `invoke` cover the calls themselves.

mod cached; // the prompt cache

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};
use time::macros::datetime;

use super::*;
use crate::base::error::ErrorName;
use crate::call::cache_points::{Block, Blocks};
use crate::call::model::{Blame, CallFailure, CallReport, ModelAnswer, ModelCall, Served};
use crate::config::cache::CacheTtl;
use crate::failover::breaker::{Breaker, target_key};
use crate::failover::decision::{Decision, Next};
use crate::fakes::{MemoryHealth, StoppedClock, now};
use crate::ports::StoredBreaker;
use crate::run::ids::{Run, StepRef};
use crate::run::plan::Plan;

const PLAN: &str = include_str!("../../../../../events/invoke/plan.json");
const EVENT: &str = include_str!("../../../../../events/invoke/first.json");
const NOW: OffsetDateTime = datetime!(2026-11-01 12:00:01 UTC);
const SECOND: Duration = Duration::from_secs(1);

/// A model that answers as scripted, in order, and records the time of each call.
struct Model {
    says: RefCell<VecDeque<CallReport>>,
    times: RefCell<Vec<Duration>>,
    /// The user message of each call, the number of its cache points, and their lifetime.
    sent: RefCell<Vec<(String, usize, Option<CacheTtl>)>>,
}

impl CallModel for &Model {
    async fn call(&self, call: &ModelCall<'_>) -> CallReport {
        self.times.borrow_mut().push(call.limits.attempt);
        let blocks = Blocks::of(call.prompt, call.cache.is_some());
        let all = blocks.system.iter().chain(&blocks.user);
        let points = all.filter(|block| **block == Block::CachePoint).count();
        self.sent.borrow_mut().push((call.prompt.user.clone(), points, call.cache));
        self.says.borrow_mut().pop_front().expect("a call that the test did not script")
    }
}

fn report(result: Result<ModelAnswer, CallFailure>) -> CallReport {
    let (latency, first_token) = (SECOND, Some(SECOND));
    CallReport { result, latency, first_token, usage: None, served: Served::default() }
}

fn says(text: &str) -> CallReport {
    report(Ok(ModelAnswer { text: text.into(), stop_reason: "end_turn".into(), thought: false }))
}

fn throttles() -> CallReport {
    report(Err(CallFailure {
        name: ErrorName::TargetThrottled,
        message: "throttled".into(),
        advice: None,
        retry_after_s: None,
        blame: Blame::Target,
    }))
}

/// An admission that admits calls as scripted, in order, each at a time.
struct Scripted {
    admits: RefCell<VecDeque<Option<OffsetDateTime>>>,
    /// The number of attempts before each call.
    before: RefCell<Vec<usize>>,
    sizes: RefCell<Vec<CallSize>>,
    is_heard: bool,
    ended: Cell<usize>,
}

impl Scripted {
    fn new(admits: impl IntoIterator<Item = Option<OffsetDateTime>>) -> Self {
        let admits = RefCell::new(admits.into_iter().collect());
        let (before, sizes) = (RefCell::default(), RefCell::default());
        Self { admits, before, sizes, is_heard: true, ended: Cell::default() }
    }
}

impl Admission for Scripted {
    async fn admit(
        &self,
        work: &StepWork<'_>,
        _: &Target,
        size: CallSize,
    ) -> Result<Admitted, Fault> {
        self.sizes.borrow_mut().push(size);
        self.before.borrow_mut().push(work.attempts.len());
        let admitted = self.admits.borrow_mut().pop_front();
        let admitted = admitted.expect("a call that the test did not admit");
        Ok(admitted.map_or(Admitted::NotNow, Admitted::At))
    }

    fn ended(&self, _: &StepWork<'_>, _: &FinishedCall<'_>) -> bool {
        self.ended.set(self.ended.get() + 1);
        self.is_heard
    }
}

/// A step that `execute` is called with.
struct Sample {
    run: Run,
    reference: StepRef,
    decisions: Vec<Decision>,
    plan: Plan,
    until: OffsetDateTime,
    model: Model,
}

/// Returns the step of the sample event, whose plan is changed by `change`.
fn sample(says: impl IntoIterator<Item = CallReport>, change: impl Fn(&mut Value)) -> Sample {
    let event: Value = serde_json::from_str(EVENT).unwrap();
    let mut plan: Value = serde_json::from_str(PLAN).unwrap();
    change(&mut plan);
    let says = RefCell::new(says.into_iter().collect());
    Sample {
        run: serde_json::from_value(event["run"].clone()).unwrap(),
        reference: serde_json::from_value(event["step"].clone()).unwrap(),
        decisions: serde_json::from_value(event["decisions"].clone()).unwrap(),
        plan: serde_json::from_value(plan).unwrap(),
        until: NOW + 900 * SECOND,
        model: Model { says, times: RefCell::default(), sent: RefCell::default() },
    }
}

fn targets(sample: &Sample) -> Vec<Target> {
    let Next::Targets(targets) = &sample.decisions[0].next else { panic!() };
    targets.clone()
}

fn run(sample: &Sample, admission: &Scripted, ledger: &MemoryHealth) -> Walked {
    let caller = Caller {
        model: &sample.model,
        clock: StoppedClock(NOW),
        health: SharedBreakers::new(ledger),
        grammars: Grammars::default(),
    };
    let Sample { run, reference, decisions, plan, until, .. } = sample;
    let step = plan.step(&reference.step).unwrap();
    let context = prompt_context(plan, step, None, serde_json::Map::new()).unwrap();
    let work = StepWork {
        decided: DecidedStep { run, reference, decisions },
        plan,
        step,
        context: &context,
        deadline: NOW + 3_600 * SECOND,
        until: *until,
        attempts: Vec::new(),
    };
    let (reports, targets) = (Reports::default(), targets(sample));
    now(async {
        let walked = execute(&caller, &reports, admission, work, &targets);
        let walked = reports.send_during(walked).await.unwrap();
        reports.finish().await;
        walked
    })
}

#[test]
fn a_call_that_is_not_admitted_interrupts_the_step() {
    let sample = sample([throttles()], |_| {});
    let admission = Scripted::new([Some(NOW), None]);
    let walked = run(&sample, &admission, &MemoryHealth::default());
    let Walked::Interrupted { attempts } = walked else { panic!("{walked:?}") };
    assert_eq!((attempts.len(), sample.model.times.borrow().len()), (1, 1));
    assert_eq!((&*admission.before.borrow(), admission.ended.get()), (&vec![0, 1], 1));
}

#[test]
fn a_repair_that_is_not_admitted_leaves_the_invalid_answer_on_record() {
    let sample =
        sample([says("no")], |plan| plan["steps"][0]["output"] = json!({ "type": "json" }));
    let walked = run(&sample, &Scripted::new([Some(NOW), None]), &MemoryHealth::default());
    let Walked::Interrupted { attempts } = walked else { panic!("{walked:?}") };
    assert_eq!(attempts[0].error, Some(ErrorName::OutputInvalid));
}

#[test]
fn a_call_starts_when_it_is_admitted_and_has_the_time_that_is_left_then() {
    let sample = sample([says("Yes.")], |_| {});
    let admitted = sample.until - 7 * SECOND;
    let walked = run(&sample, &Scripted::new([Some(admitted)]), &MemoryHealth::default());
    let Walked::Answered { attempts, .. } = walked else { panic!("{walked:?}") };
    assert_eq!(attempts[0].started_at, admitted);
    assert_eq!(*sample.model.times.borrow(), [7 * SECOND]);
}

#[test]
fn a_call_that_is_admitted_too_late_is_not_made() {
    let sample = sample([], |_| {});
    let late = sample.until - SECOND / 2;
    let walked = run(&sample, &Scripted::new([Some(late)]), &MemoryHealth::default());
    assert!(matches!(walked, Walked::Interrupted { .. }), "{walked:?}");
}

/// Another function goes on with the step, which has calls left.
#[test]
fn a_function_without_time_interrupts_the_step() {
    let mut sample = sample([], |_| {});
    sample.until = NOW;
    let walked = run(&sample, &Scripted::new([]), &MemoryHealth::default());
    assert!(matches!(walked, Walked::Interrupted { .. }), "{walked:?}");
}

#[test]
fn a_breaker_hears_of_the_failures_that_the_admission_passes_on() {
    for (is_heard, heard) in [(true, 2), (false, 0)] {
        let sample = sample([throttles(), throttles()], |_| {});
        let admission = Scripted { is_heard, ..Scripted::new([Some(NOW), Some(NOW)]) };
        let ledger = MemoryHealth::default();
        let walked = run(&sample, &admission, &ledger);
        assert!(matches!(walked, Walked::Exhausted { .. }), "{walked:?}");
        let failures: u32 = ledger.kept.borrow().values().map(|kept| kept.breaker.failures).sum();
        assert_eq!(failures, heard);
    }
}

/// All other steps wait for the outcome of the probe.
#[test]
fn a_breaker_hears_of_its_probe_in_any_case() {
    let mut sample = sample([says("Yes.")], |_| {});
    sample.decisions[0].probe = Some("token".into());
    let mut open = Breaker { open_until: Some(NOW), ..Breaker::default() };
    assert!(open.elect("token", NOW, 9 * SECOND));
    let (ledger, key) = (MemoryHealth::default(), target_key(&targets(&sample)[0]));
    ledger.kept.borrow_mut().insert(key.clone(), StoredBreaker { breaker: open, revision: 3 });
    let admission = Scripted { is_heard: false, ..Scripted::new([Some(NOW)]) };
    let walked = run(&sample, &admission, &ledger);
    assert!(matches!(walked, Walked::Answered { .. }), "{walked:?}");
    assert_eq!(ledger.kept.borrow()[&key].breaker.closed_at, Some(NOW));
}
