//! The cluster's figures in OpenMetrics text, for Prometheus and its like.

use std::fmt::Write;

use wasmill_model::{Timestamp, ids::JobId};
use wasmill_rest::{CheckpointState, VertexDetail, VertexMetrics};
use wasmill_runtime::latency::Latencies;

use crate::jobmanager::{Shell, job::JobEntry, now_ms, views};

/// A family of figures, one for each vertex of each live job.
struct Family {
    name: &'static str,
    /// counter or gauge.
    kind: &'static str,
    help: &'static str,
    value: fn(&VertexMetrics) -> Option<f64>,
}

const FAMILIES: [Family; 16] = [
    Family { name: "wasmill_rows_in", kind: "counter", help: "Rows taken in.", value: |m| Some(m.rows_in as f64) },
    Family { name: "wasmill_rows_out", kind: "counter", help: "Rows that left.", value: |m| Some(m.rows_out as f64) },
    Family { name: "wasmill_batches", kind: "counter", help: "Batches taken in.", value: |m| Some(m.batches as f64) },
    Family {
        name: "wasmill_rejected_rows",
        kind: "counter",
        help: "Rows and timers that were left out or became dead letters.",
        value: |m| Some(m.rejected as f64),
    },
    Family {
        name: "wasmill_traps",
        kind: "counter",
        help: "Instances that failed and were replaced.",
        value: |m| Some(m.traps as f64),
    },
    Family { name: "wasmill_cpu_seconds", kind: "counter", help: "CPU time.", value: |m| Some(m.cpu_seconds) },
    Family {
        name: "wasmill_guest_memory_bytes",
        kind: "gauge",
        help: "Linear memory of instances at its highest.",
        value: |m| Some(m.guest_memory_bytes as f64),
    },
    Family { name: "wasmill_state_bytes", kind: "gauge", help: "Keyed state.", value: |m| Some(m.state_bytes as f64) },
    Family {
        name: "wasmill_restored_local_bytes",
        kind: "gauge",
        help: "Snapshot files that the attempt began from, read from local copies.",
        value: |m| Some(m.restored_local_bytes as f64),
    },
    Family {
        name: "wasmill_restored_store_bytes",
        kind: "gauge",
        help: "Snapshot files that the attempt began from, fetched from the checkpoint store.",
        value: |m| Some(m.restored_store_bytes as f64),
    },
    Family {
        name: "wasmill_rows_in_per_second",
        kind: "gauge",
        help: "Rows taken in a second.",
        value: |m| Some(m.rows_in_per_second),
    },
    Family {
        name: "wasmill_busy_ratio",
        kind: "gauge",
        help: "Part of the time spent working.",
        value: |m| Some(m.busy),
    },
    Family {
        name: "wasmill_idle_ratio",
        kind: "gauge",
        help: "Part of the time spent waiting for input.",
        value: |m| Some(m.idle),
    },
    Family {
        name: "wasmill_back_pressured_ratio",
        kind: "gauge",
        help: "Part of the time spent waiting for room behind.",
        value: |m| Some(m.back_pressured),
    },
    Family {
        name: "wasmill_watermark_seconds",
        kind: "gauge",
        help: "Lowest watermark of the subtasks that are waited for, seconds since the epoch.",
        value: |m| m.watermark_ms.map(|ms| ms as f64 / 1_000.0),
    },
    Family {
        name: "wasmill_watermark_lag_seconds",
        kind: "gauge",
        help: "How far that is behind the clock.",
        value: |m| m.watermark_ms.map(|ms| now_ms().saturating_sub(ms) as f64 / 1_000.0),
    },
];

/// How old a job's newest checkpoint is: the first thing to watch.
const AGE: &str = "wasmill_checkpoint_age_seconds";

const LATENCY: &str = "wasmill_latency_seconds";
/// Upper bounds of the histogram's buckets. A bucket has no rows of above it; rows of up to an eighth below it may be in the next.
const LATENCY_BOUNDS_US: [u64; 14] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000, 10_000_000, 60_000_000];

/// Of the jobs that take any.
fn checkpoints(text: &mut String, shell: &Shell, live: &[(&JobId, &JobEntry)]) {
    let states: Vec<(JobId, Timestamp, CheckpointState)> = live
        .iter()
        .filter_map(|(id, entry)| {
            let view = shell.core.job(**id)?.checkpoint?;
            Some((**id, now_ms() - entry.submitted_ms, views::checkpoints(**id, &view)))
        })
        .collect();
    head(text, AGE, "gauge", "Seconds since the newest complete checkpoint, or since the job was submitted.");
    for (id, submitted_ago_ms, state) in &states {
        let age_ms = state.age_ms.unwrap_or(*submitted_ago_ms);
        write(text, format_args!("{AGE}{{job=\"{id}\"}} {}\n", age_ms as f64 / 1_000.0));
    }
    head(text, "wasmill_checkpoints", "counter", "Checkpoints that were completed.");
    for (id, _, state) in &states {
        write(text, format_args!("wasmill_checkpoints_total{{job=\"{id}\"}} {}\n", state.taken));
    }
    head(text, "wasmill_checkpoints_failed", "counter", "Checkpoints that were given up.");
    for (id, _, state) in &states {
        write(text, format_args!("wasmill_checkpoints_failed_total{{job=\"{id}\"}} {}\n", state.failed));
    }
}

