//! Each guest in a job: how the job ends, and that a job beside it in the same process keeps its results exact.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use wasmill_cluster::{Cluster, JobHandle};
use wasmill_control::jobmanager::JobState;
use wasmill_hostile::template;
use wasmill_model::settings::Settings;
use wasmill_plugin::{EngineOptions, PluginStore};
use wasmill_runtime::Job;

use crate::{
    cases::{CASES, STATE_CASES, WELL},
    hosts,
    instances::assert_harmless,
};

/// How long a job may take to come to its next state.
const PATIENCE: Duration = Duration::from_secs(60);

/// No multiple of 8: the bitmap of the last batch has a tail.
const ROWS: usize = 20_003;

const KEYS: usize = 500;

/// A folder with the rows that all jobs read, and the components of the guests.
pub(crate) fn folder() -> TempDir {
    let folder = TempDir::new().expect("temporary folders can be made");
    let mut rows = String::new();
    for row in 0..ROWS {
        writeln!(rows, r#"{{"a":{row},"k":"{}"}}"#, row % KEYS).expect("it is a string");
    }
    fs::write(folder.path().join("in.jsonl"), rows).expect("the folder takes files");
    folder
}

/// A job file with one operator.
fn job(name: &str, operator: &str) -> String {
    format!(
        "[job]\nname = \"{name}\"\n[source.s]\nconnector = \"file\"\npath = \"in.jsonl\"\nformat = \"json\"\n\
         schema = {{ a = \"int64\", k = \"utf8\" }}\n[operator.o]\n{operator}\n\
         [sink.out]\ninput = \"o\"\nconnector = \"file\"\nformat = \"json\"\npath = \"{name}.jsonl\"\n"
    )
}

/// The job of a guest, whose component it puts into the folder; `more` stands in its table too.
pub(crate) fn hostile(folder: &Path, name: &str, answer: &str, more: &str) -> String {
    let wasm = template::guest(name).unwrap_or_else(|e| panic!("{e:#}"));
    fs::write(folder.join("hostile.wasm"), wasm).expect("the folder takes files");
    let limits = format!(
        "call_deadline = \"{}ms\", state = \"64KiB\", timers = 500",
        hosts::limits(answer).call_deadline.as_millis()
    );
    job(
        "hostile",
        &format!("plugin = \"./hostile.wasm\"\ninput = \"s\"\nkey_by = [\"a\"]\nlimits = {{ {limits} }}\n{more}"),
    )
}

fn neighbour() -> String {
    let plugin = hosts::target().join("plugins/keyed-counter.wasm");
    assert!(plugin.is_file(), "there is no {}: run `cargo xtask plugins` first", plugin.display());
    job("neighbour", &format!("plugin = \"{}\"\ninput = \"s\"\nkey_by = [\"k\"]", plugin.display()))
}

fn prepare(text: &str, folder: &Path, plugins: &PluginStore) -> Result<Arc<Job>, String> {
    let settings = Settings::parse(Path::new("job.toml"), text).expect("the job file is TOML");
    Job::prepare(&settings, folder, plugins).map(Arc::new).map_err(|e| e.to_string())
}

/// The end of a job: nothing, or what it says.
pub(crate) fn end(handle: &JobHandle, name: &str) -> Result<(), String> {
    loop {
        match handle.next_state(PATIENCE).unwrap_or_else(|| panic!("{name}: nothing happens")) {
            JobState::Finished => return Ok(()),
            JobState::Failed(cause) => return Err(cause.message),
            state if state.is_terminal() => panic!("{name}: {state:?}"),
            _ => {}
        }
    }
}

fn sorted(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// What the job of a case must come to.
fn check(name: &str, answer: &str, part: &str, came: &Result<(), String>, rows: Option<usize>) -> Option<String> {
    let fits = match came {
        Ok(()) => answer == WELL && rows == Some(ROWS),
        Err(words) => {
            assert_harmless(words);
            answer != WELL && rows.is_none() && words.contains(part)
        }
    };
    (!fits).then(|| format!("{name}: expected {answer}, found {came:?} and {rows:?} rows"))
}

/// A process in which a well-behaved job runs beside each hostile one.
pub(crate) struct Beside {
    store: PluginStore,
    folder: TempDir,
    cluster: Cluster,
    well_behaved: Arc<Job>,
    expect: Vec<String>,
}

impl Beside {
    /// With fewer slots than there are hostile jobs: one that is not given back is missed.
    pub(crate) fn new(slots: u32) -> Self {
        let store = hosts::store(hosts::engine(EngineOptions::default().pool_instances));
        let folder = folder();
        let cluster = Cluster::start(slots, Arc::new(|_, _, _| ())).expect("threads can be started");
        let well_behaved = prepare(&neighbour(), folder.path(), &store).expect("nothing is wrong with it");
        end(&cluster.submit(Arc::clone(&well_behaved)), "neighbour").expect("it runs alone");
        let expect = sorted(&folder.path().join("neighbour.jsonl"));
        assert_eq!(expect.len(), KEYS);
        Self { store, folder, cluster, well_behaved, expect }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn prepare(&self, text: &str) -> Result<Arc<Job>, String> {
        prepare(text, self.folder(), &self.store)
    }

    pub(crate) fn submit(&self, job: &Arc<Job>) -> JobHandle {
        self.cluster.submit(Arc::clone(job))
    }

    /// Runs the well-behaved job beside something else: its results must be what they always are.
    pub(crate) fn neighbour<T>(&self, name: &str, work: impl FnOnce() -> T) -> T {
        let result = self.folder().join("neighbour.jsonl");
        fs::remove_file(&result).expect("it was written");
        let beside = self.submit(&self.well_behaved);
        let done = work();
        end(&beside, "neighbour").unwrap_or_else(|e| panic!("beside {name}: {e}"));
        assert!(sorted(&result) == self.expect, "the neighbour of {name} has other results");
        done
    }

    /// Runs both. How the hostile job ended, and the rows it left.
    fn run(&self, name: &str, answer: &str, more: &str) -> (Result<(), String>, Option<usize>) {
        self.neighbour(name, || {
            let came = self.prepare(&hostile(self.folder(), name, answer, more));
            let came = came.and_then(|job| end(&self.submit(&job), name));
            let output = self.folder().join("hostile.jsonl");
            let rows = output.exists().then(|| sorted(&output).len());
            let _ = fs::remove_file(&output);
            (came, rows)
        })
    }
}

/// Names, answers, and what a message must say.
fn all_cases() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let cases = CASES.iter().map(|case| (case.name, case.answer, case.words()));
    cases.chain(STATE_CASES.iter().map(|&(name, words)| (name, "state", words)))
}

#[test]
fn a_neighbour_in_the_same_process_keeps_its_results() {
    let beside = Beside::new(8);
    let wrong: Vec<String> = all_cases()
        .filter_map(|(name, answer, part)| {
            let (came, rows) = beside.run(name, answer, "");
            check(name, answer, part, &came, rows)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every row is poison: its job may leave a few of them out, and then gives up.
#[test]
fn a_neighbour_keeps_its_results_while_rows_are_left_out() {
    let beside = Beside::new(8);
    for (name, answer, _) in all_cases() {
        let (came, rows) = beside.run(name, answer, "on_error = \"skip\"\nparallelism = 4");
        match came {
            // Those that set timers pass nothing on.
            Ok(()) if answer.starts_with("on-timers") => assert_eq!(rows, Some(0), "{name}"),
            Ok(()) => assert!(rows.is_some_and(|rows| rows * 100 >= ROWS * 99), "{name}: {rows:?}"),
            Err(words) => {
                assert_harmless(&words);
                assert_eq!(rows, None, "{name}");
                assert_ne!(answer, WELL, "{name}: {words}");
            }
        }
    }
}

/// A guest that fails by how often it was called, not by what it was given, loses no row.
#[test]
fn a_row_is_left_out_only_if_it_fails_alone_in_a_new_instance() {
    let every_third_call = "(global $calls (mut i32) (i32.const 0))
        (func $process (type $process)
          (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
          (if (i32.eq (global.get $calls) (i32.const 3)) (then unreachable))
          (i32.const 0x400))";
    let folder = folder();
    let wasm = template::component(every_third_call).expect("it is a component");
    fs::write(folder.path().join("later.wasm"), wasm).expect("the folder takes files");
    let text = job("later", "plugin = \"./later.wasm\"\ninput = \"s\"\non_error = \"skip\"");
    let job = prepare(&text, folder.path(), &hosts::store(hosts::engine(4))).expect("nothing is wrong with it");
    let cluster = Cluster::start(1, Arc::new(|_, _, _| {})).expect("threads can be started");
    end(&cluster.submit(Arc::clone(&job)), "later").expect("no row is to blame");
    assert_eq!(sorted(&folder.path().join("later.jsonl")).len(), ROWS);
    assert!(job.counters.iter().all(|counters| counters.totals().rejected == 0));
}

/// 0: its results are there, 1: it failed while it ran, 2: it was refused.
#[test]
fn the_program_ends_as_it_should() {
    let program = hosts::programs().join("wasmill");
    assert!(program.is_file(), "there is no {}: run `cargo build --release --workspace` first", program.display());
    let folder = folder();
    let mut wrong = Vec::new();
    let states = STATE_CASES.iter().map(|&(name, _)| (name, "state", 1));
    let calls = CASES.iter().map(|case| (case.name, case.answer, case.exit_code()));
    for (name, answer, expect) in calls.chain(states) {
        fs::write(folder.path().join("job.toml"), hostile(folder.path(), name, answer, ""))
            .expect("the folder takes files");
        let ended = Command::new(&program)
            .args(["run", "job.toml", "--cache"])
            .arg(hosts::cache())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("the program starts");
        let words = String::from_utf8_lossy(&ended.stderr);
        assert!(!words.contains('\u{1b}'), "{name}: {words:?}");
        if ended.status.code() != Some(expect) {
            wrong.push(format!("{name}: expected {expect}, found {}: {words}", ended.status));
        }
        if expect != 0 {
            assert!(!folder.path().join("hostile.jsonl").exists(), "{name} left results");
        }
        let _ = fs::remove_file(folder.path().join("hostile.jsonl"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
