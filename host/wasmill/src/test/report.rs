//! What was found of all fixtures, for people and for programs.

use std::{fmt::Write, time::Duration};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Value, json};
use wasmill_plugin::Level;

use super::{
    diff::Line,
    limits::{self, Mark},
    verdict::{Failure, Verdict},
};

/// Lines of a log that are shown of a fixture that fails: the last.
const LOG_LINES_SHOWN: usize = 20;

/// Rejected rows whose reason is shown.
const REJECTED_SHOWN: usize = 3;

/// Where the rules stand.
const RULES: &str = "docs/reference/operator-contract.md";

/// What was found of all fixtures.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) operator: String,
    pub(crate) seed: u64,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) took: Duration,
}

/// How a line is coloured on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ink {
    Plain,
    Good,
    Bad,
    Faint,
}

/// Text for a terminal, or for a file.
struct Page {
    text: String,
    coloured: bool,
}

impl Page {
    fn put(&mut self, ink: Ink, text: &str) {
        let code = match ink {
            Ink::Good => "32",
            Ink::Bad => "31",
            Ink::Faint => "2",
            Ink::Plain => return self.text.push_str(text),
        };
        if self.coloured {
            let _ = write!(self.text, "\u{1b}[{code}m{text}\u{1b}[0m");
        } else {
            self.text.push_str(text);
        }
    }

    fn line(&mut self, ink: Ink, text: &str) {
        self.put(ink, text);
        self.text.push('\n');
    }

    fn diff(&mut self, lines: &[Line]) {
        for Line { sign, text } in lines {
            match sign {
                '-' => self.line(Ink::Bad, &format!("  - {text}")),
                '+' => self.line(Ink::Good, &format!("  + {text}")),
                '~' => self.line(Ink::Faint, &format!("  ~ {text}")),
                _ => self.line(Ink::Plain, &format!("    {text}")),
            }
        }
    }
}

impl Report {
    /// Fixtures that failed.
    pub(crate) fn failed(&self) -> usize {
        self.verdicts.iter().filter(|verdict| !verdict.failures.is_empty()).count()
    }

    /// For people.
    pub(crate) fn text(&self, coloured: bool) -> String {
        let mut page = Page { text: String::new(), coloured };
        let count = self.verdicts.len();
        let fixtures = if count == 1 { "fixture" } else { "fixtures" };
        page.line(Ink::Plain, &format!("running {count} {fixtures} of {}, seed {}", self.operator, self.seed));
        let width = self.verdicts.iter().map(|verdict| verdict.name.chars().count()).max().unwrap_or(0);
        for verdict in &self.verdicts {
            page.put(Ink::Plain, &format!("fixture {:width$} ... ", verdict.name));
            match (verdict.failures.is_empty(), verdict.blessed.is_empty()) {
                (true, true) => page.line(Ink::Good, "ok"),
                (true, false) => page.line(Ink::Good, "blessed"),
                (false, _) => page.line(Ink::Bad, "FAILED"),
            }
            for line in &verdict.blessed {
                page.line(Ink::Plain, &format!("  {line}"));
            }
        }
        for verdict in self.verdicts.iter().filter(|verdict| !verdict.failures.is_empty()) {
            page.line(Ink::Plain, &format!("\n---- {} ----", verdict.name));
            verdict.failures.iter().for_each(|failure| failure_text(&mut page, failure));
            log_text(&mut page, verdict);
        }
        self.limits_text(&mut page);
        let (failed, took) = (self.failed(), self.took);
        let (ink, word) = if failed == 0 { (Ink::Good, "ok") } else { (Ink::Bad, "FAILED") };
        page.put(Ink::Plain, "\nresult: ");
        page.put(ink, word);
        page.line(Ink::Plain, &format!(". {} passed, {failed} failed in {took:.0?}", count - failed));
        if failed > 0 && self.verdicts.iter().flat_map(|v| &v.failures).any(|f| matches!(f, Failure::Way { .. })) {
            page.line(Ink::Plain, &format!("the same cuts again: --seed {}", self.seed));
        }
        page.text
    }

    fn marks(&self) -> Vec<Mark> {
        let used = self.verdicts.iter().filter_map(|verdict| {
            let (usage, limits) = verdict.usage.as_ref()?;
            Some((verdict.name.as_str(), usage, limits))
        });
        limits::highest(used)
    }

    fn limits_text(&self, page: &mut Page) {
        let marks = self.marks();
        if marks.is_empty() {
            return;
        }
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(["limit", "used", "of", "%", "most in"]);
        for mark in &marks {
            let share = 100.0 * mark.share();
            let share = if share > 0.0 && share < 0.1 { "<0.1".to_owned() } else { format!("{share:.1}") };
            let fixture = if mark.used == limits::Amount::Count(0) { "" } else { mark.fixture.as_str() };
            table.add_row([mark.name, &mark.used.to_string(), &mark.limit.to_string(), &share, fixture]);
        }
        for column in table.column_iter_mut().skip(1).take(3) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        page.text.push('\n');
        let lines = table.to_string();
        lines.lines().for_each(|line| page.line(Ink::Plain, line.trim_end()));
        let sum = |of: fn(&wasmill_plugin::Usage) -> u64| {
            self.verdicts.iter().filter_map(|v| v.usage.as_ref()).map(|(usage, _)| of(&usage.instance)).sum::<u64>()
        };
        for (what, count) in [
            ("lines of the log were over the rate and are lost", sum(|usage| usage.log_dropped)),
            ("numbers of metrics were refused: their names are bad or too many", sum(|usage| usage.metrics_refused)),
        ] {
            if count > 0 {
                page.line(Ink::Plain, &format!("  {count} {what}"));
            }
        }
    }

