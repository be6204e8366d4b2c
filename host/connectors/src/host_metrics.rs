//! The `host-metrics` source: what this machine's processors, memory, disks and networks are doing.
//!
//! It takes a *round* of measurements every interval, the first one interval after it was opened: shares of time and
//! bytes sent are those since the round before.

use std::{collections::VecDeque, sync::Arc};

use arrow_array::{ArrayRef, Float64Array, Int64Array, StringViewArray};
use serde_json::{Value, json};
use sysinfo::{DiskRefreshKind, Disks, Networks, System};
use wasmill_model::{
    Batch, DataType, Field, Schema,
    settings::{self, Setting, Settings},
};

use crate::{Error, Polled, Source, SourcePort};

/// Processors report their load no more often.
const INTERVAL_MS_MIN: i64 = 200;
const INTERVAL_MS_DEFAULT: i64 = 1_000;

/// Ports, by number.
const SYSTEM: usize = 0;
const CPUS: usize = 1;
const DISKS: usize = 2;
const NETWORKS: usize = 3;

/// The keys of a `host-metrics` source.
#[derive(Debug, Clone)]
pub(crate) struct HostMetricsConfig {
    interval_ms: i64,
    /// Rounds to take; none: without end.
    count: Option<u64>,
    ports: Vec<SourcePort>,
}

impl HostMetricsConfig {
    pub(crate) fn read(settings: &Settings) -> Result<Self, settings::Error> {
        let interval_ms = settings.optional("interval", read_interval)?.unwrap_or(INTERVAL_MS_DEFAULT);
        let count = settings.optional("count", |s| s.integer(0, i64::MAX))?.map(|n| n as u64);
        Ok(Self { interval_ms, count, ports: ports() })
    }

    pub(crate) fn ports(&self) -> &[SourcePort] {
        &self.ports
    }

    pub(crate) fn bounded(&self) -> bool {
        self.count.is_some()
    }

    /// The first subtask measures; others end at once.
    /// What was not measured while nobody did is not made up for; a number of rounds is still kept to.
    pub(crate) fn open(
        &self,
        subtask: u32,
        wanted: &[Option<Vec<bool>>],
        positions: Option<&[Value]>,
    ) -> Result<HostMetricsSource, Error> {
        let refused =
            |value: &Value| Error::Position { of: "the source `host-metrics`".into(), reason: format!("{value}") };
        let left = |value: &Value| value.as_u64().ok_or_else(|| refused(value));
        let count = match (self.count, positions) {
            (Some(_), Some(positions)) => positions.iter().map(left).sum::<Result<u64, Error>>()?,
            (count, _) => count.unwrap_or(u64::MAX),
        };
        Ok(HostMetricsSource {
            counts: self.count.is_some(),
            interval_ms: self.interval_ms,
            rounds_left: if subtask == 0 { count } else { 0 },
            wanted: wanted.to_vec(),
            due_ms: None,
            ready: VecDeque::new(),
            system: System::new(),
            disks: Disks::new(),
            networks: Networks::new(),
        })
    }
}

fn read_interval(setting: &Setting) -> Result<i64, settings::Error> {
    let interval = setting.duration()?;
    match i64::try_from(interval.as_millis()) {
        Ok(ms) if ms >= INTERVAL_MS_MIN => Ok(ms),
        _ => Err(setting.out_of_range(format!("expected at least {INTERVAL_MS_MIN}ms, found {interval:?}"))),
    }
}

fn ports() -> Vec<SourcePort> {
    use DataType::{Float64, Int64, Timestamp, Utf8};
    let port = |name: &str, columns: &[(&str, DataType)]| {
        let at = Field::new("at", Timestamp);
        let fields = columns.iter().map(|(name, data_type)| Field::new(*name, *data_type));
        let schema = Schema::new(std::iter::once(at).chain(fields).collect()).expect("the names differ");
        SourcePort { name: name.into(), schema }
    };
    vec![
        port(
            "system",
            &[
                ("cpu_percent", Float64),
                ("memory_used", Int64),
                ("memory_total", Int64),
                ("swap_used", Int64),
                ("load_1m", Float64),
            ],
        ),
        port("cpus", &[("core", Utf8), ("percent", Float64)]),
        port("disks", &[("name", Utf8), ("mount", Utf8), ("total", Int64), ("available", Int64)]),
        port("networks", &[("interface", Utf8), ("received", Int64), ("transmitted", Int64)]),
    ]
}

