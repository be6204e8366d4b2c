//! A guest's log: what it writes by the `log` import, and on its standard output and error.
//!
//! A line is made harmless (control characters and those that turn text around are escaped), cut, and handed to the
//! sink, unless the guest writes more of them than it may. The last lines are kept for the report of a trap, those the
//! sink did not get included.

use std::{collections::VecDeque, fmt, sync::Arc};

use wasmill_model::Timestamp;

use crate::limits::Limits;

/// Lines kept for a report.
pub const TAIL_LINES: usize = 20;

/// How much a line matters. A line on standard output is `Info`, one on standard error `Warn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// One line that a guest wrote, without line breaks and control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub level: Level,
    pub message: String,
}

/// Where lines go. Called during a call of the guest: it should not wait.
pub type LogSink = Arc<dyn Fn(LogLine) + Send + Sync>;

/// The log of one instance.
pub(crate) struct Log {
    sink: LogSink,
    line_bytes: usize,
    bucket: Bucket,
    dropped: u64,
    tail: VecDeque<String>,
    output: Unfinished,
    error: Unfinished,
}

/// Which of the two streams a guest writes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Output,
    Error,
}

/// A line whose end has not been written yet, up to the limit; what is beyond is thrown away.
#[derive(Debug, Default)]
struct Unfinished(Vec<u8>);

/// Allows `rate` lines a second, and as many at once after a silence.
#[derive(Debug)]
struct Bucket {
    rate: u32,
    /// Thousandths of a line.
    level: u64,
    /// The lowest it has been.
    lowest: u64,
    filled_at: Option<Timestamp>,
}

impl Log {
    pub(crate) fn new(sink: LogSink, limits: &Limits) -> Self {
        let rate = limits.log_lines_per_second;
        Self {
            sink,
            line_bytes: limits.log_line_bytes,
            bucket: Bucket::full(rate),
            dropped: 0,
            tail: VecDeque::new(),
            output: Unfinished::default(),
            error: Unfinished::default(),
        }
    }

    /// Goes on with the other's lines: with what is left of them, and with those that were dropped.
    pub(crate) fn share(&mut self, other: &Self) {
        self.bucket.level = self.bucket.level.min(other.bucket.level);
        self.bucket.filled_at = self.bucket.filled_at.or(other.bucket.filled_at);
        self.dropped += other.dropped;
    }

    /// Takes a line of the `log` import. `now` is the time of the call.
    pub(crate) fn write(&mut self, now: Timestamp, level: Level, message: &str) {
        let message = clean(message, self.line_bytes);
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(message.clone());
        if self.bucket.take(now) {
            (self.sink)(LogLine { level, message });
        } else {
            self.dropped += 1;
        }
    }

    /// Takes bytes of standard output or error.
    pub(crate) fn stream(&mut self, now: Timestamp, stream: Stream, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|&b| b == b'\n') {
            self.unfinished(stream, &bytes[..end]);
            self.finish(now, stream);
            bytes = &bytes[end + 1..];
        }
        self.unfinished(stream, bytes);
    }

    /// Writes out lines without an end. Called when the instance dies: the last words of a guest are often such.
    pub(crate) fn flush(&mut self, now: Timestamp) {
        for stream in [Stream::Output, Stream::Error] {
            if !self.line(stream).0.is_empty() {
                self.finish(now, stream);
            }
        }
    }

    /// Lines that the sink did not get because there were too many.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The most lines that were taken out of what the rate allows at once.
    pub(crate) fn at_once(&self) -> u32 {
        self.bucket.rate - u32::try_from(self.bucket.lowest / 1_000).expect("a bucket is never fuller than its rate")
    }

    /// The last lines, the oldest first.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }

    fn line(&mut self, stream: Stream) -> &mut Unfinished {
        match stream {
            Stream::Output => &mut self.output,
            Stream::Error => &mut self.error,
        }
    }

    fn unfinished(&mut self, stream: Stream, bytes: &[u8]) {
        let room = self.line_bytes.saturating_sub(self.line(stream).0.len());
        self.line(stream).0.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn finish(&mut self, now: Timestamp, stream: Stream) {
        let line = std::mem::take(&mut self.line(stream).0);
        let level = if stream == Stream::Output { Level::Info } else { Level::Warn };
        let text = String::from_utf8_lossy(&line);
        self.write(now, level, text.strip_suffix('\r').unwrap_or(&text));
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("dropped", &self.dropped).field("tail", &self.tail).finish_non_exhaustive()
    }
}

