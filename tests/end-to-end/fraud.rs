//! The fraud example, against a few lines of Rust that read all payments and rules at once.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{cluster::Cluster, process::Bench};

const DAY_MS: i64 = 86_400_000;
/// 2026-03-01T00:00Z.
const BEGIN_MS: i64 = 1_772_323_200_000;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/fraud").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(example(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// A day of payments, up to a minute out of order; now and then a card is used many times within minutes. Two in so many are none.
fn payments(count: i64, cards: u64, none_in: u64) -> String {
    let mut seed = 11_u64;
    let mut below = |bound: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % bound
    };
    let (mut text, mut left, mut card) = (String::new(), 0, 0);
    for n in 0..count {
        if left == 0 {
            card = below(cards);
            left = if below(40) == 0 { 3 + below(9) } else { 1 };
        }
        left -= 1;
        let at = BEGIN_MS + n * DAY_MS / count - below(59_999) as i64;
        let country = ["PL", "PL", "PL", "SE", "SE", "ES", "XK"][below(7) as usize];
        // Quarters, whose sums are exact in whatever order.
        let amount = match below(30) {
            0 => 400.0 + below(4_000) as f64 / 4.0,
            _ => 1.0 + below(400) as f64 / 4.0,
        };
        let card = format!("card-{card:04}");
        let row = match below(none_in) {
            0 => json!({"payment": format!("p{n}"), "at": at, "card": card, "amount": -amount, "country": country}),
            1 => json!({"payment": format!("p{n}"), "at": at, "card": card, "amount": "free", "country": country}),
            _ => json!({"payment": format!("p{n}"), "at": at, "card": card, "amount": amount, "country": country}),
        };
        text.push_str(&format!("{row}\n"));
    }
    text
}

/// A version of a rule.
struct Rule {
    name: String,
    since: i64,
    row: Value,
}

fn rules() -> Vec<Rule> {
    let at = |text: &str| {
        let (hours, rest) = text.strip_prefix("2026-03-01T").and_then(|time| time.split_once(':')).expect("that day");
        assert_eq!(rest, "00:00Z");
        BEGIN_MS + hours.parse::<i64>().expect("an hour") * 3_600_000
    };
    let rule = |line: &str| {
        let row: Value = serde_json::from_str(line).expect("it is JSON");
        let name = row["rule"].as_str().expect("it has a name").to_owned();
        Rule { name, since: at(row["at"].as_str().expect("it has a time")), row }
    };
    read("rules.jsonl").lines().map(rule).collect()
}

struct Payment {
    row: Value,
    at: i64,
    amount: f64,
}

/// The alerts that there must be, and the payments that are none.
fn judged(payments: &str) -> (Vec<Value>, Vec<Value>) {
    let (mut cards, mut bad) = (BTreeMap::<String, Vec<Payment>>::new(), Vec::new());
    for line in payments.lines() {
        let row: Value = serde_json::from_str(line).expect("it is JSON");
        match row["amount"].as_f64().filter(|amount| *amount > 0.0) {
            Some(amount) => {
                let card = row["card"].as_str().expect("a text").to_owned();
                cards.entry(card).or_default().push(Payment { at: row["at"].as_i64().expect("a time"), row, amount });
            }
            None => bad.push(row["payment"].clone()),
        }
    }
    let rules = rules();
    let mut names: Vec<&String> = rules.iter().map(|rule| &rule.name).collect();
    names.sort();
    names.dedup();
    let mut alerts = Vec::new();
    for (card, payments) in &mut cards {
        payments.sort_by_key(|payment| payment.at);
        for (place, payment) in payments.iter().enumerate() {
            for name in &names {
                let versions = rules.iter().filter(|rule| rule.name == **name && rule.since <= payment.at);
                let Some(rule) = versions.max_by_key(|rule| rule.since) else { continue };
                alerts.extend(alert(card, &payments[..=place], rule));
            }
        }
    }
    (alerts, bad)
}

