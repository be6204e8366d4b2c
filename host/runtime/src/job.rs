//! A job that is ready to run: the checked graph with everything its vertices need.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use wasmill_connectors::{Guarantee, SinkConfig, SourceConfig, Split, StdoutUse};
use wasmill_model::{
    JobGraph, Plan, Schema,
    descriptor::{Descriptor, Input},
    fault::{Code, Coded},
    graph::{Catalogue, Role},
    keys::KeyGroups,
    settings::{Error, Setting, Settings},
    spec::{CheckpointsSpec, InputSpec, JobSpec, LimitsSpec, OperatorSpec, VertexSpec},
};
use wasmill_plugin::{Digest, Limits, Plugin, PluginStore, plugins};

use crate::{counters::Counters, folders::Folders, taps::Taps};

/// A job that is ready to run.
#[derive(Debug)]
pub struct Job {
    pub graph: JobGraph,
    pub plan: Plan,
    pub(crate) key_groups: KeyGroups,
    /// What each vertex of the graph runs.
    pub(crate) parts: Vec<Part>,
    /// One a vertex of the graph.
    pub counters: Vec<Arc<Counters>>,
    /// Where its rows can be looked at.
    pub taps: Arc<Taps>,
    pub(crate) bounds: Bounds,
}

/// Where a run of a job ends, whatever its sources would bring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The sources end after so many rows in all.
    pub rows: Option<u64>,
    /// Whoever runs the job lets the sources end after this time.
    pub time: Option<Duration>,
}

/// What a vertex runs.
#[derive(Debug)]
pub(crate) enum Part {
    Source { config: SourceConfig, splits: Arc<[Split]> },
    Operator(Plugin),
    Sink(SinkConfig),
}

/// What had to be asked of others to check a job: with it, whoever has the same job file checks it again and comes to the
/// same job, without asking.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// By the name of the vertex.
    pub operators: BTreeMap<String, FoundOperator>,
    /// By the name of the source.
    pub splits: BTreeMap<String, Vec<Split>>,
}

/// What an operator's plugin said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundOperator {
    pub digest: Digest,
    pub descriptor: Descriptor,
    pub limits: LimitsSpec,
}

/// Finds the file of the component that a job file names.
pub type FindPlugin<'a> = dyn Fn(&Setting) -> Result<PathBuf, Error> + 'a;

/// Loads the plugin of a component that is known by its digest.
pub type LoadPlugin<'a> = dyn Fn(&Digest) -> Result<Plugin, plugins::Error> + 'a;

impl Job {
    /// Checks a job file and gets everything ready: connectors read their keys, plugins are compiled and describe
    /// themselves. Nothing is opened yet. Relative paths, those of plugins too, are relative to `base`, the folder of the
    /// job file.
    pub fn prepare(settings: &Settings, base: &Path, plugins: &PluginStore) -> Result<Self, Error> {
        Self::prepare_with(settings, base, plugins, &|plugin| plugin_path(plugin, base), &Folders::default())
    }

    /// The same, with plugins found in another way, and files in these folders only.
    pub fn prepare_with(
        settings: &Settings,
        base: &Path,
        plugins: &PluginStore,
        find: &FindPlugin<'_>,
        folders: &Folders,
    ) -> Result<Self, Error> {
        let parts = Parts::new(base, Answers::Ask { plugins, find });
        Self::check(settings, Parts { folders: folders.clone(), ..parts })
    }

    /// The job that [`Job::prepare_with`] made of the same file elsewhere, from what was found there.
    pub fn assemble(settings: &Settings, base: &Path, found: &Found, load: &LoadPlugin<'_>) -> Result<Self, Error> {
        Self::check(settings, Parts::new(base, Answers::Known { found, load }))
    }

    fn check(settings: &Settings, mut parts: Parts<'_>) -> Result<Self, Error> {
        let spec = JobSpec::read(settings)?;
        let graph = JobGraph::check(&spec, &mut parts)?;
        let plan = Plan::new(&graph);
        let key_groups = KeyGroups::new(graph.key_groups).map_err(|e| settings.error(e.to_string()).coded(e.code()))?;
        let part = |vertex: &wasmill_model::graph::Vertex| {
            parts.found.remove(&vertex.name).expect("checking asked the catalogue for every vertex")
        };
        let parts = graph.vertices.iter().map(part).collect();
        let counters = graph.vertices.iter().map(|vertex| Arc::new(Counters::new(vertex.parallelism))).collect();
        let taps = Arc::new(Taps::new(&graph));
        Ok(Self { graph, plan, key_groups, parts, counters, taps, bounds: Bounds::default() })
    }

