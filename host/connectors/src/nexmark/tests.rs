//! The same events whatever the parallelism, and those of the reference.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::{Value, json};

use crate::{
    Polled, ReadBefore, SourceConfig,
    testing::{all, drain, rows, source},
};

fn config(keys: &str) -> SourceConfig {
    source(&format!("connector = \"nexmark\"\n{keys}"), ".".as_ref()).expect("valid settings")
}

/// The rows of each port, all subtasks' after one another.
fn events(keys: &str, parallelism: u32) -> HashMap<String, Vec<Value>> {
    let config = config(keys);
    let mut found: HashMap<String, Vec<Value>> = HashMap::new();
    for subtask in 0..parallelism {
        let (batches, result) =
            drain(config.open(subtask, parallelism, &Arc::default(), &all(&config), None).expect("nothing can fail"));
        result.expect("nothing can fail");
        for (port, batch) in batches {
            assert!((1..=4_096).contains(&batch.rows));
            let port = &config.ports()[port];
            found.entry(port.name.clone()).or_default().extend(rows(&batch, &port.schema));
        }
    }
    found
}

fn sorted(rows: &[Value]) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    rows.sort_unstable();
    rows
}

#[test]
fn the_same_events_whatever_the_parallelism() {
    for keys in ["events = 30011", "events = 30011\nonly_bids = true", "events = 30011\nseed = 7\nkeys = 50"] {
        let one = events(keys, 1);
        for parallelism in [2, 7] {
            let several = events(keys, parallelism);
            assert_eq!(one.len(), several.len());
            for (port, rows) in &one {
                assert_eq!(sorted(rows), sorted(&several[port]), "{keys}: {port} by {parallelism}");
            }
        }
        assert_eq!(one, events(keys, 1), "{keys}: again");
    }
}

#[test]
fn proportions() {
    let counts = |keys: &str| {
        let events = events(keys, 3);
        ["persons", "auctions", "bids"].map(|port| events.get(port).map_or(0, Vec::len))
    };
    assert_eq!(counts("events = 50000"), [1_000, 3_000, 46_000]);
    assert_eq!(counts("events = 0"), [0, 0, 0]);
    assert_eq!(counts("events = 1"), [1, 0, 0]);
    assert_eq!(counts("events = 3"), [1, 2, 0]);
    assert_eq!(counts("events = 55"), [2, 6, 47]);
    assert_eq!(counts("events = 50000\nonly_bids = true"), [0, 0, 50_000]);
}

/// Worked out by hand from the hash, so that runs can be compared with those of other engines.
#[test]
fn the_first_bids_are_known() {
    let bids = &events("events = 2\nonly_bids = true", 1)["bids"];
    let mix = |n: u64| {
        let mut z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x0123_4567);
        z ^= z >> 30;
        z = z.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z ^= z >> 27;
        z = z.wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    for (n, bid) in bids.iter().enumerate() {
        let r = mix(n as u64);
        assert_eq!(bid["auction"], 1_000);
        assert_eq!(bid["bidder"], 1_000 + (r >> 8) % 10_000);
        assert_eq!(bid["price"], 100 + (r >> 24) % 1_000_000);
        assert_eq!(bid["date_time"], 1_700_000_000_000_i64);
        let channel = (r >> 40) % 10_000;
        assert_eq!(bid["url"], format!("https://www.nexmark.com/{channel}/item.htm?q=1"));
        let hot = ["Google", "Facebook", "Baidu", "Apple"][((r >> 33) & 3) as usize];
        let expected = if (r >> 32) & 1 == 0 { hot.to_owned() } else { format!("channel-{channel}") };
        assert_eq!(bid["channel"], expected);
        let extra = bid["extra"].as_str().expect("text").len();
        assert!((16..=31).contains(&extra));
    }
}

