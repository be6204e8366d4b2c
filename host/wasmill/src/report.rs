//! What each operator of a job did, as a table and as JSON.

use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use console::measure_text_width;
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};
use wasmill_control::jobmanager::JobState;
use wasmill_runtime::{Job, counters::Totals};

use crate::{error::Error, job_drawing, terminal::Terminal};

/// A job that has ended.
#[derive(Debug)]
pub(crate) struct Report {
    job: String,
    state: &'static str,
    /// Why it failed, if it did.
    error: Option<Error>,
    wall: Duration,
    vertices: Vec<Vertex>,
}

#[derive(Debug)]
struct Vertex {
    name: String,
    kind: &'static str,
    parallelism: u32,
    totals: Totals,
}

/// The column that is left out if there is nothing in it.
const REJECTED: &str = "rejected";

/// A column of the table.
struct Column {
    name: &'static str,
    is_text: bool,
    /// Whether it is left out where there is little room.
    wide: bool,
    cell: fn(&Vertex) -> String,
}

const COLUMNS: [Column; 10] = [
    text("vertex", false, |vertex| vertex.name.clone()),
    text("kind", true, |vertex| vertex.kind.to_owned()),
    number("par", false, |vertex| vertex.parallelism.to_string()),
    number("rows in", false, |vertex| match vertex.kind {
        "source" => "-".to_owned(),
        _ => HumanCount(vertex.totals.rows_in).to_string(),
    }),
    number("rows out", false, |vertex| HumanCount(vertex.totals.rows_out).to_string()),
    number(REJECTED, false, |vertex| HumanCount(vertex.totals.rejected).to_string()),
    number("batches", true, |vertex| HumanCount(vertex.totals.batches).to_string()),
    number("cpu", false, |vertex| format!("{:.1?}", Duration::from_nanos(vertex.totals.cpu_ns))),
    number("guest memory", true, |vertex| bytes(vertex.totals.guest_memory_bytes)),
    number("state", true, |vertex| bytes(vertex.totals.state_bytes)),
];

const fn text(name: &'static str, wide: bool, cell: fn(&Vertex) -> String) -> Column {
    Column { name, is_text: true, wide, cell }
}

const fn number(name: &'static str, wide: bool, cell: fn(&Vertex) -> String) -> Column {
    Column { name, is_text: false, wide, cell }
}

fn bytes(bytes: u64) -> String {
    if bytes == 0 { "-".to_owned() } else { HumanBytes(bytes).to_string() }
}

impl Report {
    pub(crate) fn new(job: &Job, state: &JobState, wall: Duration) -> Self {
        let vertices = job.graph.vertices.iter().zip(&job.counters).map(|(vertex, counters)| Vertex {
            name: vertex.name.clone(),
            kind: job_drawing::kind(vertex),
            parallelism: vertex.parallelism,
            totals: counters.totals(),
        });
        let error = match state {
            JobState::Failed(cause) => Some(Error::of_job(cause)),
            _ => None,
        };
        Self { job: job.graph.name.clone(), state: state.name(), error, wall, vertices: vertices.collect() }
    }

    /// For people. A terminal that the whole table does not fit gets fewer columns.
    pub(crate) fn table(&self, terminal: &Terminal) -> String {
        let whole = self.laid_out(terminal, true).to_string();
        let fits = !terminal.attended || whole.lines().all(|line| measure_text_width(line) <= terminal.columns);
        let table = if fits {
            whole
        } else {
            let mut table = self.laid_out(terminal, false);
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(terminal.columns as u16);
            table.to_string()
        };
        let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
        format!("{}\njob {} {} after {:.1?}\n", lines.join("\n"), self.job, self.state, self.wall)
    }

    /// The table with all its columns, or without those that are for wide terminals.
    fn laid_out(&self, terminal: &Terminal, wide: bool) -> Table {
        let mut table = Table::new();
        let preset = match terminal {
            Terminal { attended: true, unicode: true, .. } => presets::UTF8_HORIZONTAL_ONLY,
            Terminal { attended: true, .. } => presets::ASCII_HORIZONTAL_ONLY,
            _ => presets::NOTHING,
        };
        table.load_preset(preset);
        let rejected = self.vertices.iter().any(|vertex| vertex.totals.rejected > 0);
        let columns: Vec<&Column> =
            COLUMNS.iter().filter(|column| (wide || !column.wide) && (rejected || column.name != REJECTED)).collect();
        table.set_header(columns.iter().map(|column| column.name));
        for vertex in &self.vertices {
            table.add_row(columns.iter().map(|column| (column.cell)(vertex)));
        }
        for (place, column) in columns.iter().enumerate() {
            if let (false, Some(shown)) = (column.is_text, table.column_mut(place)) {
                shown.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }

    /// For programs: one object on one line.
    pub(crate) fn json(&self) -> serde_json::Value {
        let vertices = self.vertices.iter().map(|Vertex { name, kind, parallelism, totals }| {
            json!({
                "name": name,
                "kind": kind,
                "parallelism": parallelism,
                "rows_in": totals.rows_in,
                "rows_out": totals.rows_out,
                "rejected": totals.rejected,
                "batches": totals.batches,
                "cpu_seconds": totals.cpu_ns as f64 / 1e9,
                "guest_memory_bytes": totals.guest_memory_bytes,
                "state_bytes": totals.state_bytes,
            })
        });
        json!({
            "job": self.job,
            "state": self.state,
            "error": self.error.as_ref().map_or(Value::Null, Error::json),
            "wall_seconds": self.wall.as_secs_f64(),
            "vertices": vertices.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_broken_where_there_is_room_and_no_line_is_wider_than_the_terminal() {
        let totals = Totals {
            rows_in: 1_004_000,
            rows_out: 1_004_000,
            rejected: 12_345,
            batches: 4_534,
            cpu_ns: 191_400_000,
            guest_memory_bytes: 1 << 20,
            state_bytes: 562_000,
        };
        let vertex = Vertex { name: "count_of_bids".to_owned(), kind: "operator", parallelism: 2, totals };
        let report = Report {
            job: "j".to_owned(),
            state: "FINISHED",
            error: None,
            wall: Duration::ZERO,
            vertices: vec![vertex],
        };
        for columns in [60, 90, 100, 110, 200] {
            let width = columns.min(100);
            let terminal = Terminal { attended: true, redraws: true, width, columns, colors: false, unicode: true };
            let text = report.table(&terminal);
            assert!(text.lines().all(|line| measure_text_width(line) <= columns), "{columns}\n{text}");
            assert!(text.contains(" count_of_bids "), "{columns}\n{text}");
        }
    }
}
