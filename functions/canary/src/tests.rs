use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use bcce_core::base::error::ErrorName;
use bcce_core::base::target::Guardrail;
use bcce_core::base::usage::Usage;
use bcce_core::call::model::{Blame, CallFailure, CallReport, ModelAnswer, ModelCall, Served};
use bcce_core::config::policy::DataRetention;
use bcce_core::config::profiles::Profile;
use bcce_core::fakes::{MemoryHealth, MemoryParameters, MemoryStore};
use bcce_core::ledger::usage::CountedCalls;
use bcce_core::ports::{Parameter, ReportedFindings, StoredBreaker};
use bcce_core::standby::alert::StandbyAlert;
use bcce_core::standby::canary::LastCall;
use bcce_core::standby::facts::{Access, Agreement, ModelFacts};
use bcce_core::standby::finding::{Check, Level};
use bcce_core::standby::quotas::Quota;
use rust_decimal::Decimal;
use time::OffsetDateTime;
use time::macros::datetime;

use super::*;

const NOON: OffsetDateTime = datetime!(2026-11-30 12:07 UTC);
const DEAD: &str = "us.anthropic.claude-opus-5";

/// Everything outside of the function, in memory.
#[derive(Default)]
struct Outside {
    parameters: RefCell<BTreeMap<String, String>>,
    now: Cell<Option<OffsetDateTime>>,
    called: RefCell<Vec<String>>,
    call_takes: Cell<Duration>,
    rejecting: RefCell<BTreeSet<String>>,
    calls: RefCell<BTreeMap<String, LastCall>>,
    counted: RefCell<Vec<CountedCalls>>,
    reported: RefCell<ReportedFindings>,
    alerts: RefCell<Vec<StandbyAlert>>,
    is_topic_gone: Cell<bool>,
    is_control_gone: Cell<bool>,
    /// The region in which no question is answered, and no error returned.
    hanging_region: RefCell<Option<String>>,
    quota: Cell<f64>,
    further_region: RefCell<Option<String>>,
    metrics: RefCell<Vec<String>>,
}

type World = &'static Outside;

impl GetParameters for World {
    async fn parameters(&self, names: &[String]) -> Result<BTreeMap<String, Parameter>, Fault> {
        let parameters = MemoryParameters(self.parameters.borrow().clone());
        parameters.parameters(names).await
    }
}

impl PutParameter for World {
    async fn put_parameter(&self, name: &str, value: &str) -> Result<(), Fault> {
        self.parameters.borrow_mut().insert(name.to_owned(), value.to_owned());
        Ok(())
    }
}

/// A store that takes documents.
struct Store(MemoryStore);

impl GetObject for Store {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        self.0.get(key).await
    }
}

impl PutDocument for Store {
    async fn put_document(&self, key: &str, body: &[u8]) -> Result<(), Fault> {
        self.0.objects.borrow_mut().insert(key.to_owned(), body.to_vec());
        Ok(())
    }
}

impl Clock for World {
    fn now(&self) -> OffsetDateTime {
        self.now.get().unwrap_or(NOON)
    }
}

impl CallModel for World {
    async fn call(&self, call: &ModelCall<'_>) -> CallReport {
        self.called.borrow_mut().push(call.target.to_string());
        self.now.set(self.now.get().map(|now| now + self.call_takes.get()));
        assert_eq!(call.parameters.max_tokens, 1);
        let answer =
            ModelAnswer { text: String::new(), stop_reason: "max_tokens".into(), thought: false };
        let rejected = CallFailure {
            name: ErrorName::TargetRejected,
            message: "AccessDeniedException (403): no".into(),
            advice: Some("allow it".into()),
            retry_after_s: None,
            blame: Blame::Target,
        };
        let is_rejected = self.rejecting.borrow().contains(&call.target.model_id);
        let used = Usage { input_tokens: 12, output_tokens: 1, ..Usage::default() };
        CallReport {
            result: if is_rejected { Err(rejected) } else { Ok(answer) },
            latency: Duration::from_millis(500),
            first_token: None,
            usage: Some(if is_rejected { Usage::default() } else { used }),
            served: Served::default(),
        }
    }
}

