use super::*;
use crate::base::target::tests::target;
use crate::call::attempt::Cause;
use crate::call::attempt::tests::failed;
use crate::config::cache::CacheTtl;
use crate::config::models::RouteTarget;
use crate::config::policy::Policy;
use crate::config::pricing::PriceRows;
use crate::config::pricing::{LongPrompt, Price, PriceRow};
use crate::config::profiles::Profiles;
use crate::config::routing::Routing;
use crate::config::routing::Strategy;
use crate::failover::decision::Candidate;
use crate::failover::route::Cached;
use crate::failover::route::Expected;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-01 12:01 UTC);

/// Returns a route to the same model in these regions.
pub fn route(regions: &[&str]) -> Route {
    let target = |region: &&str| RouteTarget {
        target: target(region),
        priority: None,
        weight: 1,
        prices: None,
        context_tokens: 200_000,
    };
    Route {
        targets: regions.iter().map(target).collect(),
        policy: Policy::default(),
        profiles: Profiles::default(),
        routing: Routing::default(),
        rounds: 5,
        patience: None,
        expected: None,
    }
}

fn question<'a>(route: &'a Route, health: &'a [Health]) -> Question<'a> {
    let deadline = NOW + Duration::from_secs(3_600);
    Question { route, health, attempts: &[], decisions: &[], now: NOW, deadline, seed: 1_999 }
}

fn answer(question: &Question<'_>) -> Decision {
    Decision::of(question, &decide(question), None)
}

fn ask(route: &Route, attempts: &[Attempt], decisions: &[Decision]) -> Decision {
    answer(&Question { attempts, decisions, ..question(route, &[]) })
}

fn regions(decision: &Decision) -> Vec<&str> {
    match &decision.next {
        Next::Targets(targets) => targets.iter().map(|t| t.region.as_str()).collect(),
        other => panic!("{other:?} {:?}", decision.because),
    }
}

fn decided(next: Next) -> Decision {
    Decision {
        at: NOW,
        because: vec![],
        candidates: vec![],
        probe: None,
        watched: vec![],
        diverted: false,
        next,
    }
}

#[test]
fn the_first_decision_is_every_target_in_order() {
    assert_eq!(
        regions(&ask(&route(&["us-east-1", "us-west-2"]), &[], &[])),
        ["us-east-1", "us-west-2"]
    );
}

#[test]
fn what_residency_forbids_is_never_a_candidate() {
    let mut route = route(&["us-east-1", "eu-west-1"]);
    route.targets[1].target.model_id = "eu.anthropic.claude-haiku".into();
    route.policy.allowed_regions =
        ["us-east-1", "us-east-2", "us-west-2"].map(String::from).to_vec();
    let decision = ask(&route, &[], &[]);
    assert_eq!(regions(&decision), ["us-east-1"]);
    assert_eq!(
        decision.candidates[1],
        Candidate {
            target: "eu.anthropic.claude-haiku in eu-west-1".into(),
            taken: false,
            because: "residency: it may reach eu-central-1, which is not allowed".into(),
        }
    );
    let all_failed = [failed("us-east-1", ErrorName::TargetRejected)];
    assert_eq!(ask(&route, &all_failed, &[]).next, Next::Stop(ErrorName::NoTarget));
}

#[test]
fn an_untried_target_is_used_at_once() {
    let attempts = [failed("us-east-1", ErrorName::TargetThrottled)];
    assert_eq!(regions(&ask(&route(&["us-east-1", "us-west-2"]), &attempts, &[])), ["us-west-2"]);
}

#[test]
fn only_when_all_failed_it_waits_and_then_tries_again() {
    let route = route(&["us-east-1", "us-west-2"]);
    let attempts = [
        failed("us-east-1", ErrorName::TargetThrottled),
        failed("us-west-2", ErrorName::TargetBroken),
    ];
    let first = decided(Next::Targets(vec![]));
    let waiting = ask(&route, &attempts, std::slice::from_ref(&first));
    assert_eq!(
        waiting.next,
        Next::WaitS(2),
        "full jitter of 2 s with seed 1999 ms, in whole seconds"
    );
    assert_eq!(regions(&ask(&route, &attempts, &[first, waiting])), ["us-east-1", "us-west-2"]);
}