impl Bucket {
    fn full(rate: u32) -> Self {
        let level = u64::from(rate) * 1_000;
        Self { rate, level, lowest: level, filled_at: None }
    }

    fn take(&mut self, now: Timestamp) -> bool {
        let passed = self.filled_at.map_or(0, |at| now.saturating_sub(at).max(0));
        self.filled_at = Some(now);
        let rate = u64::from(self.rate);
        self.level = passed.unsigned_abs().saturating_mul(rate).saturating_add(self.level).min(rate * 1_000);
        let full = self.level >= 1_000;
        self.level -= if full { 1_000 } else { 0 };
        self.lowest = self.lowest.min(self.level);
        full
    }
}

/// The text with all characters escaped that could pass for a line break, steer a terminal or turn what follows
/// around, cut to this many bytes.
pub(crate) fn clean(text: &str, bytes_max: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(bytes_max));
    for c in text.chars() {
        let mut escape = c.escape_default();
        let hidden = c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        let len = if hidden { escape.len() } else { c.len_utf8() };
        if clean.len() + len > bytes_max {
            break;
        }
        if hidden {
            clean.extend(&mut escape);
        } else {
            clean.push(c);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn log(rate: u32) -> (Log, Arc<Mutex<Vec<LogLine>>>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lines);
        let sink = Arc::new(move |line| seen.lock().expect("no test panics with it").push(line));
        let limits = Limits { log_line_bytes: 10, log_lines_per_second: rate, ..Limits::default() };
        (Log::new(sink, &limits), lines)
    }

    fn messages(lines: &Mutex<Vec<LogLine>>) -> Vec<String> {
        lines.lock().expect("no test panics with it").iter().map(|line| line.message.clone()).collect()
    }

    #[test]
    fn lines_are_cleaned_and_cut() {
        let check = |text: &str, bytes, expect: &str| assert_eq!(clean(text, bytes), expect, "{text:?}");
        check("plain é", 100, "plain é");
        check("a\nb\tc\u{1b}[0m", 100, "a\\nb\\tc\\u{1b}[0m");
        check("\u{202e}abc", 100, "\\u{202e}abc");
        check("abcdef", 3, "abc");
        check("ééé", 3, "é");
        check("ab\u{1b}c", 7, "ab");
        check("", 10, "");
    }

    #[test]
    fn streams_are_split_into_lines() {
        let (mut log, lines) = log(100);
        log.stream(0, Stream::Output, b"one\ntwo\r\nth");
        log.stream(0, Stream::Error, b"far too long for one\n");
        log.stream(0, Stream::Output, b"ree\n\xff");
        assert_eq!(messages(&lines), ["one", "two", "far too lo", "three"]);
        log.flush(0);
        log.flush(0);
        assert_eq!(messages(&lines).last().map(String::as_str), Some("\u{fffd}"));
        assert_eq!(lines.lock().expect("unpoisoned")[2].level, Level::Warn);
    }

    #[test]
    fn lines_over_the_rate_are_counted_but_kept_for_a_report() {
        let (mut log, lines) = log(2);
        for i in 0..5 {
            log.write(1_000, Level::Info, &i.to_string());
        }
        assert_eq!((messages(&lines).len(), log.dropped()), (2, 3));
        log.write(1_499, Level::Info, "too early");
        log.write(1_500, Level::Info, "in time");
        log.write(0, Level::Info, "back in time");
        assert_eq!(messages(&lines).last().map(String::as_str), Some("in time"));
        assert_eq!(log.tail().len(), 8);
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let (mut log, _) = log(1);
        for i in 0..100 {
            log.write(0, Level::Info, &i.to_string());
        }
        assert_eq!(log.tail().first().map(String::as_str), Some("80"));
        assert_eq!(log.tail().len(), TAIL_LINES);
    }
}
