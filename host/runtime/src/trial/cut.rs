//! Cutting rows into pieces: by the contract, whatever the pieces, the results are the same.

/// In which pieces the rows of a step are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// As they were read.
    Whole,
    /// Row by row.
    Single,
    /// At places that follow from a seed.
    Random { seed: u64 },
}

/// A cut in progress.
#[derive(Debug)]
pub(super) struct Cutter {
    cut: Cut,
    numbers: Numbers,
}

impl Cut {
    pub(super) fn start(self) -> Cutter {
        let seed = if let Self::Random { seed } = self { seed } else { 0 };
        Cutter { cut: self, numbers: Numbers(seed) }
    }
}

/// Pieces that are cut off a batch at random, at most: a call costs more than a row.
const PIECES_MAX: u64 = 64;

impl Cutter {
    /// The rows of the next piece, of so many that are left, at least one.
    pub(super) fn next(&mut self, left: usize) -> usize {
        match self.cut {
            Cut::Whole => left,
            Cut::Single => 1,
            Cut::Random { .. } => {
                // Small pieces and large ones alike: the size's order of magnitude is what is drawn first.
                let magnitude = self.numbers.below(1 + left.ilog2() as u64);
                let least = (left as u64).div_ceil(PIECES_MAX);
                let rows = (1 + self.numbers.below(2 << magnitude)).max(least);
                (rows as usize).min(left)
            }
        }
    }
}

/// Numbers that follow from a seed: the generator known as SplitMix64.
#[derive(Debug)]
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    /// A number below this one.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(cut: Cut, rows: usize) -> Vec<usize> {
        let (mut cutter, mut left, mut pieces) = (cut.start(), rows, Vec::new());
        while left > 0 {
            let piece = cutter.next(left);
            assert!((1..=left).contains(&piece), "{piece} of {left}");
            left -= piece;
            pieces.push(piece);
        }
        pieces
    }

    #[test]
    fn every_row_is_in_one_piece() {
        assert_eq!(pieces(Cut::Whole, 5), [5]);
        assert_eq!(pieces(Cut::Single, 3), [1, 1, 1]);
        for rows in [1, 2, 3, 100, 4_096] {
            let all: Vec<Vec<usize>> = (0..200).map(|seed| pieces(Cut::Random { seed }, rows)).collect();
            assert!(all.iter().all(|pieces| pieces.iter().sum::<usize>() == rows));
            assert!(all.iter().all(|pieces| pieces.len() <= 8 * PIECES_MAX as usize), "calls are bounded");
            assert!(rows == 1 || all.iter().any(|pieces| pieces.len() > 1), "{rows} rows are cut");
        }
    }

    #[test]
    fn a_seed_says_all() {
        assert_eq!(pieces(Cut::Random { seed: 7 }, 1_000), pieces(Cut::Random { seed: 7 }, 1_000));
        assert_ne!(pieces(Cut::Random { seed: 7 }, 1_000), pieces(Cut::Random { seed: 8 }, 1_000));
    }
}