    /// For programs: one object.
    pub(crate) fn json(&self) -> Value {
        let fixture = |verdict: &Verdict| {
            json!({
                "name": verdict.name,
                "passed": verdict.failures.is_empty(),
                "ways": verdict.ways,
                "blessed": verdict.blessed,
                "failures": verdict.failures.iter().map(failure_json).collect::<Vec<_>>(),
                "log": verdict.log.iter().map(|line| line.message.clone()).collect::<Vec<_>>(),
                "seconds": verdict.took.as_secs_f64(),
            })
        };
        let limit = |mark: &Mark| {
            json!({
                "name": mark.name,
                "unit": mark.used.unit(),
                "used": mark.used.json(),
                "limit": mark.limit.json(),
                "share": mark.share(),
                "fixture": mark.fixture,
            })
        };
        json!({
            "operator": self.operator,
            "seed": self.seed,
            "passed": self.verdicts.len() - self.failed(),
            "failed": self.failed(),
            "fixtures": self.verdicts.iter().map(fixture).collect::<Vec<_>>(),
            "limits": self.marks().iter().map(limit).collect::<Vec<_>>(),
            "seconds": self.took.as_secs_f64(),
        })
    }
}

fn failure_text(page: &mut Page, failure: &Failure) {
    match failure {
        Failure::Rows { port, file, is_written, diff } => {
            page.line(Ink::Plain, &format!("port `{port}` differs from {file} (- expected, + found)"));
            page.diff(diff);
            if !is_written {
                page.line(Ink::Plain, &format!("  hint: there is no {file}; `--bless` writes what was found"));
            }
        }
        Failure::Rejected { file, diff, unexpected } => {
            page.line(Ink::Plain, &format!("rejected rows differ from {file} (- expected, + found)"));
            page.diff(diff);
            for rejected in unexpected.iter().take(REJECTED_SHOWN) {
                page.line(Ink::Plain, &format!("  {}", rejected.row));
                for line in rejected.reason.lines() {
                    page.line(Ink::Plain, &format!("    {line}"));
                }
                for frame in rejected.backtrace.iter().flat_map(|text| text.lines()) {
                    page.line(Ink::Faint, &format!("    at {frame}"));
                }
            }
        }
        Failure::Error { code, message } => {
            page.line(Ink::Plain, &format!("error[{code}]: {message}"));
            page.line(Ink::Plain, &format!("  for more: wasmill explain {code}"));
        }
        Failure::NoError { expected } => {
            page.line(Ink::Plain, &format!("it was to fail with `{expected}`, and did not"));
        }
        Failure::Way { way, how, rule, differences } => {
            page.line(Ink::Plain, &format!("{way}: the result is another one with {how}"));
            page.line(Ink::Plain, &format!("  rule {} of {RULES}: {}", rule.number, rule.text));
            for (name, diff) in differences {
                page.line(Ink::Plain, &format!("  {name} (- before, + now)"));
                page.diff(diff);
            }
        }
    }
}

fn log_text(page: &mut Page, verdict: &Verdict) {
    if verdict.log.is_empty() {
        return;
    }
    page.line(Ink::Plain, "log:");
    let skipped = verdict.log.len().saturating_sub(LOG_LINES_SHOWN);
    if skipped > 0 {
        page.line(Ink::Faint, &format!("  {skipped} lines before"));
    }
    for line in &verdict.log[skipped..] {
        let level = level(line.level);
        page.line(Ink::Faint, &format!("  {level:5} {}", line.message));
    }
    if verdict.log_more > 0 {
        page.line(Ink::Faint, &format!("  and {} lines more", verdict.log_more));
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Trace => "TRACE",
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
    }
}

fn diff_json(diff: &[Line]) -> Vec<String> {
    diff.iter().map(|line| format!("{} {}", line.sign, line.text)).collect()
}

fn failure_json(failure: &Failure) -> Value {
    match failure {
        Failure::Rows { port, file, diff, .. } => {
            json!({ "kind": "rows", "port": port, "file": file, "diff": diff_json(diff) })
        }
        Failure::Rejected { file, diff, unexpected } => {
            let reasons: Vec<&str> = unexpected.iter().map(|rejected| rejected.reason.as_str()).collect();
            json!({ "kind": "rejected", "file": file, "diff": diff_json(diff), "reasons": reasons })
        }
        Failure::Error { code, message } => json!({ "kind": "error", "code": code, "message": message }),
        Failure::NoError { expected } => json!({ "kind": "no-error", "expected": expected }),
        Failure::Way { way, how, rule, differences } => {
            let differences = differences.iter().map(|(name, diff)| json!({ "in": name, "diff": diff_json(diff) }));
            let differences: Vec<Value> = differences.collect();
            json!({ "kind": way, "how": how, "rule": rule.number, "differences": differences })
        }
    }
}
