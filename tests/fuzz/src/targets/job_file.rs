//! A job file: text, settings, specification, checked graph, plan. Lines that begin with `#set ` are what `--set` would be
//! given, too. Operators are made up here by the names of their plugins; connectors read their own keys, but no file.
//!
//! Rules: no panic; an error says at which line of the file, or in which `--set`; a graph that is accepted has its vertices
//! in order, edges that fit them, and a plan that runs each vertex once.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use wasmill_connectors::{SinkConfig, SourceConfig};
use wasmill_model::{
    DataType, Field, JobGraph, Plan, Schema,
    descriptor::{Cell, Descriptor, Input, Port, Reads, Shape},
    graph::{Catalogue, Exchange},
    settings::{Error, Origin, Settings},
    spec::{JobSpec, LimitsSpec, OperatorSpec, VertexSpec},
};

use crate::{Handled, Random, Target, mutate};

/// What may stand for a value or a line.
const WORDS: [&str; 48] = [
    "0",
    "-1",
    "1",
    "9223372036854775807",
    "-9223372036854775808",
    "99999999999999999999",
    "0x7f",
    "1e308",
    "nan",
    "-inf",
    "true",
    "\"\"",
    "\"a.b\"",
    "\"s.out\"",
    "\"payments\"",
    "\"5s\"",
    "\"-5s\"",
    "\"99999999999999d\"",
    "\"16EiB\"",
    "\"int64?\"",
    "\"utf8\"",
    "[]",
    "[[[[[[[[]]]]]]]]",
    "{}",
    "{ a = {} }",
    "[\"card\", \"card\"]",
    "\"\\u0000\"",
    "\"\\u202e\"",
    "1979-05-27T07:32:00Z",
    "[job]",
    "[[job]]",
    "[operator.o]",
    "[sink.\"\"]",
    "[source.\"a.b\"]",
    "input = \"o\"",
    "inputs = []",
    "inputs = [{ from = \"o\" }]",
    "key_by = []",
    "parallelism = 32768",
    "key_groups = 0",
    "plugin = \"./hostile.wasm\"",
    "plugin = \"x\"",
    "on_error = \"dead_letter\"",
    "event_time = {}",
    "schema = { a = \"int64\", A = \"int64\" }",
    "#set =",
    "#set job=1",
    "#set a.b.c=[1",
];

pub(super) struct JobFiles {
    seeds: Vec<String>,
}

impl JobFiles {
    pub(super) fn new() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut paths = Vec::new();
        for folder in [here.join("seeds"), here.join("../../examples")] {
            add_files(&folder, &mut paths)?;
        }
        paths.sort();
        let read =
            |path: &PathBuf| fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()));
        let mut seeds = paths.iter().map(read).collect::<Result<Vec<_>>>()?;
        seeds.retain(|text| text.contains("[job]"));
        ensure!(seeds.len() > 2, "the job files are missing");
        Ok(Self { seeds })
    }
}

fn add_files(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            add_files(&path, paths)?;
        } else if path.extension().is_some_and(|ending| ending == "toml") {
            paths.push(path);
        }
    }
    Ok(())
}

impl Target for JobFiles {
    fn make(&self, random: &mut Random) -> Vec<u8> {
        let seed = random.pick(&self.seeds);
        if random.once_in(6) {
            let mut bytes = seed.as_bytes().to_vec();
            mutate::bytes(&mut bytes, random.pick(&self.seeds).as_bytes(), random);
            return bytes;
        }
        let mut lines: Vec<String> = seed.lines().map(str::to_owned).collect();
        for _ in 0..random.below(4) {
            let other: Vec<&str> = random.pick(&self.seeds).lines().collect();
            change(&mut lines, &other, random);
        }
        lines.join("\n").into_bytes()
    }

    fn run(&mut self, input: &[u8]) -> std::result::Result<Handled, String> {
        // A file that is not UTF-8 is refused before any of this.
        let text = String::from_utf8_lossy(input);
        match check(&text) {
            Ok((graph, plan)) => accepted(&graph, &plan).map(|()| Handled::Accepted),
            Err(error) => refused(&text, &error).map(|()| Handled::Refused),
        }
    }
}

/// Changes a line, in ways that leave most of it to be read.
fn change(lines: &mut Vec<String>, other: &[&str], random: &mut Random) {
    if lines.is_empty() {
        lines.push((*random.pick(&WORDS)).to_owned());
        return;
    }
    let at = random.below(lines.len());
    match random.below(8) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, (*random.pick(other)).to_owned()),
        2 => lines.insert(at, (*random.pick(&WORDS)).to_owned()),
        3 => {
            let to = random.below(lines.len());
            lines.swap(at, to);
        }
        4 => {
            let (from, to) = (random.pick(other), random.pick(other));
            lines[at] = lines[at].replace(from.trim(), to);
        }
        5 => {
            let mut bytes = std::mem::take(&mut lines[at]).into_bytes();
            mutate::bytes(&mut bytes, b"[]{}=\".,#'\\", random);
            lines[at] = String::from_utf8_lossy(&bytes).into_owned();
        }
        _ => {
            if let Some((key, value)) = lines[at].split_once('=') {
                let word = random.pick(&WORDS);
                lines[at] = if random.once_in(3) { format!("{word} ={value}") } else { format!("{key}= {word}") };
            }
        }
    }
}

fn sets(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("#set "))
}