#[test]
fn retry_after_is_honoured() {
    let route = route(&["us-east-1"]);
    let mut attempt = failed("us-east-1", ErrorName::TargetThrottled);
    attempt.retry_after_s = Some(90);
    // The attempt ended 60 s minus 10 ms ago.
    assert_eq!(ask(&route, &[attempt], &[]).next, Next::WaitS(33), "30.01 s and 1.999 s of spread");
}

#[test]
fn a_quota_of_the_day_is_not_waited_for_while_there_is_another_target() {
    let route = route(&["us-east-1", "us-west-2"]);
    let used_up = Breaker {
        open_until: Some(datetime!(2026-11-02 00:00 UTC)),
        cause: Some(ErrorName::TargetThrottled),
        used_up: true,
        ..Breaker::default()
    };
    let used_up = Health { breaker: used_up, ..Health::default() };
    let health = [used_up.clone(), Health::default()];
    assert_eq!(regions(&answer(&question(&route, &health))), ["us-west-2"]);
    let attempts = [failed("us-west-2", ErrorName::TargetUnavailable)];
    let waiting = answer(&Question { attempts: &attempts, ..question(&route, &health) });
    assert_eq!(waiting.next, Next::WaitS(2), "for the other one, and not for hours");
    let health = [used_up.clone(), used_up];
    let over = answer(&question(&route, &health));
    assert_eq!(over.next, Next::Stop(ErrorName::NoTarget));
    let reported = over.describe();
    assert!(reported.starts_with("the run's deadline comes before the next try; "), "{reported}");
    let why = "us-east-1: its quota of tokens per day is used up until 2026-11-02T00:00:00Z";
    assert!(reported.contains(why), "{reported}");
}

#[test]
fn a_target_that_rejects_is_not_asked_again() {
    let route = route(&["us-east-1", "us-west-2"]);
    let attempts = [
        failed("us-east-1", ErrorName::TargetRejected),
        failed("us-west-2", ErrorName::TargetThrottled),
    ];
    let decision = ask(&route, &attempts, &[decided(Next::WaitS(1))]);
    assert_eq!(regions(&decision), ["us-west-2"]);
    assert_eq!(decision.candidates[0].because, "it rejected this step before");
}

#[test]
fn a_prompt_that_is_too_long_is_for_targets_with_more_context_only() {
    let mut route = route(&["us-east-1", "us-west-2", "us-east-2"]);
    route.targets[2].context_tokens = 1_000_000;
    let too_long = |region| Attempt {
        cause: Some(Cause::ContextTooLong),
        ..failed(region, ErrorName::RequestRejected)
    };
    let decision = ask(&route, &[too_long("us-east-1")], &[]);
    assert_eq!(regions(&decision), ["us-east-2"]);
    let because = "the prompt did not fit a target whose context is as large";
    assert!(decision.candidates[..2].iter().all(|candidate| candidate.because == because));
    let attempts = [too_long("us-east-1"), too_long("us-east-2")];
    assert_eq!(ask(&route, &attempts, &[]).next, Next::Stop(ErrorName::NoTarget));
    assert!(route.has_larger(&target("us-east-1")) && !route.has_larger(&target("us-east-2")));
    route.policy.allowed_models = vec!["anthropic.claude-opus-*".into()];
    assert!(!route.has_larger(&target("us-east-1")), "policy forbids it");
}

#[test]
fn calls_rounds_and_deadline_bound_a_step() {
    let mut route = route(&["us-east-1"]);
    let attempt = failed("us-east-1", ErrorName::TargetThrottled);
    let stop = Next::Stop(ErrorName::NoTarget);
    route.routing.attempts = 2;
    assert_eq!(ask(&route, &[attempt.clone(), attempt.clone()], &[]).next, stop);
    route.routing.attempts = 99;
    let rounds = vec![decided(Next::Targets(vec![])); 5];
    assert_eq!(ask(&route, std::slice::from_ref(&attempt), &rounds).next, stop);
    let late = Question { attempts: &[attempt], deadline: NOW, ..question(&route, &[]) };
    assert_eq!(answer(&late).next, stop);
}

