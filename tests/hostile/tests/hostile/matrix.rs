//! Each guest under each policy, before and behind well-behaved operators, with and without keys, in one subtask and in four:
//! what comes out, what is counted, what goes to the dead letters. All jobs of a guest run at once, beside a neighbour.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use serde_json::Value;
use wasmill_hostile::template;
use wasmill_runtime::Job;

use crate::{
    cases::{CASES, STATE_CASES, WELL},
    hosts,
    instances::assert_harmless,
    jobs::{self, Beside},
};

/// Rows of a job. All of them may be poison without being more than a job may leave out.
///
/// Neither they nor the halves and quarters of them, into which a call is cut, are a multiple of 8: bitmaps have tails.
const ROWS: usize = 19;

/// Slots for all jobs of a guest, and the neighbour.
const SLOTS: u32 = 64;

const POLICIES: [&str; 3] = ["fail", "skip", "dead_letter"];

/// What becomes of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// The job is refused before it runs.
    Refused,
    /// The job fails, and shows nothing.
    Fails,
    /// All rows come out.
    All,
    /// None comes out; so many rows or timers are left out.
    None { rejected: usize },
}

/// One way to run a guest.
#[derive(Debug, Clone, Copy)]
struct Way {
    policy: &'static str,
    keyed: bool,
    /// Whether the guest is the last operator of its chain, else the first.
    last: bool,
    parallelism: usize,
}

impl Way {
    fn all() -> Vec<Self> {
        let mut ways = Vec::new();
        for policy in POLICIES {
            for (keyed, last) in [(false, false), (false, true), (true, false), (true, true)] {
                ways.extend([1, 4].map(|parallelism| Self { policy, keyed, last, parallelism }));
            }
        }
        ways
    }

    fn name(self) -> String {
        let Self { policy, keyed, last, parallelism } = self;
        let words = [policy, if keyed { "keyed" } else { "unkeyed" }, if last { "last" } else { "first" }];
        format!("{}-{parallelism}", words.join("-").replace('_', "-"))
    }

    /// The job file of a guest whose component stands in the folder.
    fn job(self, guest: &Guest) -> String {
        let plugin = |name: &str| hosts::target().join(format!("plugins/{name}.wasm")).display().to_string();
        let pass = format!("plugin = \"{}\"\nconfig = {{ modulus = 1, column = \"a\" }}", plugin("auction-filter"));
        // Hands all rows on, too, and leaves them where they are for who has the same key.
        let keep = format!(
            "plugin = \"{}\"\nconfig = {{ column = \"a\", threshold = -1.0 }}\nkey_by = [\"a\"]",
            plugin("threshold-alert")
        );
        let before = if self.keyed { &keep } else { &pass };
        let key = if self.keyed { "key_by = [\"a\"]\n" } else { "" };
        let deadline = guest.deadline_ms;
        let hostile = format!(
            "plugin = \"./{}.wasm\"\n{key}on_error = \"{}\"\n\
             limits = {{ call_deadline = \"{deadline}ms\", state = \"64KiB\", timers = 500 }}",
            guest.name, self.policy
        );
        let (operators, end) = if self.last {
            (format!("[operator.before]\n{before}\ninput = \"s\"\n[operator.o]\n{hostile}\ninput = \"before\"\n"), "o")
        } else {
            (format!("[operator.o]\n{hostile}\ninput = \"s\"\n[operator.behind]\n{pass}\ninput = \"o\"\n"), "behind")
        };
        let (name, parallelism, input) = (self.name(), self.parallelism, guest.input());
        format!(
            "[job]\nname = \"{name}\"\nparallelism = {parallelism}\n[source.s]\nconnector = \"file\"\n\
             path = \"{input}\"\nformat = \"json\"\nschema = {{ a = \"int64\", k = \"utf8\" }}\n{operators}\
             [sink.out]\ninput = \"{end}\"\nparallelism = 1\nconnector = \"file\"\nformat = \"json\"\npath = \"{name}.jsonl\"\n"
        )
    }
}

/// A hostile guest and what is known of it.
#[derive(Debug, Clone, Copy)]
struct Guest {
    name: &'static str,
    answer: &'static str,
    /// Whether it does not run without keys.
    needs_keys: bool,
    /// Of a call, in a job.
    deadline_ms: u128,
}

/// Time for a call of a guest that is not about time: how busy the machine is must not matter.
const PATIENT_MS: u128 = 60_000;

/// Makes a million calls before it is ended: a few ways are enough.
const DEAR: &str = "state_timers-endless";

/// What the cases do not say, because there calls have ten rows and jobs many.
const OTHERWISE: &[(&str, Expect)] = &[
    // So few keys have room.
    ("state_flood", Expect::All),
    ("state_timer-flood", Expect::None { rejected: ROWS }),
    ("state_value-huge", Expect::None { rejected: ROWS }),
    (DEAR, Expect::Fails),
];

