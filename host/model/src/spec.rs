//! The job file: which sources, operators and sinks there are and how they are wired. Wiring only, no logic.
//!
//! Keys of connectors are not read here: each vertex keeps its table, and the connector reads its own keys from it.
//! `fixture` reads the file of a fixture, which is a job of one operator with the same keys.

use std::time::Duration;

use crate::{
    dead_letters,
    fault::Code,
    keys::{KEY_GROUPS_DEFAULT, KEY_GROUPS_MAX},
    settings::{Error, Setting, Settings, Value, did_you_mean},
};

pub use crate::limits::LimitsSpec;

pub mod fixture;
pub mod reference;

/// Most subtasks a vertex can have; also the most key groups.
pub const PARALLELISM_MAX: u32 = KEY_GROUPS_MAX;

/// How long a source that is not bounded may bring nothing before it stops holding back the watermark.
pub const IDLE_AFTER_DEFAULT: Duration = Duration::from_secs(5);

/// A job file, read.
#[derive(Debug, Clone)]
pub struct JobSpec {
    pub name: String,
    /// Of every vertex that does not say.
    pub parallelism: u32,
    pub key_groups: u32,
    /// `None`: it takes none.
    pub checkpoints: Option<CheckpointsSpec>,
    /// In the order of the file.
    pub vertices: Vec<VertexSpec>,
}

/// When checkpoints are taken, and how many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointsSpec {
    /// From the start of one to the start of the next.
    pub interval: Duration,
    /// One that takes longer is given up.
    pub timeout: Duration,
    /// From the end of one to the start of the next, at least.
    pub min_pause: Duration,
    /// The newest ones that are kept.
    pub retained: u32,
}

impl Default for CheckpointsSpec {
    fn default() -> Self {
        let (interval, timeout) = (Duration::from_secs(10), Duration::from_secs(600));
        Self { interval, timeout, min_pause: Duration::ZERO, retained: 3 }
    }
}

/// A table of the job file: a source, an operator or a sink.
#[derive(Debug, Clone)]
pub struct VertexSpec {
    pub name: String,
    pub parallelism: u32,
    pub role: RoleSpec,
    /// The whole table, for connectors to read their keys from.
    pub settings: Settings,
}

/// What a vertex is.
#[derive(Debug, Clone)]
pub enum RoleSpec {
    Source { event_time: Option<EventTime>, bad_rows: BadRowPolicy },
    Operator(OperatorSpec),
    Sink { inputs: Vec<InputSpec> },
}

/// Where a source takes event times from.
#[derive(Debug, Clone)]
pub struct EventTime {
    /// Names a column of type `timestamp`.
    pub column: Setting,
    /// How far behind the latest row a row may be without being late.
    pub out_of_order: Duration,
    pub idle_after: Duration,
    /// How far its watermark may be ahead of the others'; `None`: however far.
    pub max_drift: Option<Duration>,
}

/// An operator as the job file writes it.
#[derive(Debug, Clone)]
pub struct OperatorSpec {
    /// `plugin`: a path (it has a slash), a digest, or `name@version`.
    pub plugin: Setting,
    pub inputs: Vec<InputSpec>,
    /// `config` as JSON text; `{}` if there is none.
    pub config: String,
    pub limits: LimitsSpec,
    pub on_error: OnError,
}

/// What becomes of a call that fails, but for one that fails the job in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnError {
    /// The job fails.
    #[default]
    Fail,
    /// The rows that are to blame are found, counted and left out.
    Skip,
    /// They are found, counted and handed to the dead letters.
    DeadLetter,
}

/// What becomes of rows that a source cannot read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BadRowPolicy {
    pub on_error: OnError,
    /// How many of a hundred rows may be bad before the job fails, whatever the policy; 100: all of them.
    pub percent_max: f64,
}

impl Default for BadRowPolicy {
    fn default() -> Self {
        Self { on_error: OnError::Fail, percent_max: 1.0 }
    }
}

