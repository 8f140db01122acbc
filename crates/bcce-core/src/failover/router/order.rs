//! Sorts targets. Targets of the same rank share the load by a hash of the step, in proportion to their weights.

use rust_decimal::prelude::ToPrimitive;

use crate::base::usage::Usage;
use crate::config::cache::CacheTtl;
use crate::config::routing::Strategy;
use crate::failover::router::{Question, Ruling};

/// One step in this many tries targets without a median first. Otherwise a slow or new target would never be measured.
/// Not all steps do so, because it may take a while until enough calls have ended.
const MEASURES: u64 = 4;
/// The rank of a target without a median in a step that measures: before every bucket.
const TO_MEASURE: f64 = -1.0;
/// The rank of a target without a median in any other step: after every bucket.
const UNMEASURED: f64 = 1_000.0;

/// The values by which a target is sorted, the lowest first.
struct Rank {
    /// The number of times that the target failed this step.
    failures: usize,
    /// The rank by the strategy.
    rank: f64,
    /// The order among targets of the same rank.
    share: f64,
    at: usize,
}

/// Sorts positions of the route: fewest failures of this step first, then by the route's strategy.
pub(super) fn sort(question: &Question<'_>, ruled: &[Ruling], order: &mut [usize]) {
    if order.len() < 2 {
        return;
    }
    let mut ranks: Vec<Rank> = order
        .iter()
        .map(|at| Rank {
            failures: if let Ruling::Failed(times) = ruled[*at] { times } else { 0 },
            rank: rank(question, *at),
            share: share(question, *at),
            at: *at,
        })
        .collect();
    ranks.sort_unstable_by(|a, b| {
        let by_rank = || a.rank.total_cmp(&b.rank);
        a.failures.cmp(&b.failures).then_with(by_rank).then_with(|| a.share.total_cmp(&b.share))
    });
    order.iter_mut().zip(ranks).for_each(|(place, rank)| *place = rank.at);
}

/// Returns the rank of a target by the route's strategy. The lowest rank comes first.
fn rank(question: &Question<'_>, at: usize) -> f64 {
    match question.route.routing.strategy {
        Strategy::Priority => question.route.targets[at].priority.map_or(at as f64, f64::from),
        Strategy::RoundRobin => 0.0,
        Strategy::Latency => {
            let median = question.health.get(at).and_then(|health| health.latency.median());
            let measures = mixed(question.seed).is_multiple_of(MEASURES);
            let unmeasured = if measures { TO_MEASURE } else { UNMEASURED };
            median.map_or(unmeasured, |bucket| bucket as f64)
        }
        Strategy::Cost => cost(question, at).unwrap_or(f64::INFINITY),
    }
}

/// Estimates the cost of the call on a target today, in USD. A prompt in the target's cache is read from it. Any other
/// prompt that the step wants cached is written first. Returns `None` if the price is unknown.
fn cost(question: &Question<'_>, at: usize) -> Option<f64> {
    let price = question.route.targets[at].prices.as_ref()?.at(question.now)?;
    let expected = question.route.expected.as_ref()?;
    let mut usage = Usage {
        input_tokens: expected.input_tokens,
        output_tokens: expected.output_tokens,
        ..Usage::default()
    };
    if let Some(cached) = &expected.cached {
        let is_warm = question.health.get(at).is_some_and(|health| health.is_warm);
        match (is_warm, cached.lasts) {
            (true, _) => usage.cache_read_tokens = cached.tokens,
            (false, CacheTtl::FiveMinutes) => usage.cache_write_5m_tokens = cached.tokens,
            (false, CacheTtl::Hour) => usage.cache_write_1h_tokens = cached.tokens,
        }
    }
    price.cost(&usage).to_f64()
}

/// Returns the order among targets of the same rank by weighted rendezvous hashing. Over many steps, a target comes
/// first in proportion to its weight. If it is not usable, the others keep their order.
fn share(question: &Question<'_>, at: usize) -> f64 {
    let hash = mixed(question.seed.wrapping_add(at as u64 + 1));
    // A number in (0, 1] of 53 bits.
    let uniform = ((hash >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    -uniform.ln() / f64::from(question.route.targets[at].weight.max(1))
}

/// Mixes a seed with the finalizer of SplitMix64. Each bit of the input changes about half of the bits of the output.
fn mixed(seed: u64) -> u64 {
    let z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
