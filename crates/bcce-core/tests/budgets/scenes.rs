//! Scenes: calls that reserve, commit or are killed, in an order that the scene decides.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bcce_core::config::budgets::Unit;
use bcce_core::io::budgets::{Reservation, reserve};
use bcce_core::ports::CommitCall;
use bcce_core::run::budgets::{Limit, Reserved};
use bcce_core::run::call_log::LoggedCall;
use bcce_core::run::ids::{RunRef, StepRef};
use proptest::collection::vec;
use proptest::prelude::*;
use rust_decimal::Decimal;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::ledger::{Memory, give_way};

/// The most times that a call waits for others.
const MOST_TURNS: u32 = 10_000;

const MIDNIGHT: OffsetDateTime = datetime!(2026-11-30 00:00 UTC);

/// The end of a call.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// The call spends this share of its amount, in percent. It is committed, some commits twice.
    Committed { percent: u8, twice: bool },
    /// The function is killed, and the run is not finalized within the scene.
    Killed,
    /// The function is killed, and the run is finalized: the call keeps its worst case.
    Finalized,
}

#[derive(Clone, Debug)]
pub struct CallPlan {
    /// The number of moments that pass before the call.
    delay: u8,
    amount: u32,
    /// The seconds before or after the turn of the window.
    at: i64,
    /// True if the call is planned with the second revision of the limits.
    is_later: bool,
    end: End,
}

#[derive(Clone, Debug)]
pub struct Scene {
    /// The limits of the two budgets by revision, in cents.
    limits: [[u32; 2]; 2],
    calls: Vec<CallPlan>,
    /// The call that goes on next, at each moment.
    order: Vec<prop::sample::Index>,
}

/// A call that was made.
#[derive(Clone, Debug)]
pub struct Committed {
    pub at: OffsetDateTime,
    /// The amount that was reserved from each counter.
    pub amounts: Vec<Decimal>,
    /// The amount that was spent. `None` if the reservation is still there.
    pub spent: Option<Decimal>,
}

pub fn scenes() -> impl Strategy<Value = Scene> {
    let end = prop_oneof![
        4 => (0_u8..=100, any::<bool>()).prop_map(|(percent, twice)| End::Committed { percent, twice }),
        1 => Just(End::Killed),
        1 => Just(End::Finalized),
    ];
    // A call of the second revision is not made before one of the first.
    let call = (0_u8..40, 1_u32..3_000, -2_i64..2, any::<bool>(), end).prop_map(
        |(delay, amount, at, is_later, end)| {
            let delay = if is_later { delay + 10 } else { delay };
            CallPlan { delay, amount, at, is_later, end }
        },
    );
    // Limits below and above the one from which a counter is split.
    let limit = || prop_oneof![1_000_u32..9_000, 10_000_u32..30_000];
    let limits = [[limit().boxed(), limit().boxed()], [limit().boxed(), limit().boxed()]];
    (limits, vec(call, 1..40), vec(any::<prop::sample::Index>(), 50..400))
        .prop_map(|(limits, calls, order)| Scene { limits, calls, order })
}

impl Scene {
    /// Returns the scene without a change of limits, and in which each run that is killed is finalized.
    pub fn without_events(mut self) -> Self {
        self.limits[1] = self.limits[0];
        for call in &mut self.calls {
            if matches!(call.end, End::Killed) {
                call.end = End::Finalized;
            }
            call.is_later = false;
            call.amount = call.amount.min(*self.limits[0].iter().min().unwrap());
        }
        self
    }

    /// Returns the counters of a call: one of a day and one without an end.
    pub fn counters(&self, at: OffsetDateTime) -> Vec<String> {
        vec![format!("day##{}", at.date()), "total##total".to_owned()]
    }

    fn limits(&self, plan: &CallPlan, at: OffsetDateTime) -> Vec<Limit> {
        let limits = &self.limits[usize::from(plan.is_later)];
        let of = |(counter, limit): (String, &u32)| Limit {
            counter,
            unit: Unit::Usd,
            limit: Decimal::new((*limit).into(), 2),
            revision: 1 + u64::from(plan.is_later),
            expires_at: None,
        };
        self.counters(at).into_iter().zip(limits).map(of).collect()
    }

    async fn call(&self, memory: &Memory, n: usize) -> Option<Committed> {
        let plan = &self.calls[n];
        for _ in 0..plan.delay {
            give_way().await;
        }
        let at = MIDNIGHT + Duration::seconds(plan.at);
        let limits = self.limits(plan, at);
        let run = RunRef::first("default", "explain", &n.to_string());
        let step = StepRef { step: "answer".into(), item: None, route: "haiku".into() };
        let amount = Decimal::new(plan.amount.into(), 2);
        let reserved = limits.iter().map(|limit| Reserved {
            counter: limit.counter.clone(),
            shard: limit.shard(&run.run_id),
            revision: limit.revision,
            unit: limit.unit,
            amount,
        });
        let target = serde_json::from_str(r#"{ "region": "r", "model_id": "m" }"#).unwrap();
        let call = LoggedCall { reserved: reserved.collect(), ..LoggedCall::new(at, target) };
        for turn in 0.. {
            assert!(turn < MOST_TURNS, "a call waits forever");
            match reserve(memory, &run, &step, &call, &limits).await.unwrap() {
                Reservation::Made => break,
                // The other calls go on, so one of them comes to an end.
                Reservation::Contended => {}
                Reservation::Busy(_) if !self.has_kills() => {}
                Reservation::Busy(_) => return None,
                Reservation::Exceeded(shortage) => {
                    memory.refuse(&limits[shortage.at].counter, amount);
                    return None;
                }
            }
        }
        let amounts = vec![amount; 2];
        let spend = async |spent: Decimal| {
            memory.commit_call(&run, &step, &call, &[spent, spent]).await.unwrap()
        };
        let spent = match plan.end {
            End::Killed => None,
            End::Finalized => {
                assert!(spend(amount).await);
                Some(amount)
            }
            End::Committed { percent, twice } => {
                let spent = amount * Decimal::new(percent.into(), 2);
                assert!(spend(spent).await);
                assert!(!twice || !spend(amount).await, "a commit is repeated");
                Some(spent)
            }
        };
        Some(Committed { at, amounts, spent })
    }

    fn has_kills(&self) -> bool {
        self.calls.iter().any(|call| matches!(call.end, End::Killed))
    }
}

/// Plays a scene. Returns the calls that were made.
pub fn play(scene: &Scene, memory: &Memory) -> Vec<Committed> {
    type Running<'a> = Pin<Box<dyn Future<Output = Option<Committed>> + 'a>>;
    let mut running: Vec<Running<'_>> =
        (0..scene.calls.len()).map(|n| Box::pin(scene.call(memory, n)) as Running<'_>).collect();
    let mut context = Context::from_waker(Waker::noop());
    let mut made = Vec::new();
    let mut turns = scene.order.iter().cycle();
    while !running.is_empty() {
        let at = turns.next().unwrap().index(running.len());
        if let Poll::Ready(committed) = running[at].as_mut().poll(&mut context) {
            made.extend(committed);
            drop(running.swap_remove(at));
        }
    }
    made
}
