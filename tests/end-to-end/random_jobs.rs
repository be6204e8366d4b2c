//! Jobs made at random, run in this process: their result does not depend on their parallelism, nor on how their input
//! is cut into files and so into batches (rule 11).

use std::{fmt::Write as _, path::Path, sync::Arc, time::Duration};

use proptest::{prelude::*, test_runner::Config};
use serde_json::json;
use wasmill_cluster::Cluster;
use wasmill_control::jobmanager::JobState;
use wasmill_model::settings::Settings;
use wasmill_plugin::{Engine, EngineOptions, PluginStore, cache::Cache, worker::Worker};
use wasmill_runtime::Job;

use crate::process::{Bench, cache, counted, plugin};

/// How long a job may take to come to its next state.
const PATIENCE: Duration = Duration::from_secs(60);

/// What may stand in the middle of a job. What comes out of each does not depend on how rows are cut into batches.
#[derive(Debug, Clone, Copy)]
enum Step {
    Pass,
    Keep,
    Map,
    Union,
    Rewrite,
}

/// What a job is made of. Numbers choose among what is there when they are used.
#[derive(Debug, Clone)]
struct Plan {
    /// Rows of each file.
    files: Vec<usize>,
    keys: u64,
    /// The step, its input, a second input for `Union`, its parallelism and its exchange.
    steps: Vec<(Step, usize, usize, usize, usize)>,
    /// Whether the end counts keys over the number (else over the text).
    by_number: bool,
    /// The key of an operator before that, which hands on all rows: if it is the same, rows stay where they are.
    before: Option<bool>,
}

fn plans() -> impl Strategy<Value = Plan> {
    let step = prop_oneof![Just(Step::Pass), Just(Step::Keep), Just(Step::Map), Just(Step::Union), Just(Step::Rewrite)];
    let steps = prop::collection::vec((step, any::<usize>(), any::<usize>(), 0..4_usize, 0..3_usize), 0..5);
    let files = prop::collection::vec(prop_oneof![Just(0), 1..4_usize, 1..6_000_usize], 1..5);
    (files, 1..300_u64, steps, any::<bool>(), any::<Option<bool>>())
        .prop_map(|(files, keys, steps, by_number, before)| Plan { files, keys, steps, by_number, before })
}

impl Plan {
    fn write_input(&self, bench: &Bench) {
        let mut row = 0_u64;
        for (file, rows) in self.files.iter().enumerate() {
            let mut text = String::new();
            for _ in 0..*rows {
                let k = row.wrapping_mul(2_654_435_761) % self.keys;
                writeln!(text, "{}", json!({ "a": row, "n": k, "k": format!("key {k} of the job") }))
                    .expect("it is a string");
                row += 1;
            }
            bench.put(&format!("in-{file}.jsonl"), text);
        }
    }

    /// The job file at a parallelism; each step's own is added to it.
    fn job(&self, parallelism: usize) -> String {
        let mut job = format!(
            "[job]\nname = \"random\"\nparallelism = {parallelism}\n[source.s]\nconnector = \"file\"\npath = \"in-*.jsonl\"\n\
             format = \"json\"\nschema = {{ a = \"int64\", n = \"int64\", k = \"utf8\" }}\n"
        );
        // Vertices, and whether their rows still have all columns.
        let mut whole = vec!["s".to_owned()];
        let mut all = whole.clone();
        for (place, &(step, first, second, more, exchange)) in self.steps.iter().enumerate() {
            let name = format!("o{place}");
            let mode = format!("{step:?}").to_lowercase();
            let exchange = ["", ", exchange = \"rebalance\"", ""][exchange];
            let mut inputs = format!("{{ from = \"{}\"{exchange} }}", whole[first % whole.len()]);
            if matches!(step, Step::Union) {
                write!(inputs, ", {{ from = \"{}\"{exchange} }}", all[second % all.len()]).expect("it is a string");
            } else {
                whole.push(name.clone());
            }
            all.push(name.clone());
            write!(
                job,
                "[operator.{name}]\nplugin = \"{}\"\nconfig = {{ mode = \"{mode}\" }}\ninputs = [{inputs}]\nparallelism = {}\n",
                plugin("rust-plain"),
                parallelism + more * (parallelism - 1),
            )
            .expect("it is a string");
        }
        let column = |by_number: bool| if by_number { "n" } else { "k" };
        let mut last = whole[whole.len() - 1].clone();
        if let Some(by_number) = self.before {
            write!(
                job,
                "[operator.before]\nplugin = \"{}\"\nconfig = {{ column = \"a\", threshold = -1.0 }}\ninput = \"{last}\"\n\
                 key_by = [\"{}\"]\n",
                plugin("threshold-alert"),
                column(by_number),
            )
            .expect("it is a string");
            last = "before".to_owned();
        }
        write!(
            job,
            "[operator.count]\nplugin = \"{}\"\ninput = \"{last}\"\nkey_by = [\"{}\"]\n",
            plugin("keyed-counter"),
            column(self.by_number),
        )
        .expect("it is a string");
        for (place, name) in all.iter().map(String::as_str).chain(["count"]).enumerate() {
            let sink = "connector = \"file\"\nformat = \"json\"\nparallelism = 1\n";
            write!(job, "[sink.out{place}]\ninput = \"{name}\"\npath = \"out{place}.jsonl\"\n{sink}")
                .expect("it is a string");
        }
        job
    }
}

/// Runs a job file in this process.
fn run(plugins: &PluginStore, text: &str, base: &Path) {
    let settings = Settings::parse(Path::new("job.toml"), text).expect("the job file is TOML");
    let job = Job::prepare(&settings, base, plugins).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let job = Arc::new(job);
    let log = Arc::new(|operator: &str, subtask: u32, line| panic!("{operator}[{subtask}] says {line:?}"));
    let cluster = Cluster::start(job.graph.slots(), log).expect("threads can be started");
    let handle = cluster.submit(job);
    loop {
        match handle.next_state(PATIENCE).unwrap_or_else(|| panic!("nothing happens in\n{text}")) {
            JobState::Finished => return,
            state if state.is_terminal() => panic!("{state:?}\n{text}"),
            _ => {}
        }
    }
}

#[test]
fn results_do_not_depend_on_parallelism_or_batches() {
    let engine = Engine::new(&EngineOptions::default()).expect("the engine starts");
    let worker = Worker::new(env!("CARGO_BIN_EXE_wasmill"), vec!["plugin-worker".to_owned()]);
    let plugins = PluginStore::new(engine, Cache::open(cache()).expect("the folder can be made"), worker);
    let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
    proptest!(config, |(plan in plans())| {
        let bench = Bench::new("");
        plan.write_input(&bench);
        let mut expect = None;
        for parallelism in 1..=4 {
            run(&plugins, &plan.job(parallelism), bench.folder.path());
            let names = bench.files().into_iter().filter(|name| name.starts_with("out"));
            let results: Vec<_> = names.map(|name| (counted(&bench.rows(&name)), name)).collect();
            match &expect {
                None => expect = Some(results),
                Some(first) => prop_assert!(*first == results, "{parallelism}: {}", plan.job(parallelism)),
            }
        }
    });
}
