//! How near an operator came to its limits.

use std::time::Duration;

use indicatif::HumanBytes;
use serde_json::{Value, json};
use wasmill_runtime::{OperatorUsage, trial::TrialLimits};

/// A limit, and how near one fixture came to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mark {
    /// As the job file calls it.
    pub(crate) name: &'static str,
    pub(crate) used: Amount,
    pub(crate) limit: Amount,
    pub(crate) fixture: String,
}

/// An amount of what is limited.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Amount {
    Bytes(u64),
    Count(u64),
    Time(Duration),
}

impl Amount {
    fn number(self) -> f64 {
        match self {
            Self::Bytes(n) | Self::Count(n) => n as f64,
            Self::Time(time) => time.as_secs_f64(),
        }
    }

    pub(crate) fn json(self) -> Value {
        match self {
            Self::Bytes(n) | Self::Count(n) => json!(n),
            Self::Time(time) => json!(time.as_secs_f64()),
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Bytes(_) => "bytes",
            Self::Count(_) => "count",
            Self::Time(_) => "seconds",
        }
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(n) => HumanBytes(*n).fmt(f),
            Self::Count(n) => indicatif::HumanCount(*n).fmt(f),
            Self::Time(time) => write!(f, "{time:.1?}"),
        }
    }
}

impl Mark {
    /// Used of the limit, 1 for all of it.
    pub(crate) fn share(&self) -> f64 {
        self.used.number() / self.limit.number()
    }
}

/// For each limit, the fixture that came nearest to it.
pub(crate) fn highest<'a>(fixtures: impl Iterator<Item = (&'a str, &'a OperatorUsage, &'a TrialLimits)>) -> Vec<Mark> {
    let mut highest: Vec<Mark> = Vec::new();
    for (fixture, usage, limits) in fixtures {
        for mark in marks(fixture, usage, limits) {
            match highest.iter_mut().find(|known| known.name == mark.name) {
                Some(known) if mark.share() > known.share() => *known = mark,
                Some(_) => {}
                None => highest.push(mark),
            }
        }
    }
    highest
}

fn marks(fixture: &str, usage: &OperatorUsage, limits: &TrialLimits) -> Vec<Mark> {
    use Amount::{Bytes, Count, Time};
    let (used, instance) = (&usage.instance, &limits.instance);
    let marks = [
        ("memory", Bytes(used.memory_bytes as u64), Bytes(instance.memory_bytes as u64)),
        ("table_elements", Count(used.table_elements as u64), Count(instance.table_elements as u64)),
        ("handles", Count(used.handles as u64), Count(instance.handles as u64)),
        ("call_deadline", Time(used.call), Time(instance.call_deadline)),
        ("output", Bytes(used.output_bytes as u64), Bytes(instance.output_bytes as u64)),
        ("output_rows", Count(used.output_rows as u64), Count(instance.output_rows as u64)),
        ("log_lines_per_second", Count(used.log_lines.into()), Count(instance.log_lines_per_second.into())),
        ("metric_names", Count(used.metric_names as u64), Count(instance.metric_names as u64)),
        ("state", Bytes(usage.state_bytes as u64), Bytes(limits.state_bytes as u64)),
        ("timers", Count(usage.timers as u64), Count(limits.timers as u64)),
    ];
    marks.map(|(name, used, limit)| Mark { name, used, limit, fixture: fixture.to_owned() }).into()
}

#[cfg(test)]
mod tests {
    use wasmill_plugin::Limits;

    use super::*;

    #[test]
    fn the_fixture_nearest_to_each_limit_is_named() {
        let limits = |memory_bytes| TrialLimits {
            instance: Limits { memory_bytes, ..Limits::default() },
            state_bytes: 1 << 20,
            timers: 10,
        };
        let usage = |memory_bytes, timers| {
            let mut usage = OperatorUsage { timers, ..OperatorUsage::default() };
            usage.instance.memory_bytes = memory_bytes;
            usage
        };
        let (wide, narrow) = (limits(64 << 20), limits(2 << 20));
        let (a, b) = (usage(2 << 20, 5), usage(1 << 20, 2));
        let marks = highest([("a", &a, &wide), ("b", &b, &narrow)].into_iter());
        let of = |name: &str| {
            let mark = marks.iter().find(|mark| mark.name == name).expect("all limits are there");
            (mark.fixture.as_str(), mark.share())
        };
        assert_eq!(marks.len(), 10);
        assert_eq!(of("memory"), ("b", 0.5));
        assert_eq!(of("timers"), ("a", 0.5));
        assert_eq!(of("state"), ("a", 0.0));
    }
}