impl Outside {
    async fn answer(&self, region: &str) -> Result<(), Fault> {
        if self.hanging_region.borrow().as_deref() == Some(region) {
            std::future::pending::<()>().await;
        }
        match self.is_control_gone.get() {
            true => Err(Fault::internal("bedrock:Get: AccessDeniedException")),
            false => Ok(()),
        }
    }
}

impl DescribeModel for World {
    async fn describe_model(
        &self,
        region: &str,
        _: &str,
    ) -> Result<Result<ModelFacts, String>, Fault> {
        self.answer(region).await.map(|()| Ok(ModelFacts::default()))
    }
}

impl ReadAccess for World {
    async fn access(&self, region: &str, _: &str) -> Result<Access, Fault> {
        let (is_authorized, is_entitled, is_in_region) = (true, true, true);
        let agreement = Agreement::Accepted;
        self.answer(region).await.map(|()| Access {
            agreement,
            is_authorized,
            is_entitled,
            is_in_region,
        })
    }
}

impl DescribeProfile for World {
    async fn describe_profile(
        &self,
        region: &str,
        id: &str,
    ) -> Result<Result<Profile, String>, Fault> {
        self.answer(region).await?;
        let mut regions: BTreeSet<String> =
            ["us-east-1", "us-east-2", "us-west-2"].map(str::to_owned).into();
        regions.extend(self.further_region.borrow().clone());
        let model = id.trim_start_matches("us.").to_owned();
        let (region, id, regions) = (region.into(), id.into(), regions.into_iter().collect());
        Ok(Ok(Profile { region, id, model, regions }))
    }
}

impl CheckGuardrail for World {
    async fn check_guardrail(&self, _: &str, _: &Guardrail) -> Result<Result<(), String>, Fault> {
        unreachable!("the dev configuration has no guardrail")
    }
}

impl ReadDataRetention for World {
    async fn data_retention(&self, region: &str) -> Result<DataRetention, Fault> {
        self.answer(region).await.map(|()| DataRetention::Default)
    }
}

impl ReadQuotas for World {
    async fn quotas(&self, region: &str) -> Result<Vec<Quota>, Fault> {
        let name = "Cross-region model inference tokens per minute for Anthropic Claude Opus 5";
        let (name, code, value) = (name.to_owned(), "L-1".to_owned(), self.quota.get());
        self.answer(region).await.map(|()| vec![Quota { name, code, value }])
    }
}

impl ReadLastCalls for World {
    async fn last_calls(&self, keys: &[String]) -> Result<Vec<Option<LastCall>>, Fault> {
        let calls = self.calls.borrow();
        Ok(keys.iter().map(|key| calls.get(key).cloned()).collect())
    }
}

impl ClaimCanaryCall for World {
    async fn claim_canary_call(
        &self,
        key: &str,
        before: Option<&LastCall>,
        call: &LastCall,
    ) -> Result<bool, Fault> {
        let mut calls = self.calls.borrow_mut();
        let is_mine = calls.get(key) == before;
        if is_mine {
            calls.insert(key.to_owned(), call.clone());
        }
        Ok(is_mine)
    }
}

impl RecordCanaryCall for World {
    async fn record_canary_call(
        &self,
        key: &str,
        claim: &LastCall,
        call: &LastCall,
        counted: &CountedCalls,
    ) -> Result<(), Fault> {
        let before = self.calls.borrow_mut().insert(key.to_owned(), call.clone());
        assert_eq!(before.as_ref(), Some(claim));
        self.counted.borrow_mut().push(counted.clone());
        Ok(())
    }
}

impl ReadReportedFindings for World {
    async fn reported_findings(&self) -> Result<ReportedFindings, Fault> {
        Ok(self.reported.borrow().clone())
    }
}

impl WriteReportedFindings for World {
    async fn write_reported_findings(
        &self,
        read: &ReportedFindings,
        keys: &BTreeSet<String>,
    ) -> Result<bool, Fault> {
        let mut reported = self.reported.borrow_mut();
        let is_mine = reported.revision == read.revision;
        if is_mine {
            *reported = ReportedFindings { keys: keys.clone(), revision: read.revision + 1 };
        }
        Ok(is_mine)
    }
}

