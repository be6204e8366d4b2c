//! Random numbers that are the same everywhere and for ever: SplitMix64.

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The stream that belongs to a seed and a number.
    pub fn new(seed: u64, number: u64) -> Self {
        let mut outer = Self { state: seed };
        let mut inner = Self { state: number ^ outer.draw() };
        Self { state: inner.draw() }
    }

    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.draw()) * limit as u128) >> 64) as usize
    }

    /// Once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Numbers in which mistakes hide: small, large, at the edge of a type; and any.
    pub fn odd_number(&mut self) -> u64 {
        let edge = 1_u64 << self.below(64);
        match self.below(6) {
            0 => self.below(16) as u64,
            1 => edge,
            2 => edge - 1,
            3 => edge.wrapping_neg(),
            4 => u64::MAX - self.below(16) as u64,
            _ => self.draw(),
        }
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.draw() as u8).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_each_time_and_none_is_like_another() {
        let first = |seed, number| Random::new(seed, number).draw();
        assert_eq!(first(1, 2), first(1, 2));
        let mut seen: Vec<u64> = (0..100).flat_map(|seed| (0..100).map(move |number| first(seed, number))).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 10_000);
    }

    #[test]
    fn numbers_stay_below_their_limit_and_reach_it() {
        let mut random = Random::new(0, 0);
        let mut seen = [false; 5];
        (0..200).for_each(|_| seen[random.below(5)] = true);
        assert_eq!(seen, [true; 5]);
    }
}
