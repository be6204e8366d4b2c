//! The limits of an operator's instances as people write them: in a job file, and in a plugin's manifest as those it
//! wants. Their names, their notation, and the most that either may ask for.
//!
//! Not here: the defaults, which belong to whoever keeps a limit.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::settings::{Error, Setting, Settings};

/// The maxima: what a process can give one instance without harm to its neighbours, and what no honest operator needs.
pub const MEMORY_BYTES_MAX: u64 = 2 << 30;
pub const TABLE_ELEMENTS_MAX: u64 = 100_000;
pub const HANDLES_MAX: u64 = 100_000;
pub const CALL_DEADLINE_MAX: Duration = Duration::from_secs(3_600);
pub const OUTPUT_BYTES_MAX: u64 = 1 << 30;
pub const OUTPUT_ROWS_MAX: u64 = 1 << 28;
pub const LOG_LINES_MAX: u64 = 10_000;
pub const METRIC_NAMES_MAX: u64 = 1_000;
pub const STATE_BYTES_MAX: u64 = 64 << 30;
pub const TIMERS_MAX: u64 = 1 << 32;

/// Limits that somebody set or wants; the rest keep their defaults. None is 0, none beyond its maximum.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsSpec {
    pub memory_bytes: Option<u64>,
    pub call_deadline: Option<Duration>,
    pub output_bytes: Option<u64>,
    pub output_rows: Option<u64>,
    pub table_elements: Option<u64>,
    pub handles: Option<u64>,
    pub log_lines_per_second: Option<u64>,
    pub metric_names: Option<u64>,
    pub state_bytes: Option<u64>,
    pub timers: Option<u64>,
}

impl LimitsSpec {
    /// Reads a table of limits, and refuses what is beyond the maxima.
    pub fn read(table: &Settings) -> Result<Self, Error> {
        let limits = Self {
            memory_bytes: table.optional("memory", |s| bytes(s, MEMORY_BYTES_MAX))?,
            call_deadline: table.optional("call_deadline", |s| duration(s, CALL_DEADLINE_MAX))?,
            output_bytes: table.optional("output", |s| bytes(s, OUTPUT_BYTES_MAX))?,
            output_rows: table.optional("output_rows", |s| count(s, OUTPUT_ROWS_MAX))?,
            table_elements: table.optional("table_elements", |s| count(s, TABLE_ELEMENTS_MAX))?,
            handles: table.optional("handles", |s| count(s, HANDLES_MAX))?,
            log_lines_per_second: table.optional("log_lines_per_second", |s| count(s, LOG_LINES_MAX))?,
            metric_names: table.optional("metric_names", |s| count(s, METRIC_NAMES_MAX))?,
            state_bytes: table.optional("state", |s| bytes(s, STATE_BYTES_MAX))?,
            timers: table.optional("timers", |s| count(s, TIMERS_MAX))?,
        };
        table.finish()?;
        Ok(limits)
    }

    /// These limits, and where they leave one open, that of the others.
    pub fn or(&self, others: &Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.or(others.memory_bytes),
            call_deadline: self.call_deadline.or(others.call_deadline),
            output_bytes: self.output_bytes.or(others.output_bytes),
            output_rows: self.output_rows.or(others.output_rows),
            table_elements: self.table_elements.or(others.table_elements),
            handles: self.handles.or(others.handles),
            log_lines_per_second: self.log_lines_per_second.or(others.log_lines_per_second),
            metric_names: self.metric_names.or(others.metric_names),
            state_bytes: self.state_bytes.or(others.state_bytes),
            timers: self.timers.or(others.timers),
        }
    }

    /// The limits that are set, by name, as a job file writes them: reading them again gives these.
    pub fn written(&self) -> Map<String, Value> {
        let bytes = |bytes: Option<u64>| bytes.map(|bytes| written_bytes(bytes).into());
        let count = |count: Option<u64>| count.map(Value::from);
        let all = [
            ("memory", bytes(self.memory_bytes)),
            ("call_deadline", self.call_deadline.map(|time| written_duration(time).into())),
            ("output", bytes(self.output_bytes)),
            ("output_rows", count(self.output_rows)),
            ("table_elements", count(self.table_elements)),
            ("handles", count(self.handles)),
            ("log_lines_per_second", count(self.log_lines_per_second)),
            ("metric_names", count(self.metric_names)),
            ("state", bytes(self.state_bytes)),
            ("timers", count(self.timers)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

fn count(setting: &Setting, max: u64) -> Result<u64, Error> {
    setting.integer(1, max as i64).map(i64::unsigned_abs)
}

fn bytes(setting: &Setting, max: u64) -> Result<u64, Error> {
    match setting.bytes()? {
        bytes @ 1.. if bytes <= max => Ok(bytes),
        bytes => Err(beyond(setting, &written_bytes(max), &written_bytes(bytes))),
    }
}

fn duration(setting: &Setting, max: Duration) -> Result<Duration, Error> {
    match setting.duration()? {
        time if !time.is_zero() && time <= max => Ok(time),
        time => Err(beyond(setting, &written_duration(max), &written_duration(time))),
    }
}

fn beyond(setting: &Setting, max: &str, found: &str) -> Error {
    setting.out_of_range(format!("expected more than 0 and at most \"{max}\", found \"{found}\""))
}

/// In the largest unit that gives a whole number.
fn written_bytes(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1_u64)];
    let (unit, size) =
        units.into_iter().find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size)).unwrap_or(("B", 1));
    format!("{}{unit}", bytes / size)
}

