//! Random numbers that a seed determines. Each random choice has its own number, so that the choices for one request do
//! not depend on what happened to other requests. Two simulations can therefore be compared request by request.

use std::f64::consts::TAU;
use std::time::Duration;

/// One random number, from which further independent ones are derived.
#[derive(Clone, Copy, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(mixed(seed))
    }

    /// Returns an independent number for the choice `part`. The same part always has the same number.
    pub fn of(self, part: u64) -> Self {
        Self(mixed(self.0 ^ mixed(part.wrapping_add(1))))
    }

    pub fn number(self) -> u64 {
        self.0
    }

    /// Returns the number as a value of the uniform distribution over (0, 1).
    pub fn uniform(self) -> f64 {
        ((self.0 >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    /// Returns true with this probability, which is between 0 and 1.
    pub fn happens(self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// Returns the time between two independent arrivals, with `per_second` arrivals a second on average.
    pub fn pause(self, per_second: f64) -> Duration {
        Duration::from_secs_f64(-self.uniform().ln() / per_second)
    }

    /// Returns a time of a lognormal distribution. Half of the times are below `median`, and one in six is above
    /// `median` times e to the power of `sigma`.
    pub fn time(self, median: Duration, sigma: f64) -> Duration {
        let (radius, angle) = (self.of(0).uniform(), self.of(1).uniform());
        let normal = (-2.0 * radius.ln()).sqrt() * (TAU * angle).cos();
        median.mul_f64((sigma * normal).exp())
    }
}

/// Mixes the bits of `seed` with SplitMix64.
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
    fn numbers_follow_their_distributions() {
        let uniform = mean(Dice::uniform);
        assert!((uniform - 0.5).abs() < 0.01, "{uniform}");
        let pause = mean(|dice| dice.pause(50.0).as_secs_f64());
        assert!((pause - 0.02).abs() < 0.000_5, "{pause}");
        let median = Duration::from_secs(3);
        let below = mean(|dice| f64::from(u8::from(dice.time(median, 0.5) < median)));
        assert!((below - 0.5).abs() < 0.02, "{below}");
    }

    #[test]
    fn equal_seeds_give_equal_numbers_and_different_seeds_different_ones() {
        let rolled = |seed| Dice::new(seed).of(7).of(1).number();
        assert_eq!(rolled(3), rolled(3));
        assert_ne!(rolled(3), rolled(4));
    }
}