#[test]
fn the_list_is_no_longer_than_the_calls_left() {
    let mut route = route(&["us-east-1", "us-west-2"]);
    route.routing.attempts = 1;
    assert_eq!(regions(&ask(&route, &[], &[])), ["us-east-1"]);
}

#[test]
fn the_wire_form_is_one_of_targets_wait_s_stop() {
    let json = |next| serde_json::to_value(decided(next)).unwrap();
    assert_eq!(json(Next::WaitS(3))["wait_s"], 3);
    assert_eq!(json(Next::Stop(ErrorName::NoTarget))["stop"], "Bcce.NoTarget");
    let targets = json(Next::Targets(vec![target("us-east-1")]));
    assert_eq!(targets["targets"][0]["region"], "us-east-1");
    assert_eq!(
        serde_json::from_value::<Decision>(targets).unwrap().next,
        Next::Targets(vec![target("us-east-1")])
    );
}

fn closed() -> Health {
    Health::default()
}

/// Returns a target whose breaker is open for this many seconds from now. With 0 it is due.
fn open(seconds: u64) -> Health {
    let until = NOW + Duration::from_secs(seconds);
    let breaker = Breaker {
        open_until: Some(until),
        cause: Some(ErrorName::TargetThrottled),
        ..Breaker::default()
    };
    Health { breaker, ..Health::default() }
}

fn probed() -> Health {
    let mut health = open(0);
    assert!(health.breaker.elect("another", NOW, Duration::from_secs(9)));
    health
}

#[test]
fn an_open_target_is_passed_over_with_until_when_and_why() {
    let route = route(&["us-east-1", "us-west-2"]);
    let health = [open(7), closed()];
    let decision = answer(&question(&route, &health));
    assert_eq!(regions(&decision), ["us-west-2"]);
    let because = "its breaker is open until 2026-11-01T12:01:07Z after Bcce.TargetThrottled";
    assert_eq!(decision.candidates[0].because, because);
}

/// A step is diverted if an open breaker changes its first call, and only then.
#[test]
fn a_step_is_diverted_if_its_first_choice_is_open() {
    let of = |route: &Route, health: &[Health]| answer(&question(route, health)).diverted;
    let mut route = route(&["us-east-1", "us-west-2"]);
    assert!(of(&route, &[open(7), closed()]));
    assert!(of(&route, &[probed(), closed()]));
    assert!(!of(&route, &[closed(), open(7)]), "the standby is not needed");
    assert!(!of(&route, &[open(0), closed()]), "the step probes its first choice");
    assert!(!of(&route, &[open(7), open(7)]), "no call is made");
    route.targets[0].priority = Some(9);
    assert!(!of(&route, &[open(7), closed()]), "the second target is the first choice");
    route.targets[0].priority = None;
    let attempts = [failed("us-east-1", ErrorName::TargetBroken)];
    let health = [open(7), closed()];
    let later = Question { attempts: &attempts, ..question(&route, &health) };
    assert!(!answer(&later).diverted, "it is not the first call");
}

#[test]
fn a_due_target_is_probed_when_it_comes_first_and_others_stand_behind() {
    let route = route(&["us-east-1", "us-west-2"]);
    let health = [open(0), closed()];
    let verdict = decide(&question(&route, &health));
    assert_eq!(verdict.action, Action::Try { order: vec![0, 1], probes: true });
}

#[test]
fn a_due_target_that_is_not_the_first_is_left_alone_until_it_is() {
    let route = route(&["us-east-1", "us-west-2"]);
    let health = [closed(), open(0)];
    let verdict = decide(&question(&route, &health));
    assert_eq!(verdict.action, Action::Try { order: vec![0], probes: false });
    let attempts = [failed("us-east-1", ErrorName::TargetBroken)];
    let after = Question { attempts: &attempts, ..question(&route, &health) };
    assert_eq!(decide(&after).action, Action::Try { order: vec![1], probes: true });
}

#[test]
fn a_target_that_another_step_probes_is_as_good_as_open() {
    let route = route(&["us-east-1", "us-west-2"]);
    let health = [probed(), closed()];
    assert_eq!(regions(&answer(&question(&route, &health))), ["us-west-2"]);
}