impl PublishStandbyAlert for World {
    async fn publish_standby_alert(&self, alert: &StandbyAlert) -> Result<(), Fault> {
        if self.is_topic_gone.get() {
            return Err(Fault::internal("the topic is unreachable on request"));
        }
        self.alerts.borrow_mut().push(alert.clone());
        Ok(())
    }
}

type Health = &'static MemoryHealth;
type Fakes =
    Ports<Store, World, World, Health, World, World, World, World, World, Box<dyn Fn(&str)>>;

/// Returns a stack with the dev configuration, in which everything is healthy.
fn stack() -> (World, Fakes) {
    let world: World = Box::leak(Box::default());
    world.quota.set(1e6);
    let documents = [
        ("models", include_str!("../../../infra/config/dev/models.yaml")),
        ("policy", include_str!("../../../infra/config/dev/policy.yaml")),
        ("prices", include_str!("../../../infra/config/dev/prices.yaml")),
    ];
    let parameters = documents.map(|(name, text)| (format!("/bcce/dev/{name}"), text.to_owned()));
    *world.parameters.borrow_mut() = parameters.into();
    let ports = Ports {
        store: Store(MemoryStore::default()),
        parameters: world,
        ledger: world,
        health: &*Box::leak(Box::default()),
        model: world,
        control: world,
        quotas: world,
        topic: world,
        clock: world,
        metrics: Box::new(|line: &str| world.metrics.borrow_mut().push(line.to_owned())) as Box<_>,
    };
    (world, ports)
}

fn config() -> Config {
    Config {
        environment: "dev".into(),
        bucket: "b".into(),
        key_arn: "k".into(),
        ledger_table: "t".into(),
        topic_arn: "a".into(),
        bedrock_endpoint: None,
    }
}

/// Returns the value of a future that uses fakes and timers.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.unwrap().block_on(future)
}

fn watch(ports: &Fakes, event: &str) -> Result<Response, Fault> {
    let request: Request = serde_json::from_str(event).unwrap();
    block_on(handle(ports, &config(), Request { remaining: Duration::from_secs(300), ..request }))
}

/// A time of which the questions get 50 ms.
const TIGHT: Duration = Duration::from_millis(150);
const SCHEDULE: &str = include_str!("../../../events/canary/schedule.json");
const LIVE: &str = include_str!("../../../events/canary/live.json");

#[test]
fn a_healthy_stack_is_called_once_a_day_and_nothing_is_reported() {
    let (world, ports) = stack();
    let first = watch(&ports, SCHEDULE).unwrap();
    assert_eq!((first.targets, first.called, first.findings), (12, 12, vec![]));
    world.now.set(Some(NOON + time::Duration::hours(1)));
    assert_eq!(watch(&ports, SCHEDULE).unwrap().called, 0);
    world.now.set(Some(NOON + time::Duration::hours(24)));
    assert_eq!(watch(&ports, SCHEDULE).unwrap().called, 12);
    assert_eq!(world.alerts.borrow().len(), 0);
    assert!(world.metrics.borrow().iter().all(|line| line.contains("\"DeadStandbys\":0")));
}

/// The figure is that of the dev configuration with the tokens of this prompt.
#[test]
fn the_calls_are_counted_under_a_workflow_of_their_own_and_cost_less_than_five_cents_a_month() {
    let (world, ports) = stack();
    watch(&ports, SCHEDULE).unwrap();
    let counted = world.counted.borrow();
    assert!(counted.iter().all(|calls| calls.allocation.workflow == "_canary"));
    let costs = counted.iter().map(|calls| calls.usage.line.totals.cost_usd.unwrap());
    let month = costs.sum::<Decimal>() * Decimal::from(31);
    assert!(month > Decimal::ZERO && month < Decimal::new(5, 2), "{month} USD a month");
}

#[test]
fn a_target_that_rejects_the_call_is_reported_once_with_the_remedy() {
    let (world, ports) = stack();
    world.rejecting.borrow_mut().insert(DEAD.into());
    for hour in 0..3 {
        world.now.set(Some(NOON + time::Duration::hours(hour)));
        let found = watch(&ports, SCHEDULE).unwrap().findings;
        assert_eq!(found.len(), 2, "both regions, also when they are not called again");
    }
    let alerts = world.alerts.borrow();
    assert_eq!(alerts.len(), 1);
    let finding = &alerts[0].findings[0];
    assert_eq!((finding.check, finding.remedy.as_str()), (Check::Call, "allow it"));
    assert!(world.metrics.borrow().iter().all(|line| line.contains("\"DeadStandbys\":2")));
}