impl Guest {
    fn all() -> impl Iterator<Item = Self> {
        let cases = CASES.iter().map(|case| (case.name, case.answer));
        cases.chain(STATE_CASES.iter().map(|&(name, _)| (name, "state"))).map(|(name, answer)| {
            let text = template::text(name).unwrap_or_else(|e| panic!("{e:#}"));
            let needs_keys = text.contains("(i32.const 0x500))");
            let late = answer.ends_with("deadline");
            let deadline_ms = if late { hosts::limits(answer).call_deadline.as_millis() } else { PATIENT_MS };
            Self { name, answer, needs_keys, deadline_ms }
        })
    }

    fn ways(&self) -> Vec<Way> {
        let mut ways = Way::all();
        ways.retain(|way| self.name != DEAR || !way.last && way.parallelism == 1);
        ways
    }

    /// One row is enough to wait for.
    fn rows(&self) -> usize {
        if self.answer.ends_with("deadline") { 1 } else { ROWS }
    }

    fn input(&self) -> String {
        format!("in-{}.jsonl", self.rows())
    }

    fn expect(&self, way: Way) -> Expect {
        let at = self.answer.split(": ").next().unwrap_or_default();
        if ["describe", "start"].contains(&at) || self.needs_keys && !way.keyed {
            return Expect::Refused;
        }
        if self.answer == WELL {
            return Expect::All;
        }
        let otherwise = OTHERWISE.iter().find(|(name, _)| *name == self.name).map(|(_, expect)| *expect);
        if way.policy == "fail" || ["open", "on-notice"].contains(&at) {
            // What is no failure by any policy is none by this one.
            return otherwise.filter(|&expect| expect == Expect::All).unwrap_or(Expect::Fails);
        }
        otherwise.unwrap_or(match at {
            // Each call sets one timer, and each subtask makes one call.
            "on-timers" => Expect::None { rejected: way.parallelism.min(self.rows()) },
            _ => Expect::None { rejected: self.rows() },
        })
    }

    /// What dead letters call it.
    fn kind(&self) -> &'static str {
        match self.answer.split(": ").nth(1).unwrap_or(self.answer) {
            "output-bytes" | "output-rows" => "output",
            kind @ ("deadline" | "memory" | "bad-reply" | "failure" | "state") => kind,
            _ => "trap",
        }
    }
}