/// The alert that a rule makes of the last of these payments.
fn alert(card: &str, payments: &[Payment], Rule { name, row, .. }: &Rule) -> Option<Value> {
    let is_meant = |payment: &&Payment| row["country"].is_null() || row["country"] == payment.row["country"];
    let last = payments.last().filter(is_meant)?;
    let start = last.at - row["window_s"].as_i64()? * 1_000;
    let within = payments.iter().filter(|payment| payment.at > start).filter(is_meant);
    let (count, sum) = within.fold((0, 0.0), |(count, sum), payment| (count + 1, sum + payment.amount));
    let is_broken = row["payments_max"].as_i64().is_some_and(|max| count > max)
        || row["amount_max"].as_f64().is_some_and(|max| sum > max);
    let same_day = payments.iter().filter(|payment| payment.at.div_euclid(DAY_MS) == last.at.div_euclid(DAY_MS));
    let today: f64 = same_day.map(|payment| payment.amount).sum();
    let payment = &last.row["payment"];
    let alert = json!({"card": card, "at": last.at, "payment": payment, "rule": name, "payments": count, "amount": sum, "today": today});
    is_broken.then_some(alert)
}

fn sorted(mut rows: Vec<Value>) -> Vec<String> {
    let mut lines: Vec<String> = rows.drain(..).map(|row| row.to_string()).collect();
    lines.sort();
    lines
}

/// Holds what left against what had to. A payment without a positive amount is a dead letter, of the source or of the operator.
#[track_caller]
fn check(payments: &str, alerts: Vec<Value>, dead: &[Value]) -> usize {
    let (expect, bad) = judged(payments);
    let count = expect.len();
    let (found, expect) = (sorted(alerts), sorted(expect));
    assert!(found == expect, "{} alerts, expected {}", found.len(), expect.len());
    let row =
        |letter: &Value| -> Value { serde_json::from_str(letter["row"].as_str().expect("a text")).expect("JSON") };
    let dead = dead.iter().map(|letter| row(letter)["payment"].clone()).collect();
    assert_eq!(sorted(dead), sorted(bad));
    count
}

/// The example's job, with its plugin and its files where the test has them.
fn job(sets: &[(&str, &str)]) -> String {
    let job = read("job.toml").replace("../../target/plugins/", "PLUGINS/").replace("../../target/examples/", "");
    sets.iter().fold(job, |job, (old, new)| {
        assert!(job.contains(old), "the job has `{old}`");
        job.replace(old, new)
    })
}

/// rule 51: every instance has the rules.
#[test]
fn every_payment_is_judged_by_the_rules_of_its_time_at_any_parallelism() {
    let payments = payments(1_000, 30, 250);
    if env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(example("payments.jsonl"), &payments).expect("the example's folder can be written");
    }
    assert!(payments == read("payments.jsonl"), "payments.jsonl is another: UPDATE_EXPECT=1 writes it anew");
    let bench = Bench::new(&job(&[]));
    bench.put("payments.jsonl", &payments);
    bench.put("rules.jsonl", read("rules.jsonl"));
    for parallelism in 1..4 {
        bench.succeed(&[&format!("job.parallelism={parallelism}")]);
        let alerts = bench.rows("alerts.jsonl");
        let of = |rule: &str| alerts.iter().filter(|alert| alert["rule"] == rule).count();
        assert!(of("many") > 5 && of("much") > 5 && of("far-away") > 5, "{alerts:?}");
        check(&payments, alerts, &bench.rows("fraud.dead.jsonl"));
    }
}

/// Lists, maps and what all keys share go through a savepoint, and to another number of instances (rule 47, rule 51, rule 53).
#[test]
fn a_job_that_is_stopped_in_the_middle_judges_as_if_it_had_not_been() {
    let cluster = Cluster::start(2, 4);
    let payments = payments(400_000, 20_000, 20_000);
    fs::write(cluster.path("payments.jsonl"), &payments).expect("the folder takes files");
    fs::write(cluster.path("rules.jsonl"), read("rules.jsonl")).expect("the folder takes files");
    let job = cluster.put_job("job.toml", &job(&[("interval = \"1s\"", "interval = \"100ms\"")]));
    let id = cluster.deploy(&job, &[]);
    cluster
        .wait("a checkpoint", || cluster.json(&["status", &id])["checkpoints"]["completed"].is_string().then_some(()));
    let stopped = cluster.client(&["stop", &id, "--savepoint", "in-the-middle"]);
    assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
    cluster.wait_for(&id, "STOPPED");
    let again = cluster.deploy(&job, &["--from", "in-the-middle", "--set", "job.parallelism=3"]);
    cluster.wait_for(&again, "FINISHED");
    let rows = |name: &str| crate::process::rows(&fs::read_to_string(cluster.path(name)).expect("it is written"));
    let alerts = check(&payments, rows("alerts.jsonl"), &rows("fraud.dead.jsonl"));
    assert!(alerts > 1_000, "{alerts} alerts");
}
