//! Random numbers that are the same everywhere and for ever: SplitMix64.

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self { state: seed };
        random.state = random.draw();
        random
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = (high - low + 1) as u64;
        low + ((u128::from(self.draw()) * u128::from(width)) >> 64) as i64
    }

    /// True so often in a thousand.
    pub(crate) fn permille(&mut self, often: u32) -> bool {
        self.between(0, 999) < i64::from(often)
    }

    /// Mostly `low`..`usual`, now and then many times as much, up to `most`.
    pub(crate) fn heavy_tailed(&mut self, low: i64, usual: i64, most: i64, often_permille: u32) -> i64 {
        if !self.permille(often_permille) {
            return self.between(low, usual);
        }
        // Each doubling is half as likely as the one before.
        let mut limit = usual.max(1) * 2;
        while limit < most && self.permille(600) {
            limit *= 2;
        }
        self.between(usual, limit.min(most).max(usual))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_within_their_limits_and_reach_them() {
        let mut random = Random::new(7);
        let mut seen = [false; 5];
        (0..200).for_each(|_| seen[random.between(0, 4) as usize] = true);
        assert_eq!(seen, [true; 5]);
        let tail: Vec<i64> = (0..10_000).map(|_| random.heavy_tailed(1, 5, 2_000, 100)).collect();
        assert!(tail.iter().all(|n| (1..=2_000).contains(n)));
        assert!(tail.iter().any(|n| *n > 500));
        assert!(tail.iter().filter(|n| **n <= 5).count() > 8_500);
    }

    #[test]
    fn a_seed_gives_the_same_numbers_each_time() {
        assert_eq!(Random::new(1).draw(), Random::new(1).draw());
        assert_ne!(Random::new(1).draw(), Random::new(2).draw());
    }
}