    /// What [`Job::assemble`] needs to make this job elsewhere.
    pub fn found(&self) -> Found {
        let mut found = Found::default();
        for (vertex, part) in self.graph.vertices.iter().zip(&self.parts) {
            match (part, &vertex.role) {
                (Part::Source { splits, .. }, _) => {
                    found.splits.insert(vertex.name.clone(), splits.to_vec());
                }
                (Part::Operator(plugin), Role::Operator { descriptor, limits, .. }) => {
                    let (digest, descriptor) = (plugin.digest(), descriptor.as_ref().clone());
                    let operator = FoundOperator { digest, descriptor, limits: limits.clone() };
                    found.operators.insert(vertex.name.clone(), operator);
                }
                _ => {}
            }
        }
        found
    }

    /// Whether a source reads the standard input of the process that runs it.
    pub fn reads_standard_input(&self) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, Part::Source { splits, .. } if splits.iter().any(Split::is_standard_input)))
    }

    /// The plugin that a vertex runs, if it is an operator.
    pub fn digest(&self, vertex: usize) -> Option<Digest> {
        match &self.parts[vertex] {
            Part::Operator(plugin) => Some(plugin.digest()),
            Part::Source { .. } | Part::Sink(_) => None,
        }
    }

    /// Whether a sink writes to standard output.
    pub fn writes_stdout(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Sink(config) if config.stdout_use() != StdoutUse::Never))
    }

    /// When it takes checkpoints on a cluster. `None`: it takes none.
    pub fn checkpoints(&self) -> Option<CheckpointsSpec> {
        self.graph.checkpoints.filter(|_| self.bounds == Bounds::default() && self.against_checkpoints().is_empty())
    }

    /// Whether a sink of it, also one of dead letters, prepares what checkpoints make visible.
    pub fn is_transactional(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Sink(config) if config.is_transactional()))
    }

    /// Sinks that cannot take part in checkpoints, and why not.
    pub fn against_checkpoints(&self) -> Vec<(&str, String)> {
        let sinks = self.graph.vertices.iter().zip(&self.parts).filter_map(|(vertex, part)| match part {
            Part::Sink(config) => {
                config.check_checkpoints(self.is_bounded()).err().map(|why| (vertex.name.as_str(), why))
            }
            Part::Source { .. } | Part::Operator(_) => None,
        });
        sinks.collect()
    }

    /// What is promised about the rows that reach each sink on a cluster.
    pub fn guarantees(&self) -> Vec<(&str, Guarantee)> {
        let checkpoints = self.checkpoints().is_some();
        let of_sink = |(place, part): (usize, &Part)| {
            let Part::Sink(config) = part else { return None };
            let sources = self.reaching(place).into_iter().filter_map(|vertex| match &self.parts[vertex] {
                Part::Source { config, .. } => Some(config.replay()),
                _ => None,
            });
            let guarantee = Guarantee::of(sources, config.delivery(self.is_bounded()), checkpoints);
            Some((self.graph.vertices[place].name.as_str(), guarantee))
        };
        self.parts.iter().enumerate().filter_map(of_sink).collect()
    }

    /// All vertices whose rows come to one, by whatever way.
    fn reaching(&self, vertex: usize) -> BTreeSet<usize> {
        let (mut found, mut to_look_at) = (BTreeSet::new(), vec![vertex]);
        while let Some(vertex) = to_look_at.pop() {
            let before = self.graph.inputs_of(vertex).map(|edge| edge.from);
            to_look_at.extend(before.filter(|from| found.insert(*from)));
        }
        found
    }

    /// What an earlier run has left beside the files that this one writes: the name of the sink, and the files.
    pub fn leftovers(&self) -> Vec<(&str, Vec<PathBuf>)> {
        let sinks = self.graph.vertices.iter().zip(&self.parts).filter_map(|(vertex, part)| match part {
            Part::Sink(config) => Some((vertex.name.as_str(), config.leftovers(vertex.parallelism, self.is_bounded()))),
            _ => None,
        });
        sinks.filter(|(_, files)| !files.is_empty()).collect()
    }

    /// The same job, with an end.
    pub fn bounded_by(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// Whether the job ends by itself: each of its sources does, or the run has an end.
    pub fn is_bounded(&self) -> bool {
        self.bounds != Bounds::default()
            || self.parts.iter().all(|part| !matches!(part, Part::Source { config, .. } if !config.bounded()))
    }
}

/// Where the checker's questions are answered.
pub(crate) enum Answers<'a> {
    /// By those that know: the files, the plugins.
    Ask { plugins: &'a PluginStore, find: &'a FindPlugin<'a> },
    /// They were answered before.
    Known { found: &'a Found, load: &'a LoadPlugin<'a> },
}

/// Answers the checker, and keeps what it finds.
pub(crate) struct Parts<'a> {
    base: &'a Path,
    /// Where its files may be.
    folders: Folders,
    answers: Answers<'a>,
    pub(crate) found: BTreeMap<String, Part>,
    /// The file of each `file` sink, and the sink's name.
    written: BTreeMap<PathBuf, String>,
    /// The source that reads standard input.
    standard_input: Option<String>,
    /// The last sink that writes to standard output.
    stdout: Option<(String, StdoutUse)>,
}

