//! Checks properties of a breaker for any sequence of reports and elections.

use std::time::Duration;

use bcce_core::base::error::ErrorName;
use bcce_core::config::breakers::BreakerSettings;
use bcce_core::failover::breaker::{Breaker, BreakerStatus, Report, Signal};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);
/// The limits as the documentation states them, independent of the code under test.
const LONGEST_RETRY_AFTER_S: u64 = 600;
const TOKENS: [&str; 3] = ["one", "two", "three"];

#[derive(Clone, Copy, Debug)]
enum Event {
    Hears { signal: Signal, started_ago_ms: u64, probe: Option<&'static str> },
    Elects { token: &'static str, lease_s: u64 },
}

fn failing() -> impl Strategy<Value = Signal> {
    let errors: Vec<_> = ErrorName::ALL.iter().copied().filter(|e| e.fails_over()).collect();
    let retry_after = option::of(prop_oneof![4 => 0_u64..30, 2 => 0_u64..1_000, 1 => any::<u64>()]);
    (select(errors), retry_after)
        .prop_map(|(error, retry_after_s)| Signal::Failing { error, retry_after_s })
}

fn events() -> impl Strategy<Value = Event> {
    let used_up =
        (0_u64..90_000).prop_map(|s| Signal::UsedUp { until: NOW + Duration::from_secs(s) });
    let signal = prop_oneof![
        4 => failing(),
        1 => used_up,
        1 => Just(Signal::Alive),
        1 => Just(Signal::Silent),
    ];
    let token = || select(&TOKENS[..]);
    prop_oneof![
        (signal, 0_u64..60_000, option::of(token())).prop_map(|(signal, started_ago_ms, probe)| {
            Event::Hears { signal, started_ago_ms, probe }
        }),
        (token(), 1_u64..600).prop_map(|(token, lease_s)| Event::Elects { token, lease_s }),
    ]
}

prop_compose! {
    fn settings()(
        failures in prop_oneof![4 => 1_u32..6, 1 => 1_u32..1_000],
        window_s in prop_oneof![1_u64..300, 1_u64..=86_400],
        cool_downs in prop_oneof![(1_u64..10, 0_u64..60), (1_u64..=43_200, 0_u64..=43_200)],
        set_aside_s in prop_oneof![1_u64..600, 1_u64..=86_400]
    ) -> BreakerSettings {
        let (cool_down_s, more_s) = cool_downs;
        let max_cool_down_s = cool_down_s + more_s;
        BreakerSettings { failures, window_s, cool_down_s, max_cool_down_s, set_aside_s }
    }
}

/// Generates the time to the next event, which is mostly short.
fn pauses() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0_u64..3_000, 2 => 0_u64..40_000, 1 => 0_u64..90_000_000]
}

fn config(cases: u32) -> ProptestConfig {
    let kept = FileFailurePersistence::WithSource("regressions");
    ProptestConfig { cases, failure_persistence: Some(Box::new(kept)), ..Default::default() }
}

fn seconds_left(breaker: &Breaker, now: OffsetDateTime) -> u64 {
    let left = breaker.open_until.map_or(time::Duration::ZERO, |until| until - now);
    u64::try_from(left.whole_milliseconds()).unwrap_or(0).div_ceil(1_000)
}

