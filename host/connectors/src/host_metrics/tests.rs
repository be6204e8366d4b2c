//! Rounds of measurements on this machine.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    Polled, Source, SourceConfig,
    testing::{all, rows, source},
};

fn config(keys: &str) -> SourceConfig {
    source(&format!("connector = \"host-metrics\"\n{keys}"), ".".as_ref()).expect("valid settings")
}

/// All that a poll and those after it bring at a time: port and rows.
fn poll(config: &SourceConfig, source: &mut dyn Source, now_ms: i64) -> (Vec<(String, Vec<Value>)>, Polled) {
    let mut found = Vec::new();
    loop {
        match source.poll(now_ms).expect("nothing can fail") {
            Polled::Batch { port, batch } => {
                let port = &config.ports()[port];
                found.push((port.name.clone(), rows(&batch, &port.schema)));
            }
            last => return (found, last),
        }
    }
}

#[test]
fn rounds_come_at_their_interval_and_end() {
    let config = config("interval = \"500ms\"\ncount = 2");
    assert!(config.bounded());
    let mut source = config.open(0, 1, &Arc::default(), &all(&config), None).expect("nothing to open");
    let (found, last) = poll(&config, source.as_mut(), 1_000);
    assert!(found.is_empty() && matches!(last, Polled::Pending { retry_at_ms: 1_500 }));
    let (found, last) = poll(&config, source.as_mut(), 1_499);
    assert!(found.is_empty() && matches!(last, Polled::Pending { retry_at_ms: 1_500 }));
    let (found, last) = poll(&config, source.as_mut(), 1_500);
    assert!(!found.is_empty() && matches!(last, Polled::Pending { retry_at_ms: 2_000 }));
    // Late by three rounds: they are one.
    let (found, last) = poll(&config, source.as_mut(), 3_700);
    assert!(!found.is_empty() && matches!(last, Polled::End));
}

#[test]
fn what_is_measured_makes_sense() {
    let config = config("interval = \"1s\"");
    assert!(!config.bounded());
    let mut source = config.open(0, 1, &Arc::default(), &all(&config), None).expect("nothing to open");
    poll(&config, source.as_mut(), 0);
    let (found, _) = poll(&config, source.as_mut(), 1_000);
    for (port, rows) in &found {
        assert!(rows.iter().all(|row| row["at"] == 1_000), "{port}");
    }
    let port = |name: &str| found.iter().find(|(port, _)| port == name).map(|(_, rows)| rows.as_slice());
    let [system] = port("system").expect("there is always a system") else { panic!("one row a round") };
    let number = |name: &str| system[name].as_f64().expect("a number");
    assert!((0.0..=100.0).contains(&number("cpu_percent")), "{system}");
    assert!(number("memory_total") > 0.0 && number("memory_used") <= number("memory_total"), "{system}");
    assert!(number("load_1m") >= 0.0, "{system}");
    let cpus = port("cpus").expect("there is always a processor");
    assert!(cpus.iter().all(|cpu| (0.0..=100.0).contains(&cpu["percent"].as_f64().expect("a number"))));
    for disk in port("disks").unwrap_or_default() {
        assert!(disk["available"].as_i64() <= disk["total"].as_i64(), "{disk}");
    }
}

#[test]
fn ports_that_nobody_reads_bring_nothing() {
    let config = config("");
    let wanted = vec![None, Some(vec![false, true, false]), None, None];
    let mut source = config.open(0, 1, &Arc::default(), &wanted, None).expect("nothing to open");
    poll(&config, source.as_mut(), 0);
    let (found, _) = poll(&config, source.as_mut(), 1_000);
    let [(port, rows)] = &found[..] else { panic!("one batch of one port") };
    assert_eq!(port, "cpus");
    assert!(rows.iter().all(|row| row.as_object().is_some_and(|row| row.keys().eq(["core"]))));
}

#[test]
fn only_one_subtask_measures() {
    let config = config("");
    let mut source = config.open(1, 2, &Arc::default(), &all(&config), None).expect("nothing to open");
    assert!(matches!(source.poll(0), Ok(Polled::End)));
}

#[test]
fn settings_that_are_refused() {
    let check = |keys: &str, expected: &str| {
        let error = source(&format!("connector = \"host-metrics\"\n{keys}"), ".".as_ref()).expect_err(keys);
        assert_eq!(error.to_string(), expected, "{keys}");
    };
    check("interval = \"10ms\"", "job.toml:2: interval: expected at least 200ms, found 10ms");
    check("count = -1", "job.toml:2: count: expected at least 0, found -1");
}