impl<'a> Parts<'a> {
    pub(crate) fn new(base: &'a Path, answers: Answers<'a>) -> Self {
        let (found, written) = (BTreeMap::new(), BTreeMap::new());
        Self { base, folders: Folders::default(), answers, found, written, standard_input: None, stdout: None }
    }

    /// Refuses files that the job may not use.
    fn permit(&self, vertex: &VertexSpec, path: &Path) -> Result<(), Error> {
        if self.folders.permit(path) {
            return Ok(());
        }
        let message = format!("jobs may not use {}: their files are in {}", path.display(), self.folders);
        let setting = vertex.settings.get("path");
        let error = setting.map_or_else(|| vertex.settings.error(&message), |setting| setting.error(&message));
        Err(error.coded(Code::PathNotAllowed))
    }

    /// The file that a vertex names, or the pattern of some, if it does.
    fn permit_named(&self, vertex: &VertexSpec) -> Result<(), Error> {
        match vertex.settings.get("path") {
            Some(setting) if !self.folders.is_everywhere() => self.permit(vertex, &setting.path(self.base)?),
            _ => Ok(()),
        }
    }

    /// The splits of a source: found on the way, or known.
    fn splits(&self, vertex: &VertexSpec, config: &SourceConfig) -> Result<Arc<[Split]>, Error> {
        if let Answers::Known { found, .. } = &self.answers {
            return Ok(found.splits.get(&vertex.name).map_or_else(Arc::default, |splits| splits.as_slice().into()));
        }
        config.splits().map_err(|e| {
            let path = vertex.settings.get("path");
            let error = path.map_or_else(|| vertex.settings.error(e.to_string()), |path| path.error(e.to_string()));
            error.coded(e.code())
        })
    }

    /// Lines of several sinks can be told apart; other bytes cannot.
    fn share_stdout(&mut self, vertex: &VertexSpec, config: &SinkConfig) -> Result<(), Error> {
        let refused = |reason: String| vertex.settings.error(reason).coded(Code::StdoutNotLines);
        config.check_stdout(vertex.parallelism).map_err(refused)?;
        let wanted = config.stdout_use();
        match self.stdout.replace((vertex.name.clone(), wanted)) {
            Some((other, had)) if StdoutUse::Alone == had || StdoutUse::Alone == wanted => {
                Err(refused(format!("`{other}` writes to standard output too, and one of them writes no lines")))
            }
            _ => Ok(()),
        }
    }
}

impl Catalogue for Parts<'_> {
    fn source(&mut self, vertex: &VertexSpec) -> Result<Vec<(String, Schema)>, Error> {
        let config = SourceConfig::read(&vertex.settings, self.base)?;
        vertex.settings.finish()?;
        self.permit_named(vertex)?;
        let splits = self.splits(vertex, &config)?;
        splits.iter().try_for_each(|split| self.permit(vertex, &split.path))?;
        if splits.iter().any(Split::is_standard_input)
            && let Some(other) = self.standard_input.replace(vertex.name.clone())
        {
            let path = vertex.settings.require("path")?;
            let message = format!("`{other}` reads standard input too: it can be read only once");
            return Err(path.error(message).coded(Code::JobFileConflict));
        }
        let ports = config.ports().iter().map(|port| (port.name.clone(), port.schema.clone())).collect();
        self.found.insert(vertex.name.clone(), Part::Source { config, splits });
        Ok(ports)
    }

    fn sink(&mut self, vertex: &VertexSpec, schema: &Schema) -> Result<(), Error> {
        let config = SinkConfig::read(&vertex.settings, self.base)?;
        vertex.settings.finish()?;
        self.permit_named(vertex)?;
        config.check(schema).map_err(|reason| vertex.settings.error(reason).coded(Code::FormatColumnType))?;
        if config.stdout_use() != StdoutUse::Never {
            self.share_stdout(vertex, &config)?;
        } else if let Some(path) = vertex.settings.get("path")
            && let Some(other) = self.written.insert(path.path(self.base)?, vertex.name.clone())
        {
            let message = format!("`{other}` writes to this file too: one would replace the other");
            return Err(path.error(message).coded(Code::SinkPathShared));
        }
        self.found.insert(vertex.name.clone(), Part::Sink(config));
        Ok(())
    }

    fn operator(
        &mut self,
        vertex: &VertexSpec,
        operator: &OperatorSpec,
        inputs: &[Input],
    ) -> Result<(Descriptor, LimitsSpec), Error> {
        let (plugin, descriptor, limits) = match &self.answers {
            Answers::Ask { plugins, find } => ask(plugins, &find(&operator.plugin)?, operator, inputs)?,
            Answers::Known { found, load } => known(found, load, vertex, operator)?,
        };
        self.found.insert(vertex.name.clone(), Part::Operator(plugin));
        Ok((descriptor, limits))
    }
}

