//! What each operator of a job did, as a table and as JSON.

use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};
use wasmill_control::jobmanager::JobState;
use wasmill_model::graph::Role;
use wasmill_runtime::{Job, counters::Totals};

use crate::error::Error;

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

impl Report {
    pub(crate) fn new(job: &Job, state: &JobState, wall: Duration) -> Self {
        let vertices = job.graph.vertices.iter().zip(&job.counters).map(|(vertex, counters)| Vertex {
            name: vertex.name.clone(),
            kind: match vertex.role {
                Role::Source { .. } => "source",
                Role::Operator { .. } => "operator",
                Role::Sink => "sink",
            },
            parallelism: vertex.parallelism,
            totals: counters.totals(),
        });
        let error = match state {
            JobState::Failed(cause) => Some(Error::of_job(cause)),
            _ => None,
        };
        Self { job: job.graph.name.clone(), state: state.name(), error, wall, vertices: vertices.collect() }
    }

    /// For people.
    pub(crate) fn table(&self, on_terminal: bool) -> String {
        let mut table = Table::new();
        table.load_preset(if on_terminal { presets::UTF8_HORIZONTAL_ONLY } else { presets::NOTHING });
        table.set_content_arrangement(ContentArrangement::Dynamic);
        let mut header =
            vec!["vertex", "kind", "par", "rows in", "rows out", "batches", "cpu", "guest memory", "state"];
        let rejected = self.vertices.iter().any(|vertex| vertex.totals.rejected > 0);
        if rejected {
            header.insert(5, "rejected");
        }
        table.set_header(header);
        for Vertex { name, kind, parallelism, totals } in &self.vertices {
            let bytes = |bytes: u64| if bytes == 0 { "-".to_owned() } else { HumanBytes(bytes).to_string() };
            let count = |n: u64| HumanCount(n).to_string();
            let mut row = vec![
                name.clone(),
                (*kind).to_owned(),
                parallelism.to_string(),
                if *kind == "source" { "-".to_owned() } else { count(totals.rows_in) },
                count(totals.rows_out),
                count(totals.batches),
                format!("{:.1?}", Duration::from_nanos(totals.cpu_ns)),
                bytes(totals.guest_memory_bytes),
                bytes(totals.state_bytes),
            ];
            if rejected {
                row.insert(5, count(totals.rejected));
            }
            table.add_row(row);
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        format!("{table}\njob {} {} after {:.1?}\n", self.job, self.state, self.wall)
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