#[test]
fn with_every_target_open_it_waits_for_the_first() {
    let route = route(&["us-east-1", "us-west-2"]);
    let health = [open(40), open(9)];
    let decision = answer(&question(&route, &health));
    assert_eq!(
        (decision.next, decision.because[0].as_str()),
        (Next::WaitS(11), "every target's breaker is open"),
        "9 s and 1.999 s of spread"
    );
}

#[test]
fn a_probe_of_another_step_is_given_the_time_of_an_answer() {
    let route = route(&["us-east-1"]);
    let health = [probed()];
    let decision = answer(&question(&route, &health));
    assert_eq!(decision.next, Next::WaitS(7), "5 s and 1.999 s of spread");
}

#[test]
fn each_wait_may_be_three_times_as_long_as_the_one_before() {
    let route = route(&["us-east-1"]);
    let longest = |waits: usize| {
        let decisions = vec![decided(Next::WaitS(1)); waits];
        let wait = |seed| {
            let asked = Question { seed, decisions: &decisions, ..question(&route, &[]) };
            wait(&asked, &[Ruling::Failed(1)])
        };
        (0..70_000).step_by(500).map(wait).max().unwrap().as_secs()
    };
    assert_eq!([longest(0), longest(1), longest(2), longest(10)], [2, 6, 18, 60]);
}

#[test]
fn waiting_ends_as_well() {
    let route = route(&["us-east-1"]);
    let health = [open(9)];
    let waits = vec![decided(Next::WaitS(9)); 4];
    let decision = answer(&Question { decisions: &waits, ..question(&route, &health) });
    assert_eq!(decision.because, ["the step's waits are used up"]);
}

#[test]
fn failures_on_record_are_reported_so_that_the_next_answer_counts() {
    let route = route(&["us-east-1", "us-west-2"]);
    let mut watched = closed();
    watched.breaker.failures = 1;
    watched.breaker.counts_until = Some(NOW + Duration::from_secs(1));
    let health = [closed(), watched];
    assert_eq!(answer(&question(&route, &health)).watched, [1]);
}

/// Returns the number of times that each target comes first over many steps.
fn firsts(route: &Route, health: &[Health]) -> Vec<usize> {
    let mut firsts = vec![0; route.targets.len()];
    for seed in 0..10_000 {
        let question = Question { seed, ..question(route, health) };
        let Action::Try { order, .. } = decide(&question).action else { panic!() };
        firsts[order[0]] += 1;
    }
    firsts
}

fn strategy(strategy: Strategy) -> Route {
    let mut route = route(&["us-east-1", "us-east-2", "us-west-2"]);
    route.routing.strategy = strategy;
    route
}

#[test]
fn in_turn_each_target_gets_its_weight() {
    let mut route = strategy(Strategy::RoundRobin);
    route.targets[2].weight = 2;
    for (share, wanted) in firsts(&route, &[]).into_iter().zip([2_500, 2_500, 5_000]) {
        assert!(share.abs_diff(wanted) < 200, "{share} of 10000 where {wanted} are due");
    }
}

#[test]
fn equal_priorities_share_and_the_rest_stays_behind() {
    let mut route = strategy(Strategy::Priority);
    route.targets[1].priority = Some(0);
    let firsts = firsts(&route, &[]);
    assert!(firsts[0].abs_diff(5_000) < 200 && firsts[2] == 0, "{firsts:?}");
}

fn takes(bucket: usize) -> Health {
    let mut health = closed();
    health.latency.add(bucket, 100);
    health
}

#[test]
fn the_fastest_comes_first_and_what_is_not_measured_now_and_then() {
    let route = strategy(Strategy::Latency);
    let measured = [takes(8), takes(3), takes(4)];
    assert_eq!(firsts(&route, &measured), [0, 10_000, 0]);
    let firsts = firsts(&route, &[takes(8), takes(3), closed()]);
    assert!(firsts[0] == 0 && firsts[2].abs_diff(2_500) < 200, "{firsts:?}");
}

#[test]
fn equally_fast_ones_share() {
    let firsts = firsts(&strategy(Strategy::Latency), &[takes(3), takes(3), takes(8)]);
    assert!(firsts[0].abs_diff(5_000) < 200 && firsts[2] == 0, "{firsts:?}");
}