#[test]
fn a_finding_that_has_gone_and_returns_is_reported_again() {
    let (world, ports) = stack();
    for (hour, quota) in [0.0, 1e6, 0.0].into_iter().enumerate() {
        world.now.set(Some(NOON + time::Duration::hours(hour as i64)));
        world.quota.set(quota);
        watch(&ports, SCHEDULE).unwrap();
    }
    assert_eq!(world.alerts.borrow().len(), 2);
}

#[test]
fn a_message_that_cannot_be_sent_is_sent_by_the_next_invocation() {
    let (world, ports) = stack();
    world.quota.set(0.0);
    world.is_topic_gone.set(true);
    assert!(watch(&ports, SCHEDULE).is_err());
    world.is_topic_gone.set(false);
    watch(&ports, SCHEDULE).unwrap();
    assert_eq!(world.alerts.borrow().len(), 1);
}

#[test]
fn neither_a_forbidden_target_nor_one_with_an_open_breaker_is_called_even_live() {
    let (world, ports) = stack();
    let policy = "version: 1\nallowed_regions: [us-east-1, us-east-2, us-west-2]\nallowed_models: [\"anthropic.claude-haiku-*\"]\n";
    world.parameters.borrow_mut().insert("/bcce/dev/policy".into(), policy.into());
    let open = bcce_core::failover::breaker::Breaker {
        open_until: Some(NOON + time::Duration::MINUTE),
        ..Default::default()
    };
    let key = "us-east-1#us.anthropic.claude-haiku-5-5".to_owned();
    ports.health.kept.borrow_mut().insert(key, StoredBreaker { breaker: open, revision: 1 });
    let response = watch(&ports, LIVE).unwrap();
    assert_eq!((response.called, response.skipped.len()), (3, 9));
    let called = world.called.borrow();
    assert!(called.iter().all(|target| target.contains("haiku")), "{called:?}");
    assert!(!called.contains(&"us.anthropic.claude-haiku-5-5 in us-east-1".to_owned()));
    let forbidden = response.findings.iter().filter(|it| it.check == Check::Residency);
    assert!(forbidden.clone().all(|it| it.level == Level::Warn) && forbidden.count() == 8);
}

#[test]
fn a_live_call_ignores_that_the_day_is_not_over() {
    let (world, ports) = stack();
    watch(&ports, SCHEDULE).unwrap();
    world.now.set(Some(NOON + time::Duration::MINUTE));
    assert_eq!(watch(&ports, LIVE).unwrap().called, 12);
}

#[test]
fn a_profile_that_reaches_further_is_stored_reported_and_not_called() {
    let (world, ports) = stack();
    watch(&ports, SCHEDULE).unwrap();
    *world.further_region.borrow_mut() = Some("ca-central-1".into());
    world.now.set(Some(NOON + time::Duration::hours(24)));
    world.called.borrow_mut().clear();
    let response = watch(&ports, SCHEDULE).unwrap();
    assert_eq!(*world.called.borrow(), [] as [String; 0], "residency is never widened");
    let failed = response.findings.iter().filter(|it| it.check == Check::Residency);
    assert!(failed.clone().all(|it| it.level == Level::Fail) && failed.count() == 12);
    let stored = world.parameters.borrow()["/bcce/dev/profiles"].clone();
    let objects = ports.store.0.objects.borrow();
    let stored = objects
        .values()
        .last()
        .map(|it| String::from_utf8_lossy(it).into_owned())
        .unwrap_or(stored);
    assert!(stored.contains("ca-central-1"), "{stored}");
    drop(objects);
    // The stack knows it now, and the targets are as dead as before.
    world.now.set(Some(NOON + time::Duration::hours(25)));
    let later = watch(&ports, SCHEDULE).unwrap();
    assert_eq!((later.called, later.skipped.len()), (0, 12));
    let failed = later.findings.iter().filter(|it| it.check == Check::Residency);
    assert!(failed.clone().all(|it| it.level == Level::Fail) && failed.count() == 12);
    assert!(world.metrics.borrow().last().unwrap().contains("\"DeadStandbys\":12"));
}