#[test]
fn columns_hold_what_they_should() {
    let events = events("events = 100000\nkeys = 100", 1);
    let bids = &events["bids"];
    let integers = |rows: &[Value], name: &str| -> Vec<i64> {
        rows.iter().map(|row| row[name].as_i64().expect("int64")).collect()
    };
    let set = |rows: &[Value], name: &str| -> HashSet<i64> { integers(rows, name).into_iter().collect() };
    assert_eq!(set(bids, "bidder"), (1_000..1_100).collect(), "every key of the key space");
    let (auctions, persons) = (set(&events["auctions"], "id"), set(&events["persons"], "id"));
    assert_eq!(auctions, (1_000..7_000).collect());
    assert_eq!(persons, (1_000..3_000).collect());
    assert!(set(bids, "auction").is_subset(&auctions), "bids are on auctions that exist");
    assert!(set(&events["auctions"], "seller").is_subset(&persons));
    for port in ["bids", "auctions", "persons"] {
        let times = integers(&events[port], "date_time");
        assert!(times.is_sorted(), "{port} come in the order of their time");
        assert!((1_700_000_000_000..1_700_000_010_000).contains(times.last().expect("some")), "10,000 a second");
    }
    for auction in &events["auctions"] {
        let number = |name: &str| auction[name].as_i64().expect("int64");
        assert!((1_000..=20_000).contains(&(number("expires") - number("date_time"))));
        assert!(number("reserve") >= number("initial_bid"));
    }
    let hot = bids.iter().filter(|bid| bid["auction"].as_i64().expect("int64") % 100 == 0).count();
    assert!((bids.len() * 45 / 100..bids.len() * 60 / 100).contains(&hot), "{hot} of {} are hot", bids.len());
}

#[test]
fn seeds_make_other_events() {
    let bids = |seed: u64| events(&format!("events = 100\nonly_bids = true\nseed = {seed}"), 1).remove("bids");
    assert_ne!(bids(0), bids(1));
    assert_ne!(bids(1), bids(2));
}

#[test]
fn event_times_follow_their_own_rate() {
    let times = |keys: &str| -> Vec<i64> {
        let events = events(&format!("events = 4\nonly_bids = true\n{keys}"), 1);
        events["bids"].iter().map(|bid| bid["date_time"].as_i64().expect("int64")).collect()
    };
    assert_eq!(times("event_rate = 1000\nfirst_event_time = 5"), [5, 6, 7, 8]);
    assert_eq!(times("event_rate = 3\nfirst_event_time = \"1970-01-01T00:00:01Z\""), [1_000, 1_333, 1_666, 2_000]);
    assert_eq!(times("event_rate = 2000\nfirst_event_time = -1"), [-1, -1, 0, 0]);
}

#[test]
fn a_rate_is_kept() {
    for (keys, parallelism) in [("only_bids = true", 1), ("only_bids = true", 3), ("", 2)] {
        let config = config(&format!("rate = 1000\n{keys}"));
        let open = |subtask| {
            config.open(subtask, parallelism, &Arc::default(), &all(&config), None).expect("nothing can fail")
        };
        let mut sources: Vec<_> = (0..parallelism).map(open).collect();
        let mut made = 0;
        let start_ms = 1_000_000;
        for now_ms in (start_ms..=start_ms + 2_000).step_by(7) {
            for source in &mut sources {
                while let Polled::Batch { batch, .. } = source.poll(now_ms).expect("nothing can fail") {
                    made += batch.rows;
                }
            }
            assert_eq!(made as i64, now_ms - start_ms, "after {} ms", now_ms - start_ms);
        }
    }
}

#[test]
fn waiting_ends_when_the_next_event_is_due() {
    let config = config("rate = 3\nonly_bids = true\nevents = 2");
    let mut source = config.open(0, 1, &Arc::default(), &all(&config), None).expect("nothing can fail");
    let mut poll = |now_ms| source.poll(now_ms).expect("nothing can fail");
    let Polled::Pending { retry_at_ms } = poll(1_000) else { panic!("nothing is due") };
    assert_eq!(retry_at_ms, 1_334);
    assert!(matches!(poll(1_333), Polled::Pending { retry_at_ms: 1_334 }));
    assert!(matches!(poll(1_334), Polled::Batch { port: 0, batch } if batch.rows == 1));
    assert!(matches!(poll(1_334), Polled::Pending { retry_at_ms: 1_667 }));
    assert!(matches!(poll(0), Polled::Pending { .. }), "a clock that goes back changes nothing");
    assert!(matches!(poll(9_000), Polled::Batch { port: 0, batch } if batch.rows == 1));
    assert!(matches!(poll(9_000), Polled::End));
}

#[test]
fn what_nobody_reads_is_not_made() {
    let config = config("events = 1000");
    let mut wanted = all(&config);
    wanted[0] = Some(vec![false, true, false, false, false, true, false]);
    wanted[1] = None;
    wanted[2] = Some(vec![false; 8]);
    let (batches, _) = drain(config.open(0, 1, &Arc::default(), &wanted, None).expect("nothing can fail"));
    assert_eq!(batches.iter().map(|(port, batch)| (*port, batch.rows)).collect::<Vec<_>>(), [(2, 20), (0, 920)]);
    assert!(batches[0].1.columns.iter().all(Option::is_none));
    let row = &rows(&batches[1].1, &config.ports()[0].schema)[0];
    assert_eq!(
        row.as_object().map(|row| row.keys().cloned().collect::<Vec<_>>()),
        Some(vec!["bidder".into(), "date_time".into()])
    );
}