/// The numbers of the rows in a file of JSON lines; `row`: how to come by one.
fn numbers(path: &Path, row: fn(Value) -> Value) -> Option<Vec<i64>> {
    let text = fs::read_to_string(path).ok()?;
    let number = |line: &str| {
        let row = row(serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")));
        row["a"].as_i64().unwrap_or_else(|| panic!("{line}: no number"))
    };
    let mut numbers: Vec<i64> = text.lines().map(number).collect();
    numbers.sort_unstable();
    Some(numbers)
}

/// Whether a job that ran came to what is expected; else what is wrong.
fn check(guest: &Guest, way: Way, folder: &Path, job: &Job, came: &Result<(), String>) -> Result<(), String> {
    let output = folder.join(format!("{}.jsonl", way.name()));
    let letters = folder.join(format!("{}.dead-letters.jsonl", way.name()));
    let expect = guest.expect(way);
    let all: Vec<i64> = (0..guest.rows() as i64).collect();
    let (rows, rejected) = match expect {
        Expect::Refused => return Err("it was not refused".to_owned()),
        Expect::Fails => {
            let words = came.as_ref().err().ok_or("it did not fail")?;
            assert_harmless(words);
            return match (output.exists(), letters.exists()) {
                (false, false) => Ok(()),
                _ => Err("it failed and left results".to_owned()),
            };
        }
        Expect::All => (all.clone(), 0),
        Expect::None { rejected } => (Vec::new(), rejected),
    };
    came.clone()?;
    let out = numbers(&output, |row| row).ok_or("there is no output")?;
    if out != rows {
        return Err(format!("rows {out:?} came out"));
    }
    for (vertex, counters) in job.graph.vertices.iter().zip(&job.counters) {
        let (found, expect) = (counters.totals().rejected, if vertex.name == "o" { rejected as u64 } else { 0 });
        if found != expect {
            return Err(format!("{found} rows of `{}` are counted as left out, not {expect}", vertex.name));
        }
    }
    if way.policy != "dead_letter" {
        return if letters.exists() { Err("there are dead letters".to_owned()) } else { Ok(()) };
    }
    let text = fs::read_to_string(&letters).map_err(|e| format!("{}: {e}", letters.display()))?;
    let call = if guest.answer.starts_with("on-timers") { "on-timers" } else { "process" };
    let said = |letter: &Value| -> BTreeSet<String> {
        ["operator", "call", "kind"].iter().map(|name| letter[name].as_str().unwrap_or_default().to_owned()).collect()
    };
    let expected: BTreeSet<String> = ["o", call, guest.kind()].map(str::to_owned).into();
    for line in text.lines() {
        let letter: Value = serde_json::from_str(line).map_err(|e| format!("{line}: {e}"))?;
        if said(&letter) != expected {
            return Err(format!("a dead letter of {:?}, not {expected:?}", said(&letter)));
        }
    }
    let row = |letter: Value| serde_json::from_str(letter["row"].as_str().expect("text")).expect("a row is JSON");
    let found = numbers(&letters, row).unwrap_or_default();
    let one_each = found.len() == rejected && found.windows(2).all(|pair| pair[0] < pair[1]);
    let whole = call == "on-timers" || found.len() == if rejected == 0 { 0 } else { all.len() };
    if one_each && whole { Ok(()) } else { Err(format!("dead letters of {found:?}, not of {rejected} rows")) }
}

/// Runs one guest in all ways at once, beside the neighbour; what is wrong with each.
fn run(beside: &Beside, guest: &Guest) -> Vec<String> {
    let folder = beside.folder();
    let wasm = template::guest(guest.name).unwrap_or_else(|e| panic!("{e:#}"));
    fs::write(folder.join(format!("{}.wasm", guest.name)), wasm).expect("the folder takes files");
    let mut wrong = Vec::new();
    let mut ready: Vec<(Way, Arc<Job>)> = Vec::new();
    for way in guest.ways() {
        match (beside.prepare(&way.job(guest)), guest.expect(way)) {
            (Ok(job), _) => ready.push((way, job)),
            (Err(words), Expect::Refused) => assert_harmless(&words),
            (Err(words), expect) => {
                wrong.push(format!("{} {}: {expect:?}, but refused: {words}", guest.name, way.name()))
            }
        }
    }
    beside.neighbour(guest.name, || {
        let running: Vec<_> = ready.iter().map(|(way, job)| (way, job, beside.submit(job))).collect();
        for (way, job, handle) in running {
            let name = format!("{} {}", guest.name, way.name());
            let came = jobs::end(&handle, &name);
            if let Err(what) = check(guest, *way, folder, job, &came) {
                wrong.push(format!("{name}: expected {:?}: {what}; {came:?}", guest.expect(*way)));
            }
            for ending in ["jsonl", "dead-letters.jsonl"] {
                let _ = fs::remove_file(folder.join(format!("{}.{ending}", way.name())));
            }
        }
    });
    wrong
}

/// A process with files of rows.
fn beside() -> Beside {
    let beside = Beside::new(SLOTS);
    for rows in [1, 4, ROWS] {
        let text: String = (0..rows).map(|row| format!("{{\"a\":{row},\"k\":\"{row}\"}}\n")).collect();
        fs::write(beside.folder().join(format!("in-{rows}.jsonl")), text).expect("the folder takes files");
    }
    beside
}

fn check_all(guests: impl Iterator<Item = Guest>) {
    let beside = beside();
    let wrong: Vec<String> = guests.flat_map(|guest| run(&beside, &guest)).collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Two tests, so that they can run at the same time.
fn is_of_calls(guest: &Guest) -> bool {
    guest.name.starts_with("call_")
}

#[test]
fn guests_that_misbehave_in_a_call_cost_what_their_policy_says() {
    check_all(Guest::all().filter(is_of_calls));
}

#[test]
fn guests_that_lie_or_hoard_cost_what_their_policy_says() {
    check_all(Guest::all().filter(|guest| !is_of_calls(guest)));
}

/// Pieces of a call that failed have little time, but a new instance has as much to open as the first had.
#[test]
fn an_instance_that_takes_its_time_to_open_is_replaced_all_the_same() {
    let beside = beside();
    let slow = "(func $open (type $open) (local $n i32) (loop $l
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $n) (i32.const 150000000))))
        (i32.const 0x300))
        (func $process (type $process) unreachable)";
    let wasm = template::component(slow).unwrap_or_else(|e| panic!("{e:#}"));
    fs::write(beside.folder().join("slow.wasm"), wasm).expect("the folder takes files");
    let guest = Guest { name: "slow", answer: "process: unreachable", needs_keys: false, deadline_ms: 5_000 };
    let way = Way { policy: "skip", keyed: false, last: false, parallelism: 1 };
    // Four rows are cut into halves, which have the least time.
    let job = beside.prepare(&way.job(&guest).replace(&guest.input(), "in-4.jsonl")).expect("nothing is wrong with it");
    jobs::end(&beside.submit(&job), "slow").expect("all of it is skipped");
    let rejected: u64 = job.counters.iter().map(|counters| counters.totals().rejected).sum();
    assert_eq!(rejected, 4);
}
