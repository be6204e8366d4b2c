//! What is remembered of a job for whoever asks later: events, exceptions and log lines, the newest of each.

use std::collections::VecDeque;

use wasmill_rest::{Event, Exception, LogLine};

/// Of each job.
const EVENTS_MAX: usize = 500;
const EXCEPTIONS_MAX: usize = 50;
const LOG_BYTES_MAX: usize = 256 << 10;

/// What a kept line costs beside its text, roughly.
const LINE_BYTES: usize = 128;

/// The newest things that happened to a job.
#[derive(Debug, Default)]
pub(crate) struct History {
    events: Ring<Event>,
    exceptions: Ring<Exception>,
    logs: Ring<LogLine>,
    log_bytes: usize,
}

/// The newest items of a sequence that counts from 1.
#[derive(Debug)]
struct Ring<T> {
    items: VecDeque<T>,
    last: u64,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { items: VecDeque::new(), last: 0 }
    }
}

impl<T: Clone> Ring<T> {
    fn push(&mut self, make: impl FnOnce(u64) -> T) {
        self.last += 1;
        self.items.push_back(make(self.last));
    }

    /// Those behind a number, the oldest first.
    fn after(&self, after: u64, max: usize) -> Vec<T> {
        let first = self.last + 1 - self.items.len() as u64;
        let skip = (after + 1).saturating_sub(first) as usize;
        self.items.iter().skip(skip).take(max).cloned().collect()
    }
}

impl History {
    pub(crate) fn event(&mut self, at_ms: i64, kind: &str, message: String) {
        self.events.push(|sequence| Event { sequence, at_ms, kind: kind.to_owned(), message });
        if self.events.items.len() > EVENTS_MAX {
            self.events.items.pop_front();
        }
    }

    /// Keeps an exception, which is given its number.
    pub(crate) fn exception(&mut self, exception: Exception) {
        self.exceptions.push(|sequence| Exception { sequence, ..exception });
        if self.exceptions.items.len() > EXCEPTIONS_MAX {
            self.exceptions.items.pop_front();
        }
    }

    /// Keeps a line, which is given its number.
    pub(crate) fn log(&mut self, line: LogLine) {
        self.log_bytes += bytes(&line);
        self.logs.push(|sequence| LogLine { sequence, ..line });
        while self.log_bytes > LOG_BYTES_MAX
            && let Some(oldest) = self.logs.items.pop_front()
        {
            self.log_bytes -= bytes(&oldest);
        }
    }

    /// Drops the lines of a job that ended long ago.
    pub(crate) fn drop_logs(&mut self) {
        self.logs.items = VecDeque::new();
        self.log_bytes = 0;
    }

    pub(crate) fn events_after(&self, after: u64, max: usize) -> Vec<Event> {
        self.events.after(after, max)
    }

    pub(crate) fn exceptions_after(&self, after: u64, max: usize) -> Vec<Exception> {
        self.exceptions.after(after, max)
    }

    pub(crate) fn logs_after(&self, after: u64, max: usize) -> Vec<LogLine> {
        self.logs.after(after, max)
    }
}

fn bytes(line: &LogLine) -> usize {
    LINE_BYTES + line.message.len() + line.operator.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: String) -> LogLine {
        let (worker, operator, level) = ("taskmanager-1".to_owned(), "count".to_owned(), "info".to_owned());
        LogLine { sequence: 0, at_ms: 0, worker, operator, subtask: 0, level, message }
    }

    #[test]
    fn the_newest_are_kept_and_read_on_from_where_one_was() {
        let mut history = History::default();
        for number in 1..=EVENTS_MAX + 10 {
            history.event(0, "state", number.to_string());
        }
        let all = history.events_after(0, usize::MAX);
        assert_eq!((all.len(), all[0].sequence), (EVENTS_MAX, 11));
        let some = history.events_after(EVENTS_MAX as u64 + 7, 2);
        assert_eq!(some.iter().map(|event| event.sequence).collect::<Vec<_>>(), [508, 509]);
        assert!(history.events_after(u64::MAX - 1, 10).is_empty());
    }

    #[test]
    fn log_lines_are_bounded_in_bytes() {
        let mut history = History::default();
        for _ in 0..100 {
            history.log(line("x".repeat(LOG_BYTES_MAX / 10)));
        }
        let kept = history.logs_after(0, usize::MAX);
        assert!((8..=10).contains(&kept.len()), "{}", kept.len());
        assert_eq!(kept.last().map(|line| line.sequence), Some(100));
        history.drop_logs();
        assert!(history.logs_after(0, usize::MAX).is_empty());
        history.log(line("again".to_owned()));
        assert_eq!(history.logs_after(0, 9)[0].sequence, 101);
    }
}
