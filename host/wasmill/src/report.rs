//! What each operator of a job did, as a table and as JSON.

use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};
use wasmill_cli::table::{self, Column};
use wasmill_cluster::jobmanager::quantiles;
use wasmill_control::jobmanager::JobState;
use wasmill_rest::LatencyDetail;
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
    /// Of a sink that has written rows.
    latency: Option<LatencyDetail>,
}

/// The column that is left out if there is nothing in it.
const REJECTED: &str = "rejected";

const COLUMNS: [Column<Vertex>; 10] = [
    Column::text("vertex", |vertex| vertex.name.clone()),
    Column::wide_text("kind", |vertex| vertex.kind.to_owned()),
    Column::number("par", |vertex| vertex.parallelism.to_string()),
    Column::number("rows in", |vertex| match vertex.kind {
        "source" => "-".to_owned(),
        _ => HumanCount(vertex.totals.rows_in).to_string(),
    }),
    Column::number("rows out", |vertex| HumanCount(vertex.totals.rows_out).to_string()),
    Column::number(REJECTED, |vertex| HumanCount(vertex.totals.rejected).to_string()),
    Column::wide_number("batches", |vertex| HumanCount(vertex.totals.batches).to_string()),
    Column::number("cpu", |vertex| format!("{:.1?}", Duration::from_nanos(vertex.totals.cpu_ns))),
    Column::wide_number("guest memory", |vertex| bytes(vertex.totals.guest_memory_bytes)),
    Column::wide_number("state", |vertex| bytes(vertex.totals.state_bytes)),
];

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
            latency: quantiles(&counters.latencies()),
        });
        let error = match state {
            JobState::Failed(cause) => Some(Error::new(cause.code, cause.message.as_str())),
            _ => None,
        };
        Self { job: job.graph.name.clone(), state: state.name(), error, wall, vertices: vertices.collect() }
    }

    /// For people. A terminal that the whole table does not fit gets fewer columns.
    pub(crate) fn table(&self, terminal: &Terminal) -> String {
        let rejected = self.vertices.iter().any(|vertex| vertex.totals.rejected > 0);
        let columns = COLUMNS.iter().filter(|column| rejected || column.name != REJECTED);
        let table = table::draw(terminal, columns, &self.vertices);
        format!("{table}\njob {} {} after {:.1?}\n", self.job, self.state, self.wall)
    }

    /// For programs: one object on one line.
    pub(crate) fn json(&self) -> serde_json::Value {
        let vertices = self.vertices.iter().map(|Vertex { name, kind, parallelism, totals, latency }| {
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
                "latency": latency,
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
    use console::measure_text_width;

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
            traps: 0,
            idle_ns: 0,
            blocked_ns: 0,
            ..Totals::default()
        };
        let vertex = Vertex { name: "bids".to_owned(), kind: "operator", parallelism: 2, totals, latency: None };
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
            assert!(text.contains(" bids "), "{columns}\n{text}");
        }
    }
}
