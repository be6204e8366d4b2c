//! The order in which timers fire, in large buckets and while others are set.

use xxhash_rust::xxh3::xxh3_64;

use super::*;

fn timer(time: Timestamp, key: &[u8]) -> Timer<'_> {
    Timer { time, key, key_hash: xxh3_64(key) }
}

fn take(domain: &mut Domain, up_to: Timestamp, max: usize) -> Vec<(Timestamp, Vec<u8>)> {
    let (times, keys) = domain.take_due(up_to, max, xxh3_64);
    times.into_iter().zip(keys.iter().map(<[u8]>::to_vec)).collect()
}

/// rule 33
#[test]
fn a_timer_is_a_key_and_a_time() {
    let mut domain = Domain::new();
    for (time, key) in [(5, "b"), (5, "a"), (3, "b"), (5, "b"), (9, "a"), (5, "")] {
        domain.set(timer(time, key.as_bytes()));
    }
    domain.clear(timer(9, b"b"));
    domain.clear(timer(5, b"a"));
    assert_eq!(domain.index.len(), 4);
    assert_eq!(take(&mut domain, 8, 2), [(3, b"b".to_vec()), (5, b"".to_vec())]);
    assert_eq!(take(&mut domain, 8, 2), [(5, b"b".to_vec())]);
    assert_eq!(take(&mut domain, 8, 2), []);
    assert_eq!(domain.next_time(), Some(9));
}

#[test]
fn what_is_set_while_a_time_fires_fires_in_its_place() {
    let mut domain = Domain::new();
    let key = |i: u64| i.to_be_bytes();
    for i in 0..1_000 {
        domain.set(timer(7, &key(i * 389 % 1_000 * 2)));
    }
    let mut expect: Vec<u64> = (0..1_000).map(|i| i * 2).collect();
    let mut fired = Vec::new();
    let mut odd = 0;
    while !expect.is_empty() {
        let batch: Vec<u64> = expect.drain(..expect.len().min(7)).collect();
        let taken = take(&mut domain, 7, 7);
        assert_eq!(taken, batch.iter().map(|i| (7, key(*i).to_vec())).collect::<Vec<_>>());
        fired.extend(batch);
        for _ in 0..3 {
            odd = (odd + 389) % 1_000;
            // Some of them come before those that have fired already.
            if fired.len() < 900 && !expect.contains(&(odd * 2 + 1)) {
                domain.set(timer(7, &key(odd * 2 + 1)));
                expect.push(odd * 2 + 1);
                expect.sort_unstable();
            }
        }
    }
    assert!(domain.buckets.is_empty() && domain.index.len() == 0);
}

#[test]
fn cleared_timers_never_fire_and_give_their_memory_back() {
    let mut domain = Domain::new();
    let key = |i: u32| i.to_be_bytes();
    for i in 0..1_000 {
        domain.set(timer(7, &key(i)));
    }
    let first = take(&mut domain, 7, 100);
    assert_eq!(first.len(), 100);
    let bytes = domain.bytes_with(0);
    for _ in 0..50 {
        for i in (100..1_000).filter(|i| i % 10 != 0) {
            domain.clear(timer(7, &key(i)));
        }
        assert_eq!(domain.index.len(), 90);
        for i in (100..1_000).filter(|i| i % 10 != 0) {
            domain.set(timer(7, &key(i)));
        }
    }
    assert_eq!(domain.bytes_with(0), bytes);
    for i in (100..1_000).filter(|i| i % 10 != 0) {
        domain.clear(timer(7, &key(i)));
    }
    let rest: Vec<_> = take(&mut domain, 7, 10_000);
    assert_eq!(rest, (10..100).map(|i| (7, key(i * 10).to_vec())).collect::<Vec<_>>());
    assert!(domain.buckets.is_empty());
}

#[test]
fn closed_timers_can_be_cleared_and_fire_but_not_be_set() {
    let mut domain = Domain::new();
    domain.set(timer(1, b"a"));
    domain.set(timer(2, b"a"));
    domain.close();
    domain.set(timer(3, b"a"));
    domain.clear(timer(1, b"a"));
    assert_eq!(take(&mut domain, 9, 9), [(2, b"a".to_vec())]);
    domain.restore(timer(2, b"a"));
    assert_eq!(domain.next_time(), Some(2));
}
