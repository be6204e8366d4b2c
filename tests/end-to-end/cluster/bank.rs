//! The bank of the soak, small and undisturbed: its bookings are those that the bids alone say, also if it is stopped in between, and
//! the savepoint's money adds up to nothing.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use crate::{
    cluster::{
        Cluster,
        recovery::below,
        savepoints::{succeed, wait_for_checkpoint},
        wasmill,
    },
    process::{Running, rows},
};

const EVENTS: usize = 8_000;
/// The time of the first event, and so the number of the first transfer.
const FIRST: i64 = 1_700_000_000_000;

/// The job as the soak runs it.
pub(super) fn bank() -> String {
    let job = include_str!("../../../benches/src/soak/bank.toml");
    let job = job.replace("rust-transfers@1", "PLUGINS/rust-transfers.wasm");
    job.replace("rust-accounts@1", "PLUGINS/rust-accounts.wasm").replace("path = \"", "path = \"out/")
}

/// The source of the bank, and nothing behind it.
const BIDS: &str = r#"
[job]
name = "bids"
[source.bids]
connector = "nexmark"
only_bids = true
keys = 500
event_rate = 1000
[sink.out]
input = "bids.bids"
connector = "file"
path = "bids.jsonl"
format = "json"
"#;

/// What must come out, computed from the bids.
fn expected(bids: &[Value]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut balances = BTreeMap::new();
    for (transfer, bid) in (FIRST..).zip(bids) {
        let number = |name: &str| bid[name].as_i64().expect("a number");
        let (payer, price) = (number("bidder"), number("price"));
        let payee = 1_000 + (number("auction").wrapping_mul(7_919) ^ price).rem_euclid(500);
        let due = transfer + 2_000 + (transfer % 1_000_003 * 7_919).rem_euclid(3_001);
        for (account, leg, amount, at) in [(payer, "debit", -price, transfer), (payee, "credit", price, due)] {
            *balances.entry(account).or_insert(0) += amount;
            lines.push(
                json!({ "account": account, "transfer": transfer, "leg": leg, "amount": amount, "at": at }).to_string(),
            );
        }
    }
    lines.extend(balances.iter().map(|(account, sum)| json!({ "account": account, "balance": sum }).to_string()));
    lines.sort();
    lines
}

/// All rows that can be seen, in the form of `expected`.
fn visible(cluster: &Cluster) -> Vec<String> {
    let entries = fs::read_dir(cluster.path("out")).expect("a file is visible");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let files = paths.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    let text = files.map(|path| fs::read_to_string(path).expect("it can be read")).collect::<String>();
    let mut lines: Vec<String> = rows(&text).iter().map(ToString::to_string).collect();
    lines.sort();
    lines
}

/// The rows of the accounts' state in a savepoint, as `wasmill state export` tells them.
fn state(cluster: &Cluster, savepoint: &str) -> Vec<Value> {
    let store = cluster.jobmanager_folder().join("checkpoints");
    let ending = format!("-{savepoint}.json");
    let path = below(&store).into_iter().find(|path| path.to_string_lossy().ends_with(&ending)).expect("it is there");
    let manifest: Value = serde_json::from_slice(&fs::read(path).expect("it can be read")).expect("a manifest is JSON");
    let vertices = manifest["vertices"].as_array().expect("it lists them");
    let accounts = vertices.iter().find(|vertex| vertex["name"] == "accounts").expect("it has state");
    let files = accounts["files"].as_array().expect("it lists them").iter();
    let export = |file: &Value| {
        let path = store.join(file["name"].as_str().expect("a name")).display().to_string();
        let ended = Running::start(wasmill(&["state", "export", &path])).end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        rows(&ended.stdout)
    };
    files.flat_map(export).collect()
}

#[test]
fn a_bank_books_every_transfer_once_also_if_it_is_stopped_and_goes_on() {
    let cluster = Cluster::start(2, 2);
    let bids = cluster.put_job("bids.toml", BIDS);
    let events = format!("source.bids.events={EVENTS}");
    let ended = Running::start(wasmill(&["run", &bids.display().to_string(), "--set", &events])).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let bids = rows(&fs::read_to_string(cluster.path("bids.jsonl")).expect("it was written"));
    let expected = expected(&bids);

    let job = cluster.put_job("job.toml", &bank());
    let set = ["--set", &events, "--set", "source.bids.rate=4000", "--set", "job.parallelism=2"];
    let set = [&set[..], &["--set", "job.checkpoints.interval=\"200ms\""]].concat();
    let id = cluster.deploy(&job, &set);
    wait_for_checkpoint(&cluster, &id);
    succeed(&cluster, &["stop", &id, "--savepoint", "middle"]);
    let seen = visible(&cluster);
    assert!(seen.len() < expected.len(), "it was stopped before its end");
    let state = state(&cluster, "middle");
    let sum = |name: &str, pointer: &str| -> i64 {
        let rows = state.iter().filter(|row| row["name"] == name);
        rows.map(|row| row.pointer(pointer).and_then(Value::as_i64).unwrap_or_else(|| panic!("{row}"))).sum()
    };
    let (booked, in_transit) = (sum("values", "/row/values/balance"), sum("in_transit", "/row/value"));
    assert!(booked < 0 && booked + in_transit == 0, "{booked} is booked, {in_transit} in transit");

    let again = cluster.deploy(&job, &[&set[..], &["--from", "middle"]].concat());
    cluster.wait_for(&again, "FINISHED");
    let found = visible(&cluster);
    let differ = expected.iter().zip(&found).find(|(expected, found)| expected != found);
    assert!(
        found == expected,
        "{} rows came out of {}; the first that differs: {differ:?}",
        found.len(),
        expected.len()
    );
}
