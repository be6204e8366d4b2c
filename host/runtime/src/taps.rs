//! Looking at rows as they leave a vertex, while somebody wants to see them.
//!
//! Nobody looks: one relaxed load a batch. Somebody does: a few rows of each batch are written as JSON, as long as there is room
//! for them; the rest are not looked at. The rows themselves are never touched or held up.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use wasmill_connectors::rows_as_json;
use wasmill_model::{Batch, JobGraph, Schema};

/// Rows of one batch that are looked at.
const OF_BATCH_MAX: usize = 10;
/// Rows that wait to be taken.
const WAITING_MAX: usize = 500;

/// A row that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TappedRow {
    /// Where it left: `vertex.port`.
    pub edge: String,
    pub subtask: u32,
    /// The columns that somebody downstream reads, as a JSON object.
    pub json: String,
}

/// All places of a job where rows can be looked at.
#[derive(Debug)]
pub struct Taps {
    /// For each vertex, for each of its ports.
    points: Vec<Vec<Point>>,
    rows: Mutex<Vec<TappedRow>>,
}

#[derive(Debug)]
struct Point {
    edge: String,
    schema: Schema,
    looked_at: AtomicBool,
}

impl Taps {
    pub(crate) fn new(graph: &JobGraph) -> Self {
        let points = graph.vertices.iter().map(|vertex| {
            let ports = vertex.ports.iter().map(|port| Point {
                edge: format!("{}.{}", vertex.name, port.name),
                schema: port.schema.clone(),
                looked_at: AtomicBool::new(false),
            });
            ports.collect()
        });
        Self { points: points.collect(), rows: Mutex::default() }
    }

    /// Lets exactly these edges be looked at.
    pub fn look_at(&self, edges: &[&str]) {
        for point in self.points.iter().flatten() {
            point.looked_at.store(edges.contains(&point.edge.as_str()), Relaxed);
        }
    }

    /// The rows that were looked at since the last time.
    pub fn take(&self) -> Vec<TappedRow> {
        std::mem::take(&mut *self.lock())
    }

    /// Rows leave a vertex.
    pub(crate) fn pass(&self, vertex: usize, port: usize, subtask: u32, batch: &Batch) {
        let point = &self.points[vertex][port];
        if !point.looked_at.load(Relaxed) {
            return;
        }
        let mut rows = self.lock();
        let room = WAITING_MAX.saturating_sub(rows.len()).min(OF_BATCH_MAX).min(batch.rows);
        let lines = rows_as_json(&point.schema, &batch.slice(0, room));
        rows.extend(lines.lines().map(|json| TappedRow { edge: point.edge.clone(), subtask, json: json.to_owned() }));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<TappedRow>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
