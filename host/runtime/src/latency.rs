//! How long rows are on their way through a job: from when their source handed them over until the sink has written them.
//!
//! A histogram as in [HDR histograms](http://hdrhistogram.org): each doubling has eight buckets, so what is said of a value is
//! at most an eighth too high. It is filled by one addition a batch, and always on.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

/// Buckets of each doubling, as a power of two. Values below two to this have a bucket each.
const PRECISION_BITS: u32 = 3;
const PER_DOUBLING: u64 = 1 << PRECISION_BITS;

/// Longer ones, of more than 71 minutes, are counted as this.
const MAX_US: u64 = (1 << 32) - 1;

const BUCKETS: usize = bucket_of(MAX_US) + 1;

/// The bucket of a latency of so many µs.
const fn bucket_of(us: u64) -> usize {
    if us < PER_DOUBLING {
        return us as usize;
    }
    let shift = us.ilog2() - PRECISION_BITS;
    ((shift as u64 + 1) * PER_DOUBLING + ((us >> shift) - PER_DOUBLING)) as usize
}

/// The longest latency in a bucket, µs.
const fn longest_in(bucket: usize) -> u64 {
    let (doubling, place) = (bucket as u64 / PER_DOUBLING, bucket as u64 % PER_DOUBLING);
    match doubling.checked_sub(1) {
        None => place,
        Some(shift) => ((PER_DOUBLING + place + 1) << shift) - 1,
    }
}

/// Rows by the time they took. Subtasks add; anybody reads.
#[derive(Debug)]
pub(crate) struct Histogram {
    rows: [AtomicU64; BUCKETS],
    row_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { rows: std::array::from_fn(|_| AtomicU64::new(0)), row_us: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// So many rows took so many µs each.
    pub(crate) fn record(&self, us: u64, rows: u64) {
        let us = us.min(MAX_US);
        self.rows[bucket_of(us)].fetch_add(rows, Relaxed);
        self.row_us.fetch_add(us.saturating_mul(rows), Relaxed);
    }

    pub(crate) fn latencies(&self) -> Latencies {
        let rows = self.rows.iter().map(|rows| rows.load(Relaxed)).enumerate();
        let buckets = rows.filter(|(_, rows)| *rows > 0).map(|(bucket, rows)| (bucket as u16, rows)).collect();
        Latencies { buckets, row_us: self.row_us.load(Relaxed) }
    }
}

/// How long rows took, at one moment: the buckets that are not empty, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latencies {
    buckets: Vec<(u16, u64)>,
    /// The times of all rows together, µs.
    row_us: u64,
}

impl Latencies {
    /// Those of others besides.
    pub fn add(&mut self, other: &Self) {
        self.row_us = self.row_us.saturating_add(other.row_us);
        for &(bucket, rows) in &other.buckets {
            match self.buckets.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
                Ok(place) => self.buckets[place].1 += rows,
                Err(place) => self.buckets.insert(place, (bucket, rows)),
            }
        }
    }

    /// Rows that were measured.
    pub fn rows(&self) -> u64 {
        self.buckets.iter().map(|(_, rows)| rows).sum()
    }

    /// The times of all rows together, in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.row_us as f64 / 1e6
    }

    /// What this part of the rows, 0 to 1, did not exceed, in µs; none if there are no rows.
    pub fn quantile_us(&self, part: f64) -> Option<u64> {
        let wanted = ((self.rows() as f64 * part).ceil() as u64).max(1);
        let mut rows = 0;
        let reached = self.buckets.iter().find(|(_, more)| {
            rows += more;
            rows >= wanted
        });
        reached.or(self.buckets.last()).map(|(bucket, _)| longest_in(usize::from(*bucket)))
    }

    /// Rows that took at most about so many µs: those of buckets that end by then.
    pub fn rows_within(&self, us: u64) -> u64 {
        self.buckets.iter().filter(|(bucket, _)| longest_in(usize::from(*bucket)) <= us).map(|(_, rows)| rows).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_gaps_and_none_is_wider_than_an_eighth() {
        let mut next = 0;
        for bucket in 0..BUCKETS {
            let longest = longest_in(bucket);
            assert_eq!((bucket_of(next), bucket_of(longest)), (bucket, bucket), "{next} to {longest}");
            assert!(longest - next <= next / 8, "{next} to {longest}");
            next = longest + 1;
        }
        assert_eq!(next, MAX_US + 1);
    }

    #[test]
    fn quantiles_are_those_of_the_rows() {
        let histogram = Histogram::default();
        assert_eq!(histogram.latencies().quantile_us(0.5), None);
        histogram.record(5, 98);
        histogram.record(1_000, 1);
        histogram.record(u64::MAX, 1);
        let mut latencies = histogram.latencies();
        assert_eq!(latencies.rows(), 100);
        assert_eq!(latencies.quantile_us(0.98), Some(5));
        assert_eq!(latencies.quantile_us(0.99), Some(1_023));
        assert_eq!(latencies.quantile_us(1.0), Some(MAX_US));
        assert_eq!((latencies.rows_within(5), latencies.rows_within(1_023), latencies.rows_within(4)), (98, 99, 0));
        let other = Histogram::default();
        other.record(1, 100);
        other.record(5, 2);
        latencies.add(&other.latencies());
        assert_eq!((latencies.rows(), latencies.quantile_us(0.49), latencies.rows_within(5)), (202, Some(1), 200));
    }
}
