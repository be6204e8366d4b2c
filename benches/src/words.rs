//! Text to count words in: a vocabulary in which the second word is half as frequent as the first, the third a third
//! (Zipf's law), ten words a line. The same bytes every time.

use std::{
    collections::HashSet,
    fs,
    io::{self, BufWriter, Write},
    path::Path,
};

use anyhow::{Context, Result};

use crate::events::mix;

const VOCABULARY: usize = 100_000;
const WORDS_A_LINE: usize = 10;

/// Makes sure that a file holds the text, of at least so many bytes.
pub(crate) fn write(path: &Path, bytes: u64) -> Result<()> {
    if fs::metadata(path).is_ok_and(|found| found.len() >= bytes && found.len() < bytes + 1_000) {
        return Ok(());
    }
    let unfinished = path.with_extension("part");
    let file = fs::File::create(&unfinished).with_context(|| format!("could not write {}", unfinished.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    generate(&mut out, bytes)
        .and_then(|()| out.flush())
        .and_then(|()| fs::rename(&unfinished, path))
        .with_context(|| format!("could not write {}", path.display()))
}

/// Writes whole lines until there are so many bytes.
fn generate(out: &mut impl Write, bytes: u64) -> io::Result<()> {
    let mut numbers = Numbers(7);
    let vocabulary = vocabulary(&mut numbers);
    let choice = Choice::new(VOCABULARY);
    let mut line = Vec::new();
    let mut written = 0;
    while written < bytes {
        line.clear();
        for place in 0..WORDS_A_LINE {
            if place > 0 {
                line.push(b' ');
            }
            line.extend_from_slice(vocabulary[choice.next(&mut numbers)].as_bytes());
        }
        line.push(b'\n');
        out.write_all(&line)?;
        written += line.len() as u64;
    }
    Ok(())
}

/// A reproducible row of numbers.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        mix(self.0)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// Different words of three to nine letters.
fn vocabulary(numbers: &mut Numbers) -> Vec<String> {
    let mut seen = HashSet::with_capacity(VOCABULARY);
    let mut words = Vec::with_capacity(VOCABULARY);
    while words.len() < VOCABULARY {
        let letters = 3 + numbers.below(7);
        let word: String = (0..letters).map(|_| char::from(b'a' + numbers.below(26) as u8)).collect();
        if seen.insert(word.clone()) {
            words.push(word);
        }
    }
    words
}

/// Draws places by Zipf's law with two numbers and no search: each place keeps its share, and lends the rest of its
/// slot to another (Vose's alias method).
struct Choice {
    /// The share of its slot that a place keeps, of 2^32, and who gets the rest.
    slots: Vec<(u64, u32)>,
}

impl Choice {
    fn new(places: usize) -> Self {
        let weights: Vec<f64> = (1..=places).map(|rank| 1.0 / rank as f64).collect();
        let total: f64 = weights.iter().sum();
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight * places as f64 / total).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..places).partition(|&place| shares[place] < 1.0);
        let mut slots = vec![(1 << 32, 0); places];
        while let (Some(poor), Some(&rich)) = (small.pop(), large.last()) {
            slots[poor] = ((shares[poor] * 4_294_967_296.0) as u64, rich as u32);
            shares[rich] -= 1.0 - shares[poor];
            if shares[rich] < 1.0 {
                small.extend(large.pop());
            }
        }
        Self { slots }
    }

    fn next(&self, numbers: &mut Numbers) -> usize {
        let number = numbers.next();
        let place = (((number >> 32) * self.slots.len() as u64) >> 32) as usize;
        let (kept, other) = self.slots[place];
        if number & 0xffff_ffff < kept { place } else { other as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_same_every_time_and_made_of_whole_lines() {
        let text = |bytes| {
            let mut out = Vec::new();
            generate(&mut out, bytes).expect("a Vec takes everything");
            String::from_utf8(out).expect("letters only")
        };
        let (short, long) = (text(10_000), text(20_000));
        assert!(long.starts_with(&short) && long.len() >= 20_000 && long.len() < 20_100);
        assert!(long.lines().all(|line| line.split(' ').count() == WORDS_A_LINE));
        assert!(long.ends_with('\n'));
    }

    #[test]
    fn frequencies_follow_zipfs_law() {
        let (choice, mut numbers) = (Choice::new(1_000), Numbers(1));
        let mut counts = vec![0_u32; 1_000];
        for _ in 0..1_000_000 {
            counts[choice.next(&mut numbers)] += 1;
        }
        // Of a million draws the first of 1,000 places gets 1 / H(1000) = 133,592, the second half, the tenth a tenth.
        for (rank, expect) in [(1, 133_592.0), (2, 66_796.0), (10, 13_359.0), (100, 1_336.0)] {
            let found = f64::from(counts[rank - 1]);
            assert!((found / expect - 1.0).abs() < 0.15, "rank {rank}: {found} instead of {expect}");
        }
    }

    #[test]
    fn a_file_that_is_there_is_left_alone() {
        let path = std::env::temp_dir().join(format!("wasmill-words-{}", std::process::id()));
        write(&path, 5_000).expect("the folder for temporary files can be written");
        let first = fs::metadata(&path).and_then(|m| m.modified()).expect("was written");
        write(&path, 5_000).expect("is there");
        let second = fs::metadata(&path).and_then(|m| m.modified()).expect("is still there");
        fs::remove_file(&path).expect("is there");
        assert_eq!(first, second);
    }
}