/// Measures this machine.
pub(crate) struct HostMetricsSource {
    interval_ms: i64,
    /// Whether it ends after some rounds.
    counts: bool,
    rounds_left: u64,
    wanted: Vec<Option<Vec<bool>>>,
    /// When the next round is due; none before the first poll.
    due_ms: Option<i64>,
    /// What was measured and not handed out yet.
    ready: VecDeque<(usize, Batch)>,
    system: System,
    disks: Disks,
    networks: Networks,
}

impl HostMetricsSource {
    /// Reads what somebody wants to know from the operating system.
    fn refresh(&mut self) {
        let reads = |port: usize| self.wanted[port].is_some();
        if reads(SYSTEM) || reads(CPUS) {
            self.system.refresh_cpu_usage();
        }
        if reads(SYSTEM) {
            self.system.refresh_memory();
        }
        if reads(DISKS) {
            self.disks.refresh_specifics(true, DiskRefreshKind::nothing().with_storage());
        }
        if reads(NETWORKS) {
            self.networks.refresh(true);
        }
    }

    fn measure(&mut self, now_ms: i64) {
        self.refresh();
        for port in [SYSTEM, CPUS, DISKS, NETWORKS] {
            let Some(wanted) = &self.wanted[port] else { continue };
            let measured = match port {
                SYSTEM => self.system_columns(),
                CPUS => self.cpu_columns(),
                DISKS => self.disk_columns(),
                _ => self.network_columns(),
            };
            let rows = measured[0].len();
            let at: ArrayRef = Arc::new(Int64Array::from(vec![now_ms; rows]));
            let columns = std::iter::once(at).chain(measured).zip(wanted);
            let columns = columns.map(|(column, wanted)| wanted.then_some(column)).collect();
            if rows > 0 {
                self.ready
                    .push_back((port, Batch { rows, event_times: None, columns, key_hashes: None, read_at_us: None }));
            }
        }
    }

    fn system_columns(&self) -> Vec<ArrayRef> {
        vec![
            floats([f64::from(self.system.global_cpu_usage())]),
            integers([self.system.used_memory()]),
            integers([self.system.total_memory()]),
            integers([self.system.used_swap()]),
            floats([System::load_average().one]),
        ]
    }

    fn cpu_columns(&self) -> Vec<ArrayRef> {
        let cpus = self.system.cpus();
        vec![texts(cpus.iter().map(|cpu| cpu.name())), floats(cpus.iter().map(|cpu| f64::from(cpu.cpu_usage())))]
    }

    fn disk_columns(&self) -> Vec<ArrayRef> {
        let disks = self.disks.list();
        vec![
            texts(disks.iter().map(|disk| disk.name().to_string_lossy())),
            texts(disks.iter().map(|disk| disk.mount_point().to_string_lossy())),
            integers(disks.iter().map(|disk| disk.total_space())),
            integers(disks.iter().map(|disk| disk.available_space())),
        ]
    }

    fn network_columns(&self) -> Vec<ArrayRef> {
        let mut networks: Vec<_> = self.networks.list().iter().collect();
        networks.sort_unstable_by_key(|(name, _)| *name);
        vec![
            texts(networks.iter().map(|(name, _)| name)),
            integers(networks.iter().map(|(_, network)| network.received())),
            integers(networks.iter().map(|(_, network)| network.transmitted())),
        ]
    }
}

fn integers(values: impl IntoIterator<Item = u64>) -> ArrayRef {
    let values = values.into_iter().map(|value| i64::try_from(value).unwrap_or(i64::MAX));
    Arc::new(Int64Array::from_iter_values(values))
}

fn floats(values: impl IntoIterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

fn texts<S: AsRef<str>>(values: impl Iterator<Item = S>) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(values))
}

impl Source for HostMetricsSource {
    /// The rounds that are left, if they are counted.
    fn positions(&self) -> Vec<Value> {
        self.counts.then(|| json!(self.rounds_left)).into_iter().collect()
    }

    fn poll(&mut self, now_ms: i64) -> Result<Polled, Error> {
        loop {
            if let Some((port, batch)) = self.ready.pop_front() {
                return Ok(Polled::Batch { port, batch });
            }
            if self.rounds_left == 0 {
                return Ok(Polled::End);
            }
            let Some(due_ms) = self.due_ms else {
                // What the first round is compared with.
                self.refresh();
                self.due_ms = Some(now_ms.saturating_add(self.interval_ms));
                continue;
            };
            if now_ms < due_ms {
                return Ok(Polled::Pending { retry_at_ms: due_ms });
            }
            // Rounds that were missed are left out.
            let missed = (now_ms - due_ms) / self.interval_ms;
            self.due_ms = Some(due_ms.saturating_add((missed + 1).saturating_mul(self.interval_ms)));
            self.rounds_left -= 1;
            self.measure(now_ms);
        }
    }
}

#[cfg(test)]
mod tests;
