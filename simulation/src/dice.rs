//! Chance that a seed decides. Each question has a number of its own, so that a request meets the same
//! luck whatever happened to others before it, and runs can be compared request by request.

use std::f64::consts::TAU;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(mixed(seed))
    }

    /// Dice for a part of what these are for.
    pub fn of(self, part: u64) -> Self {
        Self(mixed(self.0 ^ mixed(part.wrapping_add(1))))
    }

    pub fn number(self) -> u64 {
        self.0
    }

    /// In (0, 1).
    pub fn uniform(self) -> f64 {
        ((self.0 >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    pub fn happens(self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// Between two arrivals that know nothing of each other.
    pub fn pause(self, per_second: f64) -> Duration {
        Duration::from_secs_f64(-self.uniform().ln() / per_second)
    }

    /// Lognormal: half of them are below `median`, and one in six above `median` times e to the `sigma`.
    pub fn time(self, median: Duration, sigma: f64) -> Duration {
        let (radius, angle) = (self.of(0).uniform(), self.of(1).uniform());
        let normal = (-2.0 * radius.ln()).sqrt() * (TAU * angle).cos();
        median.mul_f64((sigma * normal).exp())
    }
}

/// SplitMix64.
fn mixed(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLLS: u64 = 20_000;

    fn mean(of: impl Fn(Dice) -> f64) -> f64 {
        let dice = Dice::new(1);
        (0..ROLLS).map(|n| of(dice.of(n))).sum::<f64>() / ROLLS as f64
    }

    #[test]
    fn what_is_rolled_has_the_shape_that_was_asked_for() {
        let uniform = mean(Dice::uniform);
        assert!((uniform - 0.5).abs() < 0.01, "{uniform}");
        let pause = mean(|dice| dice.pause(50.0).as_secs_f64());
        assert!((pause - 0.02).abs() < 0.000_5, "{pause}");
        let median = Duration::from_secs(3);
        let below = mean(|dice| f64::from(u8::from(dice.time(median, 0.5) < median)));
        assert!((below - 0.5).abs() < 0.02, "{below}");
    }

    #[test]
    fn the_same_seed_rolls_the_same_and_another_another() {
        let rolled = |seed| Dice::new(seed).of(7).of(1).number();
        assert_eq!(rolled(3), rolled(3));
        assert_ne!(rolled(3), rolled(4));
    }
}
