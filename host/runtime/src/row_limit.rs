//! How many rows the sources of an attempt may bring in all.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Rows that are left to bring; shared by all source subtasks of an attempt.
#[derive(Debug)]
pub(crate) struct RowLimit {
    left: AtomicU64,
}

impl RowLimit {
    pub(crate) fn new(rows: u64) -> Self {
        Self { left: AtomicU64::new(rows) }
    }

    /// How many of so many rows may still be brought. They count as brought.
    pub(crate) fn take(&self, rows: usize) -> usize {
        let take = |left: u64| Some(left.saturating_sub(rows as u64));
        let left = self.left.fetch_update(Relaxed, Relaxed, take).expect("the closure always has an answer");
        usize::try_from(left).map_or(rows, |left| left.min(rows))
    }

    /// Whether no row is left.
    pub(crate) fn is_spent(&self) -> bool {
        self.left.load(Relaxed) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_granted_until_there_are_none() {
        let limit = RowLimit::new(10);
        let granted: Vec<usize> = [4, 0, 4, 4, 4].map(|rows| limit.take(rows)).to_vec();
        assert_eq!(granted, [4, 0, 4, 2, 0]);
        assert!(limit.is_spent());
        assert!(RowLimit::new(0).is_spent());
        assert!(!RowLimit::new(1).is_spent());
    }
}
