//! How often one client may change something: a bucket of requests for each, refilled steadily.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// Clients that are told apart at once; beyond, the one that was seen longest ago is forgotten, which can only favour it.
const CLIENTS_MAX: usize = 4_096;

/// Who is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// By the number of its token.
    Token(usize),
    Address(IpAddr),
}

#[derive(Debug)]
pub(crate) struct Rate {
    per_second: f64,
    burst: f64,
    buckets: HashMap<Client, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Rate {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second: per_second.into(), burst: f64::from(burst.max(1)), buckets: HashMap::new() }
    }

    /// Counts a request; otherwise says after how long there is room for one.
    pub(crate) fn take(&mut self, client: Client, now: Instant) -> Result<(), Duration> {
        if !self.buckets.contains_key(&client) && self.buckets.len() == CLIENTS_MAX {
            self.forget();
        }
        let bucket = self.buckets.entry(client).or_insert(Bucket { left: self.burst, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.left = (bucket.left + passed * self.per_second).min(self.burst);
        bucket.at = now;
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        let wait = (1.0 - bucket.left) / self.per_second;
        Err(Duration::try_from_secs_f64(wait).unwrap_or(Duration::from_secs(3_600)))
    }

    fn forget(&mut self) {
        let oldest = self.buckets.iter().min_by_key(|(_, bucket)| bucket.at).map(|(client, _)| *client);
        if let Some(client) = oldest {
            self.buckets.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_steadily_and_each_client_for_itself() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut rate = Rate::new(10, 3);
        let (a, b) = (Client::Token(0), Client::Address(IpAddr::from([10, 0, 0, 1])));
        for _ in 0..3 {
            assert_eq!(rate.take(a, at(0)), Ok(()));
        }
        assert_eq!(rate.take(a, at(0)), Err(Duration::from_millis(100)));
        assert_eq!(rate.take(b, at(0)), Ok(()));
        assert!(rate.take(a, at(50)).is_err());
        assert_eq!(rate.take(a, at(151)), Ok(()));
        assert_eq!((0..5).filter(|_| rate.take(a, at(60_000)).is_ok()).count(), 3, "a burst at most");
    }

    #[test]
    fn a_clock_that_stands_still_or_a_rate_of_nothing_is_no_fault() {
        let start = Instant::now();
        let mut rate = Rate::new(0, 0);
        assert_eq!(rate.take(Client::Token(1), start), Ok(()));
        assert_eq!(rate.take(Client::Token(1), start), Err(Duration::from_secs(3_600)));
    }

    #[test]
    fn clients_without_number_take_no_memory_without_end() {
        let start = Instant::now();
        let mut rate = Rate::new(1, 1);
        for client in 0..3 * CLIENTS_MAX {
            assert_eq!(rate.take(Client::Token(client), start + Duration::from_nanos(client as u64)), Ok(()));
        }
        assert_eq!(rate.buckets.len(), CLIENTS_MAX);
    }
}
