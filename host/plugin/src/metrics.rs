//! Numbers that a guest keeps for its operator's dashboard.

use std::collections::BTreeMap;

/// Bytes of a name.
const NAME_BYTES_MAX: usize = 64;

/// What stands under one name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metric {
    /// Only grows.
    Counter(u64),
    /// The last number set.
    Gauge(f64),
}

/// The counters and gauges of one instance, since it was started.
#[derive(Debug, Clone)]
pub struct Metrics {
    names_max: usize,
    by_name: BTreeMap<String, Metric>,
    refused: u64,
}

impl Metrics {
    pub(crate) fn new(names_max: usize) -> Self {
        Self { names_max, by_name: BTreeMap::new(), refused: 0 }
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Metric)> {
        self.by_name.iter().map(|(name, &metric)| (name.as_str(), metric))
    }

    /// Numbers that were thrown away: for a bad name, for one name too many, or for a name that stands for the other kind.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn add(&mut self, name: &str, delta: u64) {
        match self.entry(name, Metric::Counter(0)) {
            Some(Metric::Counter(sum)) => *sum = sum.saturating_add(delta),
            _ => self.refused += 1,
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: f64) {
        match self.entry(name, Metric::Gauge(value)) {
            Some(Metric::Gauge(last)) => *last = value,
            _ => self.refused += 1,
        }
    }

    fn entry(&mut self, name: &str, first: Metric) -> Option<&mut Metric> {
        if !self.by_name.contains_key(name) {
            let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            let named = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(good);
            if !named || self.by_name.len() == self.names_max {
                return None;
            }
            self.by_name.insert(name.to_owned(), first);
        }
        self.by_name.get_mut(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_up_and_gauges_stay() {
        let mut metrics = Metrics::new(3);
        metrics.add("rows", 2);
        metrics.add("rows", 3);
        metrics.set("load", 0.5);
        metrics.set("load", 0.25);
        metrics.add("most", u64::MAX);
        metrics.add("most", 1);
        let all: Vec<_> = metrics.iter().collect();
        let expect = [("load", Metric::Gauge(0.25)), ("most", Metric::Counter(u64::MAX)), ("rows", Metric::Counter(5))];
        assert_eq!((all.as_slice(), metrics.refused()), (expect.as_slice(), 0));
    }

    #[test]
    fn bad_names_and_too_many_are_refused() {
        let mut metrics = Metrics::new(2);
        for name in ["", "Upper", "a b", "é", &"x".repeat(65)] {
            metrics.add(name, 1);
        }
        assert_eq!(metrics.refused(), 5);
        metrics.add("a", 1);
        metrics.set("a", 1.0);
        metrics.add("b", 1);
        metrics.add("c", 1);
        assert_eq!((metrics.iter().count(), metrics.refused()), (2, 7));
    }
}