/// In the largest unit that gives a whole number.
fn written_duration(time: Duration) -> String {
    if !time.subsec_nanos().is_multiple_of(1_000_000) {
        return format!("{}ms", time.as_secs_f64() * 1_000.0);
    }
    let ms = time.as_millis();
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1_u128)];
    let (unit, size) = units.into_iter().find(|(_, size)| ms >= *size && ms.is_multiple_of(*size)).unwrap_or(("ms", 1));
    format!("{}{unit}", ms / size)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(toml: &str) -> Result<LimitsSpec, String> {
        let settings = Settings::parse(Path::new("j"), toml).expect("it is TOML");
        LimitsSpec::read(&settings).map_err(|e| e.to_string())
    }

    #[test]
    fn every_limit_reads_as_it_was_written() {
        let toml = "memory = \"2GiB\"\ncall_deadline = \"1500ms\"\noutput = \"7B\"\noutput_rows = 8\n\
                    table_elements = 100000\nhandles = 9\nlog_lines_per_second = 10000\nmetric_names = 1\n\
                    state = \"3KiB\"\ntimers = 4294967296";
        let limits = read(toml).expect("all are allowed");
        let written = limits.written();
        assert_eq!(written.len(), 10, "{written:?}");
        let again: Vec<String> = written.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        assert_eq!(read(&again.join("\n")), Ok(limits.clone()));
        let expect = ["\"2GiB\"", "\"1500ms\"", "\"7B\"", "8", "100000", "9", "10000", "1", "\"3KiB\"", "4294967296"];
        let names = toml.lines().map(|line| line.split(' ').next().expect("a line has a name"));
        for (name, value) in names.zip(expect) {
            assert_eq!(written[name].to_string(), value, "{name}");
        }
    }

    #[test]
    fn each_limit_has_a_maximum_and_none_is_nothing() {
        for (name, max, beyond, zero) in [
            ("memory", "\"2GiB\"", "2147483649", "\"0B\""),
            ("call_deadline", "\"1h\"", "\"3600001ms\"", "\"0s\""),
            ("output", "\"1GiB\"", "\"2GiB\"", "0"),
            ("output_rows", "268435456", "268435457", "0"),
            ("table_elements", "100000", "100001", "0"),
            ("handles", "100000", "100001", "0"),
            ("log_lines_per_second", "10000", "10001", "0"),
            ("metric_names", "1000", "1001", "0"),
            ("state", "\"64GiB\"", "\"65GiB\"", "\"0MiB\""),
            ("timers", "4294967296", "4294967297", "0"),
        ] {
            read(&format!("{name} = {max}")).unwrap_or_else(|e| panic!("{name}: {e}"));
            for wrong in [beyond, zero] {
                let error = read(&format!("{name} = {wrong}")).expect_err(name);
                assert!(error.starts_with(&format!("j:1: {name}: expected ")), "{error}");
                assert!(error.contains(max), "{error}");
            }
        }
    }

    #[test]
    fn limits_of_one_go_before_those_of_another() {
        let (own, others) = (read("memory = \"1MiB\"\nhandles = 1"), read("memory = \"2MiB\"\ntimers = 3"));
        let both = own.expect("it is allowed").or(&others.expect("it is allowed"));
        assert_eq!(Ok(both), read("memory = \"1MiB\"\nhandles = 1\ntimers = 3"));
    }
}
