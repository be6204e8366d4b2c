//! What is left to read, divided into what is given to a subtask at once: a large file by itself, small ones together.
//!
//! All subtasks come to the same portions, and number them alike, as they see the same files and the same positions.

use std::{iter, ops::Range};

/// Portions for each subtask that reads, if there are as many files: so much can one of them be ahead of another at the end.
const EACH: usize = 32;

/// What opening a file costs, as if it were bytes of it.
const OPENING_BYTES: u64 = 16 << 10;

/// A file that is left to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    /// Its place among the splits.
    pub(super) split: usize,
    pub(super) bytes: u64,
    /// Nobody who reads it is to have others waiting behind it that it was given for: how long it takes is not known.
    pub(super) alone: bool,
}

/// Divides what is left among so many subtasks: places in `left`, in their order. For one that reads alone it is one portion; for
/// several there are as many as there are files, if these are few.
pub(super) fn portions(left: &[Left], readers: usize) -> Vec<Range<usize>> {
    if readers == 1 && !left.is_empty() {
        return iter::once(0..left.len()).collect();
    }
    let wanted = EACH * readers;
    let weight = |file: &Left| file.bytes + OPENING_BYTES;
    let most = match left.len() <= wanted {
        true => 0,
        false => left.iter().map(weight).sum::<u64>() / wanted as u64,
    };
    let mut portions: Vec<Range<usize>> = Vec::new();
    let (mut weighs, mut closed) = (0, true);
    for (place, file) in left.iter().enumerate() {
        match portions.last_mut() {
            Some(last) if !closed && !file.alone && weighs + weight(file) <= most => {
                last.end = place + 1;
                weighs += weight(file);
            }
            _ => {
                portions.push(place..place + 1);
                weighs = weight(file);
            }
        }
        closed = file.alone;
    }
    portions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(sizes: &[u64], readers: usize) -> Vec<usize> {
        let left: Vec<Left> =
            sizes.iter().enumerate().map(|(split, &bytes)| Left { split, bytes, alone: bytes == 7 }).collect();
        let portions = portions(&left, readers);
        let places: Vec<usize> = portions.iter().cloned().flatten().collect();
        assert_eq!(places, (0..sizes.len()).collect::<Vec<_>>(), "each file once, in its order");
        portions.iter().map(ExactSizeIterator::len).collect()
    }

    #[test]
    fn few_files_are_given_one_by_one() {
        assert_eq!(lengths(&[200 << 20, 1, 1, 1], 4), [1; 4]);
        assert_eq!(lengths(&[1_000; 64], 2), [1; 64]);
        assert_eq!(lengths(&[], 2), [0; 0]);
        assert_eq!(lengths(&[], 1), [0; 0]);
        assert_eq!(lengths(&[1_000; 100], 1), [100]);
    }

    #[test]
    fn many_small_files_are_given_together_and_a_large_one_alone() {
        let many = lengths(&[1_000; 10_000], 2);
        assert!((60..=70).contains(&many.len()), "{}", many.len());
        assert!(many.iter().rev().skip(1).all(|files| (150..=157).contains(files)), "{many:?}");
        let mut sizes = vec![1_000; 1_000];
        sizes[500] = 100 << 20;
        let uneven = lengths(&sizes, 2);
        assert_eq!(uneven.iter().sum::<usize>(), 1_000);
        let mut first = 0;
        let holds = uneven.iter().find(|&&files| {
            first += files;
            first > 500
        });
        assert_eq!(holds, Some(&1), "nothing waits behind the large one: {uneven:?}");
    }

    #[test]
    fn what_was_begun_is_given_alone() {
        let mut sizes = vec![1_000; 500];
        (sizes[3], sizes[250]) = (7, 7);
        let lengths = lengths(&sizes, 2);
        assert_eq!(lengths[..2], [3, 1]);
        let mut end = 0;
        let holds = lengths.iter().find(|&&files| {
            end += files;
            end > 250
        });
        assert_eq!((holds, end), (Some(&1), 251), "{lengths:?}");
    }
}