#[test]
fn where_nothing_is_measured_all_are() {
    let firsts = firsts(&strategy(Strategy::Latency), &[]);
    assert!(firsts.iter().all(|share| *share > 3_000), "{firsts:?}");
}

fn price(input: i64) -> Price {
    let usd = |n| rust_decimal::Decimal::new(n, 2);
    Price {
        input: usd(input),
        output: usd(input * 5),
        cache_read: usd(input / 10),
        cache_write_5m: usd(input * 5 / 4),
        cache_write_1h: usd(input * 2),
    }
}

fn prices(input: i64) -> Option<PriceRows> {
    Some(PriceRows::from(price(input)))
}

#[test]
fn the_cheapest_comes_first_and_an_unknown_price_last() {
    let mut route = strategy(Strategy::Cost);
    route.expected = Some(Expected { input_tokens: 10, output_tokens: 10, cached: None });
    (route.targets[1].prices, route.targets[2].prices) = (prices(110), prices(100));
    let Action::Try { order, .. } = decide(&question(&route, &[])).action else { panic!() };
    assert_eq!(order, [2, 1, 0]);
}

#[test]
fn a_warm_cache_is_worth_its_price_and_no_more() {
    let mut route = strategy(Strategy::Cost);
    (route.targets[0].prices, route.targets[1].prices) = (prices(100), prices(110));
    let cached = |tokens| {
        let cached = Cached { key: "k".into(), tokens, lasts: CacheTtl::FiveMinutes };
        Some(Expected { input_tokens: 1_000, output_tokens: 1_000, cached: Some(cached) })
    };
    let health = [closed(), Health { is_warm: true, ..closed() }];
    let first = |route: &Route| match decide(&question(route, &health)).action {
        Action::Try { order, .. } => order[0],
        other => panic!("{other:?}"),
    };
    // The second target is 10 % more expensive. That is less than the savings of reading 1,000 tokens instead of
    // writing them, but more than those of 100 tokens.
    route.expected = cached(1_000);
    assert_eq!(first(&route), 1);
    route.expected = cached(100);
    assert_eq!(first(&route), 0);
}

/// Returns the position of the target that comes first, for a prompt of `tokens` tokens of which half may be cached.
fn cheaper(route: &mut Route, tokens: u64, now: OffsetDateTime) -> usize {
    let cached = Cached { key: "k".into(), tokens: tokens / 2, lasts: CacheTtl::FiveMinutes };
    let (input_tokens, cached) = (tokens - tokens / 2, Some(cached));
    route.expected = Some(Expected { input_tokens, output_tokens: 1, cached });
    let deadline = now + Duration::from_secs(3_600);
    match decide(&Question { now, deadline, ..question(route, &[]) }).action {
        Action::Try { order, .. } => order[0],
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_cheap_for_a_short_prompt_may_be_dear_for_a_long_one() {
    let mut route = strategy(Strategy::Cost);
    route.targets.truncate(2);
    let mut tiered = PriceRows::from(price(50));
    tiered.0[0].long_prompt = Some(LongPrompt { above_tokens: 1_000, price: price(200) });
    (route.targets[0].prices, route.targets[1].prices) = (prices(100), Some(tiered));
    assert_eq!(cheaper(&mut route, 1_000, NOW), 1);
    assert_eq!(cheaper(&mut route, 1_001, NOW), 0);
}

#[test]
fn the_cheapest_is_the_cheapest_of_that_day() {
    let mut route = strategy(Strategy::Cost);
    route.targets.truncate(2);
    let tomorrow = NOW + time::Duration::DAY;
    let mut falls = PriceRows::from(price(200));
    falls.0.push(PriceRow { from: tomorrow.date(), ..PriceRows::from(price(50)).0[0].clone() });
    (route.targets[0].prices, route.targets[1].prices) = (prices(100), Some(falls.clone()));
    assert_eq!(cheaper(&mut route, 10, NOW), 0);
    assert_eq!(cheaper(&mut route, 10, tomorrow), 1);
    falls.0.remove(0);
    route.targets[1].prices = Some(falls);
    assert_eq!(cheaper(&mut route, 10, NOW), 0, "before its first row a price is not known");
}