/// An edge as its consumer writes it.
#[derive(Debug, Clone)]
pub struct InputSpec {
    /// `vertex` or `vertex.port`.
    pub from: Setting,
    /// `key_by`, where it is written.
    pub key_by: Option<Setting>,
    pub exchange: Option<ExchangeSpec>,
}

/// `exchange`, where the job file insists on one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeSpec {
    Forward,
    Hash,
    Rebalance,
    Broadcast,
}

impl JobSpec {
    /// Reads the tables of a job file, but for the keys of connectors.
    pub fn read(settings: &Settings) -> Result<Self, Error> {
        let job = settings.require("job")?.table()?;
        let name_setting = job.require("name")?;
        let name = name_setting.string()?.to_owned();
        check_name(name_setting, &name, "the job")?;
        let job_parallelism = job.optional("parallelism", parallelism)?.unwrap_or(1);
        let key_groups = job.optional("key_groups", parallelism)?.unwrap_or(KEY_GROUPS_DEFAULT);
        let checkpoints =
            job.optional("checkpoints", read_checkpoints)?.unwrap_or_else(|| Some(CheckpointsSpec::default()));
        if let Some(mode) = job.get("mode") {
            mode.choice(&["stream"])?;
        }
        job.finish()?;
        let mut vertices: Vec<VertexSpec> = Vec::new();
        let mut add = |kind: &'static str, read: ReadRole| -> Result<(), Error> {
            let Some(table) = settings.get(kind) else { return Ok(()) };
            for (name, setting) in table.table()?.iter() {
                check_name(setting, name, kind)?;
                if let Some(other) = vertices.iter().find(|v| v.name == name) {
                    let message = format!("the name `{name}` is taken by [{}]", other.settings.path());
                    let error = setting.error_with_hint(message, "sources, operators and sinks share one namespace");
                    return Err(error.coded(Code::JobFileNameTaken));
                }
                let table = setting.table()?;
                let own = table.optional("parallelism", parallelism)?.unwrap_or(job_parallelism);
                let role = read(table)?;
                vertices.push(VertexSpec { name: name.to_owned(), parallelism: own, role, settings: table.clone() });
            }
            Ok(())
        };
        add("source", read_source)?;
        add("operator", read_operator)?;
        add("sink", read_sink)?;
        vertices.extend(dead_letters::sink(settings, &name, &vertices)?);
        settings.finish()?;
        let spec = Self { name, parallelism: job_parallelism, key_groups, checkpoints, vertices };
        spec.check_whole(settings)?;
        Ok(spec)
    }

    fn check_whole(&self, settings: &Settings) -> Result<(), Error> {
        let incomplete = |message: &str| settings.error(message).coded(Code::JobFileIncomplete);
        let has = |wanted: fn(&RoleSpec) -> bool| self.vertices.iter().any(|v| wanted(&v.role));
        if !has(|role| matches!(role, RoleSpec::Source { .. })) {
            return Err(incomplete("the job has no [source.NAME]: nothing would ever flow"));
        }
        if !has(|role| matches!(role, RoleSpec::Sink { .. })) {
            return Err(incomplete("the job has no [sink.NAME]: nothing would ever come out"));
        }
        if let Some(v) = self.vertices.iter().find(|v| v.parallelism > self.key_groups) {
            let message =
                format!("parallelism {} is more than the job's {} key groups", v.parallelism, self.key_groups);
            return Err(v.settings.error(message).coded(Code::JobFileOutOfRange));
        }
        Ok(())
    }

    /// The vertex of this name.
    pub fn vertex(&self, name: &str) -> Option<usize> {
        self.vertices.iter().position(|v| v.name == name)
    }
}

impl VertexSpec {
    /// Its inputs; a source has none.
    pub fn inputs(&self) -> &[InputSpec] {
        match &self.role {
            RoleSpec::Source { .. } => &[],
            RoleSpec::Operator(operator) => &operator.inputs,
            RoleSpec::Sink { inputs } => inputs,
        }
    }
}