/// Bedrock throttles a question, and Lambda tries the invocation again.
#[test]
fn a_question_that_is_not_answered_does_not_make_a_finding_go() {
    let (world, ports) = stack();
    world.quota.set(0.0);
    watch(&ports, SCHEDULE).unwrap();
    let written = world.metrics.borrow().len();
    world.is_control_gone.set(true);
    assert!(watch(&ports, SCHEDULE).is_err());
    assert_eq!(world.metrics.borrow().len(), written, "nobody knows whether all is well");
    world.is_control_gone.set(false);
    watch(&ports, SCHEDULE).unwrap();
    assert_eq!(world.alerts.borrow().len(), 1);
}

/// The function would end before it reports anything if questions had no time limit.
#[test]
fn a_region_that_hangs_keeps_its_findings_and_delays_no_report_of_the_others() {
    let (world, ports) = stack();
    world.quota.set(0.0);
    *world.hanging_region.borrow_mut() = Some("us-west-2".into());
    let request: Request = serde_json::from_str(LIVE).unwrap();
    let first =
        block_on(handle(&ports, &config(), Request { remaining: TIGHT, ..request })).unwrap();
    let place = |finding: &Finding| finding.target.region.clone();
    let places: BTreeSet<String> = first.findings.iter().map(place).collect();
    assert_eq!(places, BTreeSet::from(["us-east-1".to_owned()]), "{first:?}");
    let unread = "servicequotas:ListServiceQuotas bedrock in us-west-2: no answer";
    assert!(first.unread.iter().any(|question| question.starts_with(unread)), "{first:?}");
    let reported = world.reported.borrow().keys.clone();
    assert!(!reported.is_empty());
    *world.hanging_region.borrow_mut() = Some("us-east-1".into());
    let request: Request = serde_json::from_str(LIVE).unwrap();
    block_on(handle(&ports, &config(), Request { remaining: TIGHT, ..request })).unwrap();
    assert!(world.reported.borrow().keys.is_superset(&reported), "nobody knows that they are gone");
}

#[test]
fn an_unanswered_question_is_an_error_after_the_calls_are_made() {
    let (world, ports) = stack();
    world.is_control_gone.set(true);
    let fault = watch(&ports, SCHEDULE).unwrap_err();
    assert!(fault.message.starts_with("bedrock:Get: AccessDeniedException"), "{}", fault.message);
    assert_eq!(world.called.borrow().len(), 12);
    assert!(!watch(&ports, LIVE).unwrap().unread.is_empty());
}

#[test]
fn calls_for_which_the_time_does_not_suffice_are_left_to_the_next_invocation() {
    let (world, ports) = stack();
    let request: Request = serde_json::from_str(SCHEDULE).unwrap();
    let request = Request { remaining: Duration::from_secs(60), ..request };
    assert_eq!(block_on(handle(&ports, &config(), request)).unwrap().called, 0);
    assert_eq!(world.calls.borrow().len(), 0);
}

/// Each call takes so long that the time suffices for four of the twelve targets.
#[test]
fn live_calls_that_follow_reach_the_targets_that_were_left() {
    let (world, ports) = stack();
    world.now.set(Some(NOON));
    world.call_takes.set(Duration::from_secs(10));
    for called in [4, 8, 12] {
        let request: Request = serde_json::from_str(LIVE).unwrap();
        let request = Request { remaining: Duration::from_secs(110), ..request };
        assert_eq!(block_on(handle(&ports, &config(), request)).unwrap().called, 4);
        let different: BTreeSet<String> = world.called.borrow().iter().cloned().collect();
        assert_eq!(different.len(), called, "{different:?}");
    }
}

#[test]
fn a_missing_document_is_named() {
    let (world, ports) = stack();
    world.parameters.borrow_mut().remove("/bcce/dev/prices");
    let fault = watch(&ports, SCHEDULE).unwrap_err().message;
    assert_eq!(fault, "the SSM parameter /bcce/dev/prices is missing");
}