/// Returns the wait that a failure asks for, up to the longest one that a breaker follows.
fn asks(signal: Signal) -> u64 {
    match signal {
        Signal::Failing { retry_after_s, .. } => {
            retry_after_s.unwrap_or(0).min(LONGEST_RETRY_AFTER_S)
        }
        _ => 0,
    }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn whatever_it_hears_it_stays_within_its_settings(
        settings in settings(),
        events in vec((pauses(), events()), 1..60),
    ) {
        let (mut breaker, mut now) = (Breaker::default(), NOW);
        for (pause_ms, event) in events {
            now += Duration::from_millis(pause_ms);
            let (before, left) = (breaker.status(now), seconds_left(&breaker, now));
            match event {
                Event::Elects { token, lease_s } => {
                    let lease = Duration::from_secs(lease_s);
                    let is_elected = breaker.elect(token, now, lease);
                    let may = matches!(before, BreakerStatus::Due | BreakerStatus::Probed { .. });
                    prop_assert!(may || !is_elected, "{before:?}");
                    let probed = BreakerStatus::Probed { until: now + lease };
                    prop_assert!(!is_elected || breaker.status(now) == probed);
                }
                Event::Hears { signal, started_ago_ms, probe } => {
                    let started_at = now - Duration::from_millis(started_ago_ms);
                    let was_closed = before == BreakerStatus::Closed;
                    breaker.hear(&Report { signal, started_at, probe }, now, &settings);
                    opens_as_set(&breaker, signal, was_closed, left, now, &settings)?;
                }
            }
            prop_assert!(breaker.failures <= settings.failures);
            let json = serde_json::to_string(&breaker).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Breaker>(&json).unwrap(), &breaker);
        }
    }

    /// Every step asks all the time. An elected step fails, or never reports.
    #[test]
    fn a_dead_target_is_probed_once_per_cool_down(
        settings in settings(),
        pauses_ms in vec(1_u64..4_000, 1..200),
        probes in vec((0_u64..30_000, any::<bool>()), 1..20),
        stragglers in vec(any::<bool>(), 1..20),
    ) {
        let lease = Duration::from_secs(40);
        let error = ErrorName::TargetUnavailable;
        let signal = Signal::Failing { error, retry_after_s: None };
        let (mut breaker, mut now) = (Breaker::default(), NOW);
        let report = |breaker: &mut Breaker, now, probe: Option<&str>| {
            breaker.hear(&Report { signal, started_at: now, probe }, now, &settings);
        };
        (0..settings.failures).for_each(|_| report(&mut breaker, now, None));
        let cool_down = |openings: u32| {
            let doubled = settings.cool_down_s.saturating_mul(2_u64.saturating_pow(openings));
            Duration::from_secs(doubled.min(settings.max_cool_down_s))
        };
        let (mut not_before, mut openings) = (now + cool_down(0), 1);
        let mut probes = probes.iter().cycle();
        let mut stragglers = stragglers.iter().cycle();
        for (n, pause_ms) in pauses_ms.iter().cycle().take(400).enumerate() {
            now += Duration::from_millis(*pause_ms);
            if *stragglers.next().expect("for ever") {
                report(&mut breaker, now, None);
            }
            let token = n.to_string();
            if !breaker.elect(&token, now, lease) {
                continue;
            }
            prop_assert!(now >= not_before, "{} before it may", not_before - now);
            let (takes_ms, vanishes) = probes.next().expect("for ever");
            match vanishes {
                true => not_before = now + lease,
                false => {
                    now += Duration::from_millis(*takes_ms);
                    report(&mut breaker, now, Some(&token));
                    not_before = now + cool_down(openings);
                    openings += 1;
                }
            }
        }
    }

    #[test]
    fn a_probe_that_answers_closes_and_what_was_sent_before_does_not_count(
        settings in settings(),
        before in vec((0_u64..3_000, failing()), 1..20),
        after in vec((0_u64..3_000, 1_u64..90_000, failing()), 0..20),
    ) {
        let (mut breaker, mut now) = (Breaker::default(), NOW);
        for (pause_ms, signal) in before {
            now += Duration::from_millis(pause_ms);
            breaker.hear(&Report { signal, started_at: now, probe: None }, now, &settings);
        }
        now = breaker.open_until.unwrap_or(now);
        if breaker.elect("me", now, Duration::from_secs(40)) {
            let report = Report { signal: Signal::Alive, started_at: now, probe: Some("me") };
            breaker.hear(&report, now, &settings);
            let closed = now;
            prop_assert_eq!((breaker.status(now), breaker.failures), (BreakerStatus::Closed, 0));
            for (pause_ms, sent_before_ms, signal) in after {
                now += Duration::from_millis(pause_ms);
                let started_at = closed - Duration::from_millis(sent_before_ms);
                breaker.hear(&Report { signal, started_at, probe: None }, now, &settings);
                prop_assert_eq!((breaker.status(now), breaker.failures), (BreakerStatus::Closed, 0));
            }
        }
    }
}

/// Returns the longest time that a breaker may stay open after `signal`, by the settings.
fn opens_as_set(
    breaker: &Breaker,
    signal: Signal,
    was_closed: bool,
    left_before: u64,
    now: OffsetDateTime,
    settings: &BreakerSettings,
) -> Result<(), TestCaseError> {
    let left = seconds_left(breaker, now);
    let error = match signal {
        Signal::Failing { error, .. } => error,
        Signal::UsedUp { until } => {
            let says = u64::try_from((until - now).whole_milliseconds()).unwrap_or(0);
            prop_assert!(left <= left_before.max(says.div_ceil(1_000)), "open for {left} s");
            return Ok(());
        }
        Signal::Alive | Signal::Silent => {
            prop_assert!(left <= left_before, "only a failure opens");
            return Ok(());
        }
    };
    let own = match error {
        ErrorName::TargetRejected => settings.set_aside_s,
        _ => settings.max_cool_down_s,
    };
    prop_assert!(left <= own.max(asks(signal)).max(left_before), "open for {left} s");
    if was_closed && left > 0 {
        let least = match error {
            ErrorName::TargetRejected => settings.set_aside_s,
            _ if breaker.failures >= settings.failures => settings.cool_down_s,
            _ => 1,
        };
        prop_assert!(left >= least.max(asks(signal)), "open for {left} s");
    }
    Ok(())
}