impl InputSpec {
    /// The vertex and the port that the input names.
    pub fn source(&self) -> Result<(&str, Option<&str>), Error> {
        let text = self.from.string()?;
        Ok(text.split_once('.').map_or((text, None), |(vertex, port)| (vertex, Some(port))))
    }

    /// An error for a vertex that is not there.
    pub fn unknown_vertex(&self, name: &str, names: &[&str]) -> Error {
        let hint = did_you_mean(name, names).unwrap_or_else(|| format!("there are: {}", names.join(", ")));
        let message = format!("there is no source or operator `{name}`");
        self.from.error_with_hint(message, hint).coded(Code::UnknownVertex)
    }
}

/// Shorter than this no checkpoint can be useful.
const CHECKPOINT_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Checkpoints that can be kept.
const CHECKPOINTS_RETAINED_MAX: i64 = 1_000;

fn read_checkpoints(setting: &Setting) -> Result<Option<CheckpointsSpec>, Error> {
    if let Value::Boolean(on) = setting.value {
        return Ok(on.then(CheckpointsSpec::default));
    }
    let (table, default) = (setting.table()?, CheckpointsSpec::default());
    let at_least = |min: Duration| {
        move |setting: &Setting| match setting.duration()? {
            time if time >= min => Ok(time),
            time => Err(setting.out_of_range(format!("expected at least {} ms, found {time:?}", min.as_millis()))),
        }
    };
    let spec = CheckpointsSpec {
        interval: table.optional("interval", at_least(CHECKPOINT_INTERVAL_MIN))?.unwrap_or(default.interval),
        timeout: table.optional("timeout", at_least(CHECKPOINT_INTERVAL_MIN))?.unwrap_or(default.timeout),
        min_pause: table.optional("min_pause", Setting::duration)?.unwrap_or(default.min_pause),
        retained: table
            .optional("retained", |s| s.integer(1, CHECKPOINTS_RETAINED_MAX))?
            .map_or(default.retained, |n| n as u32),
    };
    table.finish()?;
    Ok(Some(spec))
}

type ReadRole = fn(&Settings) -> Result<RoleSpec, Error>;

fn read_source(table: &Settings) -> Result<RoleSpec, Error> {
    let event_time = table.optional("event_time", read_event_time)?;
    Ok(RoleSpec::Source { event_time, bad_rows: read_bad_rows(table)? })
}

fn read_event_time(setting: &Setting) -> Result<EventTime, Error> {
    let table = setting.table()?;
    let column = table.require("column")?.clone();
    column.string()?;
    let event_time = EventTime {
        column,
        out_of_order: table.optional("out_of_order", Setting::duration)?.unwrap_or_default(),
        idle_after: table.optional("idle_after", Setting::duration)?.unwrap_or(IDLE_AFTER_DEFAULT),
        max_drift: table.optional("max_drift", Setting::duration)?,
    };
    table.finish()?;
    Ok(event_time)
}

fn read_operator(table: &Settings) -> Result<RoleSpec, Error> {
    let plugin = table.require("plugin")?.clone();
    if plugin.string()?.is_empty() {
        return Err(plugin.error("the plugin's path is empty"));
    }
    let inputs = match (table.get("input"), table.get("inputs")) {
        (Some(_), None) => vec![read_input(table, "input")?],
        (None, Some(inputs)) => {
            let inputs = inputs.items()?.iter().map(|item| {
                let table = item.table()?;
                let input = read_input(table, "from")?;
                table.finish()?;
                Ok(input)
            });
            inputs.collect::<Result<Vec<_>, Error>>()?
        }
        (Some(_), Some(inputs)) => return Err(conflict(inputs, "`input` and `inputs` are both written: keep one")),
        (None, None) => return Err(table.require("input").err().unwrap_or_else(|| table.error("no input"))),
    };
    if inputs.is_empty() {
        return Err(table.error("an operator needs at least one input").coded(Code::JobFileMissingKey));
    }
    let config = read_config(table)?;
    let on_error = read_on_error(table)?.unwrap_or_default();
    let limits = table.optional("limits", |setting| LimitsSpec::read(setting.table()?))?.unwrap_or_default();
    table.finish()?;
    Ok(RoleSpec::Operator(OperatorSpec { plugin, inputs, config, limits, on_error }))
}

