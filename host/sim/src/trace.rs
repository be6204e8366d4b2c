//! What happened, as a number that two runs of a seed must share, and, if asked for, as a line an event.

use wasmill_model::Timestamp;

/// The record of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    events: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(show: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, events: 0, lines: show.then(Vec::new) }
    }

    /// Takes an event: what distinguishes it as numbers, and how to write it down.
    pub(crate) fn note(&mut self, now_ms: Timestamp, numbers: &[u64], line: impl FnOnce() -> String) {
        self.events += 1;
        for number in std::iter::once(now_ms as u64).chain(numbers.iter().copied()) {
            self.hash = (self.hash ^ number).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
        }
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>8}.{:03} {}", now_ms / 1_000, now_ms % 1_000, line()));
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