/// A source without end of which nobody reads what it makes: a poll that never came back could not be stopped.
#[test]
fn a_poll_comes_back_also_if_nobody_reads_the_events() {
    let config = config("only_bids = true");
    for port in ["auctions", "persons", ""] {
        let wanted = config.ports().iter().map(|p| (p.name == port).then(|| vec![true; p.schema.len()]));
        let wanted: Vec<_> = wanted.collect();
        let mut source = config.open(0, 1, &Arc::default(), &wanted, None).expect("nothing can fail");
        assert!(matches!(source.poll(5), Ok(Polled::Pending { retry_at_ms: 5 })));
    }
}

#[test]
fn settings() {
    assert!(config("events = 5").bounded());
    assert!(!config("rate = 5").bounded());
    assert_eq!(
        config("").ports().iter().map(|port| port.name.as_str()).collect::<Vec<_>>(),
        ["bids", "auctions", "persons"]
    );
    let check = |keys: &str, expected: &str| {
        let error = source(&format!("connector = \"nexmark\"\n{keys}"), ".".as_ref()).expect_err(keys);
        assert_eq!(error.to_string(), expected, "{keys}");
    };
    check("keys = 0", "job.toml:2: keys: expected a number from 1 to 1099511627776, found 0");
    check("rate = -1", "job.toml:2: rate: expected a number from 1 to 4294967296, found -1");
    check(
        "first_event_time = \"now\"",
        "job.toml:2: first_event_time: expected ms since the epoch or an RFC 3339 time, found \"now\"",
    );
    check("event = 1", "job.toml:2: event: unknown key `event`\n  hint: did you mean `events`?");
    assert_eq!(json!(config("").splits().expect("nothing to look for").len()), json!(0));
}

/// What each of several subtasks brings in so many polls, and how far they have come.
fn some(
    config: &SourceConfig,
    parallelism: u32,
    from: Option<&ReadBefore>,
    polls: usize,
    found: &mut Vec<String>,
) -> ReadBefore {
    let mut before = ReadBefore::default();
    for subtask in 0..parallelism {
        let mut source = config.open(subtask, parallelism, &Arc::default(), &all(config), from).expect("it goes on");
        for _ in 0..polls {
            match source.poll(0).expect("nothing can fail") {
                Polled::Batch { port, batch } => {
                    let port = &config.ports()[port];
                    found.extend(rows(&batch, &port.schema).iter().map(|row| format!("{} {row}", port.name)));
                }
                Polled::End => break,
                other => panic!("nothing waits or is bad: {other:?}"),
            }
        }
        before.positions.extend(source.positions());
    }
    before
}

#[test]
fn whoever_goes_on_makes_each_event_once() {
    for keys in ["events = 40011", "events = 40011\nonly_bids = true"] {
        let config = config(keys);
        let mut whole = Vec::new();
        some(&config, 1, None, usize::MAX, &mut whole);
        whole.sort_unstable();
        for first in 1..=4 {
            for second in 1..=4 {
                let mut found = Vec::new();
                let once = some(&config, first, None, 2, &mut found);
                let twice = some(&config, second, Some(&once), 1, &mut found);
                some(&config, first, Some(&twice), usize::MAX, &mut found);
                found.sort_unstable();
                assert_eq!(found.len(), whole.len(), "{first} then {second}");
                assert!(found == whole, "{first} then {second}");
            }
        }
    }
}

#[test]
fn a_rate_is_kept_to_from_where_it_goes_on() {
    let config = config("events = 100000\nrate = 1000\nonly_bids = true");
    let mut source = config.open(0, 1, &Arc::default(), &all(&config), None).expect("nothing can fail");
    assert!(matches!(source.poll(0), Ok(Polled::Pending { .. })));
    let Ok(Polled::Batch { batch, .. }) = source.poll(3_000) else { panic!("events are due") };
    assert_eq!(batch.rows, 3_000);
    let before = ReadBefore { positions: source.positions(), ..ReadBefore::default() };
    let mut again = config.open(0, 1, &Arc::default(), &all(&config), Some(&before)).expect("it goes on");
    assert!(matches!(again.poll(50_000), Ok(Polled::Pending { retry_at_ms: 50_001 })), "none is due at once");
    let Ok(Polled::Batch { batch, .. }) = again.poll(50_100) else { panic!("events are due") };
    assert_eq!(batch.rows, 100);
}