fn check(text: &str) -> std::result::Result<(JobGraph, Plan), Error> {
    let mut settings = Settings::parse(Path::new("job.toml"), text)?;
    for assignment in sets(text) {
        settings.set(assignment)?;
    }
    let spec = JobSpec::read(&settings)?;
    let graph = JobGraph::check(&spec, &mut MadeUp)?;
    let plan = Plan::new(&graph);
    Ok((graph, plan))
}

fn refused(text: &str, error: &Error) -> std::result::Result<(), String> {
    match &error.origin {
        Origin::File { line, .. } if (1..=text.lines().count().max(1) + 1).contains(&(*line as usize)) => {}
        Origin::Set(argument) if sets(text).any(|given| argument.strip_prefix("--set ") == Some(given)) => {}
        origin => return Err(format!("an error at {origin}: {error}")),
    }
    if error.message.trim().is_empty() {
        return Err(format!("an error without words: {error}"));
    }
    Ok(())
}

fn accepted(graph: &JobGraph, plan: &Plan) -> std::result::Result<(), String> {
    for edge in &graph.edges {
        let (Some(from), Some(to)) = (graph.vertices.get(edge.from), graph.vertices.get(edge.to)) else {
            return Err(format!("{edge:?} joins what is not there"));
        };
        let Some(port) = from.ports.get(edge.port) else { return Err(format!("{edge:?} leaves by no port")) };
        if edge.from >= edge.to {
            return Err(format!("{edge:?} goes backwards"));
        }
        match &edge.exchange {
            Exchange::Forward if from.parallelism != to.parallelism => {
                return Err(format!("{edge:?} forwards from {} to {} subtasks", from.parallelism, to.parallelism));
            }
            Exchange::Hash { key } if key.is_empty() || key.iter().any(|&column| column >= port.schema.len()) => {
                return Err(format!("{edge:?} has a key that is not there"));
            }
            _ => {}
        }
    }
    let mut run: Vec<usize> = plan.chains.iter().flat_map(|chain| chain.vertices.iter().copied()).collect();
    run.sort_unstable();
    if run != (0..graph.vertices.len()).collect::<Vec<_>>() {
        return Err(format!("chains run the vertices {run:?} of {}", graph.vertices.len()));
    }
    let parallelism = |vertex: &usize| graph.vertices[*vertex].parallelism;
    if plan.chains.iter().any(|chain| chain.vertices.iter().any(|vertex| parallelism(vertex) != chain.parallelism)) {
        return Err("a chain has vertices of another parallelism".to_owned());
    }
    Ok(())
}

/// Connectors as they are, without their files; operators that are made up.
struct MadeUp;

impl Catalogue for MadeUp {
    fn source(&mut self, vertex: &VertexSpec) -> std::result::Result<Vec<(String, Schema)>, Error> {
        let config = SourceConfig::read(&vertex.settings, Path::new("/nowhere"))?;
        vertex.settings.finish()?;
        Ok(config.ports().iter().map(|port| (port.name.clone(), port.schema.clone())).collect())
    }

    fn sink(&mut self, vertex: &VertexSpec, schema: &Schema) -> std::result::Result<(), Error> {
        let config = SinkConfig::read(&vertex.settings, Path::new("/nowhere"))?;
        vertex.settings.finish()?;
        config.check(schema).map_err(|reason| vertex.settings.error(reason))
    }

    fn operator(
        &mut self,
        _: &VertexSpec,
        operator: &OperatorSpec,
        inputs: &[Input],
    ) -> std::result::Result<(Descriptor, LimitsSpec), Error> {
        let plugin = operator.plugin.string()?;
        if plugin.contains("refuses") {
            return Err(operator.plugin.error("it refuses"));
        }
        Ok((descriptor(plugin, inputs), operator.limits.clone()))
    }
}

/// What an operator of this name says it is. Some names lie.
fn descriptor(plugin: &str, inputs: &[Input]) -> Descriptor {
    let keyed = plugin.contains("keyed");
    let lies = plugin.contains("hostile");
    let reads = |input: &Input| Reads {
        columns: if lies {
            vec!["a".into(), "a".into()]
        } else {
            input.schema.names().take(2).map(str::to_owned).collect()
        },
        keyed,
        event_times: input.event_times,
    };
    let field = |name: &str| Field { name: name.into(), data_type: DataType::Int64, nullable: true };
    let port = |name: &str, shape| Port { name: name.into(), shape, event_times: false };
    let mut ports = Vec::new();
    match plugin {
        _ if keyed => ports.push(port("totals", Shape::Key { columns: vec![field("total")] })),
        _ if plugin.contains("new") => {
            let schema = Schema::new(vec![field("n")]).expect("one column");
            ports.push(port("out", Shape::New { schema }));
        }
        _ if plugin.contains("extend") => {
            ports.push(port("out", Shape::Extend { input: 0, columns: vec![field("added"), field("price")] }));
        }
        _ => ports.push(port("out", Shape::Pass { input: u32::from(lies) * 7 })),
    }
    let cell = Cell::value("c", DataType::Utf8);
    Descriptor {
        inputs: inputs.iter().map(reads).collect(),
        ports,
        cells: if keyed || lies { vec![cell] } else { Vec::new() },
        timers: keyed,
        notice_watermark: keyed,
        notice_end_of_input: true,
        extra: Vec::new(),
    }
}