/// `config` as JSON text.
fn read_config(table: &Settings) -> Result<String, Error> {
    let config = table.optional("config", |setting| setting.table().map(|_| setting.json()))?;
    Ok(config.map_or_else(|| "{}".to_owned(), |json| json.to_string()))
}

fn read_on_error(table: &Settings) -> Result<Option<OnError>, Error> {
    const POLICIES: [(&str, OnError); 3] =
        [("fail", OnError::Fail), ("skip", OnError::Skip), ("dead_letter", OnError::DeadLetter)];
    let on_error = table.optional("on_error", |s| s.choice(&POLICIES.map(|(name, _)| name)))?;
    Ok(on_error.map(|place| POLICIES[place].1))
}

fn read_bad_rows(table: &Settings) -> Result<BadRowPolicy, Error> {
    let percent = |setting: &Setting| match setting.number()? {
        percent if (0.0..=100.0).contains(&percent) => Ok(percent),
        percent => Err(setting.out_of_range(format!("expected a number from 0 to 100, found {percent}"))),
    };
    let on_error = read_on_error(table)?.unwrap_or_default();
    let percent_max = table.optional("bad_rows_percent_max", percent)?;
    Ok(BadRowPolicy { on_error, percent_max: percent_max.unwrap_or(BadRowPolicy::default().percent_max) })
}

fn read_sink(table: &Settings) -> Result<RoleSpec, Error> {
    Ok(RoleSpec::Sink { inputs: vec![read_input(table, "input")?] })
}

fn read_input(table: &Settings, from: &'static str) -> Result<InputSpec, Error> {
    let from = table.require(from)?.clone();
    from.string()?;
    let key_by = read_key_by(table)?;
    const EXCHANGES: [(&str, ExchangeSpec); 4] = [
        ("forward", ExchangeSpec::Forward),
        ("hash", ExchangeSpec::Hash),
        ("rebalance", ExchangeSpec::Rebalance),
        ("broadcast", ExchangeSpec::Broadcast),
    ];
    let exchange = table.optional("exchange", |s| s.choice(&EXCHANGES.map(|(name, _)| name)))?;
    let exchange = exchange.map(|place| EXCHANGES[place].1);
    if let (Some(setting), true) = (table.get("exchange"), exchange == Some(ExchangeSpec::Hash) && key_by.is_none()) {
        let misspelt = table.require("key_by").err().filter(|error| error.hint.is_some());
        return Err(misspelt.unwrap_or_else(|| conflict(setting, "a hash exchange needs `key_by`")));
    }
    if let (Some(setting), Some(_)) = (table.get("exchange"), &key_by)
        && exchange != Some(ExchangeSpec::Hash)
    {
        return Err(conflict(setting, "with `key_by` the exchange is always hash: leave `exchange` out"));
    }
    Ok(InputSpec { from, key_by, exchange })
}

/// An error about a key that does not go with another one.
fn conflict(setting: &Setting, message: &str) -> Error {
    setting.error(message).coded(Code::JobFileConflict)
}

fn read_key_by(table: &Settings) -> Result<Option<Setting>, Error> {
    let key_by = table.get("key_by").cloned();
    if let Some(setting) = &key_by
        && setting.strings()?.is_empty()
    {
        return Err(setting.error("`key_by` names no column"));
    }
    Ok(key_by)
}

fn parallelism(setting: &Setting) -> Result<u32, Error> {
    setting.integer(1, i64::from(PARALLELISM_MAX)).map(|n| n as u32)
}

fn check_name(setting: &Setting, name: &str, of: &str) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 63 || !name.chars().all(good) {
        let message = format!("\"{name}\" cannot name {of}");
        let error = setting.error_with_hint(message, "use letters, digits, `-` and `_`, at most 63");
        return Err(error.coded(Code::JobFileBadName));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