/// Loads an operator's plugin and lets it describe itself.
fn ask(
    plugins: &PluginStore,
    path: &Path,
    operator: &OperatorSpec,
    inputs: &[Input],
) -> Result<(Plugin, Descriptor, LimitsSpec), Error> {
    let wasm = std::fs::read(path).map_err(|e| {
        let near = wasmill_connectors::similar_file(path);
        let hint = near.map_or_else(
            || "build it first; the standard plugins are built by `cargo xtask plugins`".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        let message = format!("could not read plugin {}: {e}", path.display());
        operator.plugin.error_with_hint(message, hint).coded(Code::PluginUnreadable)
    })?;
    let refuse = |e: plugins::Error| operator.plugin.error(format!("plugin {}: {e}", path.display())).coded(e.code());
    let plugin = plugins.load(&wasm).map_err(refuse)?;
    let manifest = plugins.manifest(&wasm).map_err(refuse)?;
    let limits = manifest.map_or_else(|| operator.limits.clone(), |wants| operator.limits.or(&wants.limits));
    let described = plugins.describe(&wasm, &instance_limits(&limits), &operator.config, inputs);
    let descriptor = described.map_err(|e| {
        let given = given(operator, inputs);
        let hint = match e.code() {
            Code::OperatorNotKeyed => format!("add `key_by = [\"COLUMN\"]` to the input; {given}"),
            _ => given,
        };
        Error { hint: Some(hint), ..refuse(e) }
    })?;
    Ok((plugin, descriptor, limits))
}

/// Loads an operator's plugin, which has described itself before.
fn known(
    found: &Found,
    load: &LoadPlugin<'_>,
    vertex: &VertexSpec,
    operator: &OperatorSpec,
) -> Result<(Plugin, Descriptor, LimitsSpec), Error> {
    let Some(FoundOperator { digest, descriptor, limits }) = found.operators.get(&vertex.name) else {
        let message = "what its plugin said of itself did not come along";
        return Err(operator.plugin.error(message).coded(Code::Internal));
    };
    let plugin = load(digest).map_err(|e| operator.plugin.error(format!("plugin {digest}: {e}")).coded(e.code()))?;
    Ok((plugin, descriptor.clone(), limits.clone()))
}

/// What an operator is given, for whoever must find out why it refuses.
fn given(operator: &OperatorSpec, inputs: &[Input]) -> String {
    let input = |(spec, input): (&InputSpec, &Input)| {
        let from = spec.from.string().unwrap_or_default();
        let key = input.key.as_ref().map_or(String::new(), |key| format!(", keyed by {}", key.join(", ")));
        format!("{}: `{from}` gives it {}{key}", spec.from.origin, input.schema)
    };
    operator.inputs.iter().zip(inputs).map(input).collect::<Vec<_>>().join("; ")
}

/// The file of a plugin: a path, relative to the job file or, from `--set`, to the current directory.
pub(crate) fn plugin_path(plugin: &Setting, base: &Path) -> Result<PathBuf, Error> {
    let text = plugin.string()?;
    if !text.contains('/') {
        let hint = "write a path with a slash, such as \"./score.wasm\"; names come with a cluster's registry";
        let message = format!("\"{text}\" is not a path to a component");
        return Err(plugin.error_with_hint(message, hint).coded(Code::PluginNotAPath));
    }
    plugin.path(base)
}

/// The limits of an operator's instances: what is set, else the defaults.
pub(crate) fn instance_limits(spec: &LimitsSpec) -> Limits {
    let defaults = Limits::default();
    let size = |wanted: Option<u64>, default: usize| wanted.map_or(default, |wanted| wanted as usize);
    Limits {
        memory_bytes: size(spec.memory_bytes, defaults.memory_bytes),
        table_elements: size(spec.table_elements, defaults.table_elements),
        handles: size(spec.handles, defaults.handles),
        call_deadline: spec.call_deadline.unwrap_or(defaults.call_deadline),
        output_bytes: size(spec.output_bytes, defaults.output_bytes),
        output_rows: size(spec.output_rows, defaults.output_rows),
        log_lines_per_second: spec.log_lines_per_second.map_or(defaults.log_lines_per_second, |lines| lines as u32),
        metric_names: size(spec.metric_names, defaults.metric_names),
        ..defaults
    }
}