/// All families, without the end mark.
pub(crate) fn text(shell: &Shell) -> String {
    let mut text = String::new();
    let cluster = shell.cluster_view();
    for (name, help, value) in [
        ("wasmill_workers", "TaskManagers.", cluster.workers),
        ("wasmill_slots", "Slots of all TaskManagers.", cluster.slots),
        ("wasmill_slots_free", "Slots that are free.", cluster.slots_free),
    ] {
        head(&mut text, name, "gauge", help);
        write(&mut text, format_args!("{name} {value}\n"));
    }
    head(&mut text, "wasmill_jobs", "gauge", "Jobs by state.");
    let jobs = &cluster.jobs;
    for (state, count) in [
        ("waiting", jobs.waiting),
        ("running", jobs.running),
        ("restarting", jobs.restarting),
        ("needs_decision", jobs.needs_decision),
        ("finished", jobs.finished),
        ("failed", jobs.failed),
        ("cancelled", jobs.cancelled),
    ] {
        write(&mut text, format_args!("wasmill_jobs{{state=\"{state}\"}} {count}\n"));
    }
    let live: Vec<_> = shell.jobs.iter().filter(|(_, entry)| entry.ended_ms.is_none()).collect();
    head(&mut text, "wasmill_restarts", "counter", "Times a job was started again.");
    for (id, _) in &live {
        let restarts = shell.core.job(**id).map_or(0, |view| view.restarts);
        write(&mut text, format_args!("wasmill_restarts_total{{job=\"{id}\"}} {restarts}\n"));
    }
    checkpoints(&mut text, shell, &live);
    head(&mut text, "wasmill_queued_bytes", "gauge", "Bytes of rows that wait in the channels of an edge.");
    for (id, entry) in &live {
        for (place, edge) in entry.plan.edges.iter().enumerate() {
            let labels = format_args!("job=\"{id}\",edge=\"{}\",to=\"{}\"", edge.from, edge.to);
            write(&mut text, format_args!("wasmill_queued_bytes{{{labels}}} {}\n", entry.metrics.queued_bytes(place)));
        }
    }
    head(&mut text, LATENCY, "histogram", "Time of rows from their source until the sink had written them.");
    for (id, entry) in &live {
        for (place, latencies) in entry.metrics.latencies() {
            let Some(vertex) = entry.plan.vertices.get(place) else { continue };
            histogram(&mut text, &format!("job=\"{id}\",vertex=\"{}\"", vertex.name), &latencies);
        }
    }
    let figures: Vec<(String, Vec<VertexMetrics>, &[VertexDetail])> = live
        .iter()
        .map(|(id, entry)| (id.to_string(), entry.metrics.of_vertices(&entry.plan), entry.plan.vertices.as_slice()))
        .collect();
    for Family { name, kind, help, value } in &FAMILIES {
        head(&mut text, name, kind, help);
        let suffix = if *kind == "counter" { "_total" } else { "" };
        for (job, metrics, vertices) in &figures {
            for (vertex, metrics) in vertices.iter().zip(metrics) {
                if let Some(value) = value(metrics) {
                    // Names of vertices have no character that would need escaping.
                    let labels = format_args!("job=\"{job}\",vertex=\"{}\"", vertex.name);
                    write(&mut text, format_args!("{name}{suffix}{{{labels}}} {value}\n"));
                }
            }
        }
    }
    text
}

fn histogram(text: &mut String, labels: &str, latencies: &Latencies) {
    for us in LATENCY_BOUNDS_US {
        let (seconds, rows) = (us as f64 / 1e6, latencies.rows_within(us));
        write(text, format_args!("{LATENCY}_bucket{{{labels},le=\"{seconds:?}\"}} {rows}\n"));
    }
    let rows = latencies.rows();
    write(text, format_args!("{LATENCY}_bucket{{{labels},le=\"+Inf\"}} {rows}\n"));
    write(text, format_args!("{LATENCY}_sum{{{labels}}} {}\n", latencies.sum_seconds()));
    write(text, format_args!("{LATENCY}_count{{{labels}}} {rows}\n"));
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    write(text, format_args!("# TYPE {name} {kind}\n# HELP {name} {help}\n"));
}

fn write(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("a string takes all that is written");
}
