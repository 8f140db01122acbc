//! The source of all random choices of the test.

/// A SplitMix64 generator: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
pub struct Seed(u64);

impl Seed {
    /// Reads `BCCE_SEED`, or takes the clock as the seed. Prints the seed, so that it can be given again.
    pub fn from_env() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let given = std::env::var("BCCE_SEED").ok().filter(|seed| !seed.is_empty());
        let seed = given.map_or(now.as_nanos() as u64, |seed| {
            seed.parse().expect("BCCE_SEED must be a number")
        });
        eprintln!("BCCE_SEED={seed}");
        Self(seed)
    }

    /// Returns a second generator, so that two tasks do not take each other's numbers.
    pub fn split(&mut self) -> Self {
        Self(self.draw())
    }

    /// Draws the next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number from `least` to `most`, both included.
    pub fn between(&mut self, least: usize, most: usize) -> usize {
        least + (self.draw() % (most - least + 1) as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.between(0, among.len() - 1)]
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.between(0, last));
        }
    }
}

/// The generator gives the first numbers that are published for SplitMix64 with this seed.
#[test]
fn the_generator_gives_the_published_numbers() {
    let mut seed = Seed(1_234_567);
    let first = [(); 3].map(|()| seed.draw());
    let published =
        [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
    assert_eq!(first, published);
}
