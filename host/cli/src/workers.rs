//! `wasmill workers` and `wasmill cluster info`: the TaskManagers, and the cluster as a whole.

use std::{process::ExitCode, time::Duration};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use wasmill_rest::{Cluster, JobCounts, Worker, WorkerState};

use crate::{
    connection::Common,
    error::Error,
    harmless,
    numbers::{clock, date_time},
    output::{Output, show},
    request::Request,
    status::now_ms,
    table::{self, Column},
    terminal::{Color, Terminal},
};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Gives a TaskManager no more subtasks, and moves the jobs that run there where slots are free.
    Drain(OneArguments),
    /// Gives a TaskManager subtasks again.
    Undrain(OneArguments),
}

#[derive(Debug, Args)]
struct OneArguments {
    /// The TaskManager's id, for example `taskmanager-3`.
    #[arg(value_parser = id)]
    id: String,
    #[command(flatten)]
    common: Common,
}

/// What `wasmill cluster info` takes.
#[derive(Debug, Args)]
pub struct ClusterArguments {
    #[command(flatten)]
    common: Common,
}

impl Arguments {
    pub(crate) fn common(&self) -> &Common {
        match &self.verb {
            Some(Verb::Drain(one) | Verb::Undrain(one)) => &one.common,
            None => &self.common,
        }
    }
}

impl ClusterArguments {
    pub(crate) fn common(&self) -> &Common {
        &self.common
    }
}

const COLUMNS: [Column<Worker>; 6] = [
    Column::text("id", |worker| harmless::line(&worker.id, 60)),
    Column::text("state", |worker| state(worker.state).to_owned()),
    Column::number("slots", |worker| worker.slots.to_string()),
    Column::number("free", |worker| worker.slots_free.to_string()),
    Column::text("jobs", |worker| harmless::line(&worker.jobs.join(" "), 2_000)),
    Column::wide_text("address", |worker| harmless::line(&worker.address, 200)),
];

fn state(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Active => "ACTIVE",
        WorkerState::Drained => "DRAINED",
    }
}

fn id(text: &str) -> Result<String, String> {
    let number = text.strip_prefix("taskmanager-");
    match number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())) {
        true => Ok(text.to_owned()),
        false => {
            Err("expected the id of a TaskManager, such as taskmanager-3; `wasmill workers` shows them".to_owned())
        }
    }
}

/// Lists TaskManagers, or says which may get subtasks.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let common = arguments.common();
    let client = common.connection.client()?;
    let (one, verb) = match &arguments.verb {
        None => {
            let items = client.list("/v1/workers")?;
            return Ok(show(&match common.output {
                Output::Json => format!("{}\n", json!({ "items": items })),
                Output::Table => {
                    let workers: Vec<Worker> = client.typed("/v1/workers", &Value::Array(items))?;
                    table_of(&workers, &Terminal::stdout(Color::Auto))
                }
            }));
        }
        Some(Verb::Drain(one)) => (one, "drain"),
        Some(Verb::Undrain(one)) => (one, "undrain"),
    };
    let path = format!("/v1/workers/{}/{verb}", one.id);
    let answer: Value = client.ask(&Request::post(&path))?;
    let worker: Worker = client.typed(&path, &answer)?;
    Ok(show(&match common.output {
        Output::Json => format!("{answer}\n"),
        Output::Table => format!("{} {}\n", harmless::line(&worker.id, 60), state(worker.state)),
    }))
}

fn table_of(workers: &[Worker], terminal: &Terminal) -> String {
    match workers {
        [] => "no TaskManager is registered\n".to_owned(),
        _ => format!("{}\n", table::draw(terminal, &COLUMNS, workers)),
    }
}

/// Shows the cluster as a whole.
pub(crate) fn cluster(arguments: &ClusterArguments) -> Result<ExitCode, Error> {
    let common = arguments.common();
    let client = common.connection.client()?;
    let answer: Value = client.get("/v1/cluster")?;
    let cluster: Cluster = client.typed("/v1/cluster", &answer)?;
    Ok(show(&match common.output {
        Output::Json => format!("{answer}\n"),
        Output::Table => about(client.server(), &cluster),
    }))
}

fn about(server: &str, cluster: &Cluster) -> String {
    let text = |text: &str| harmless::line(text, 100);
    let age = Duration::from_millis(now_ms().saturating_sub(cluster.started_ms).max(0).unsigned_abs());
    let jobs = &cluster.jobs;
    let lines = [
        ("server", server.to_owned()),
        ("cluster", text(&cluster.id)),
        ("version", text(&cluster.version)),
        ("epoch", format!("{}, since {} ({})", text(&cluster.epoch), date_time(cluster.started_ms), clock(age))),
        ("workers", cluster.workers.to_string()),
        ("slots", format!("{}, {} free", cluster.slots, cluster.slots_free)),
        ("jobs", live(jobs)),
        ("ended", format!("{} finished, {} failed, {} cancelled", jobs.finished, jobs.failed, jobs.cancelled)),
    ];
    lines.map(|(name, value)| format!("{name:<8} {value}\n")).concat()
}

/// Jobs that have not ended.
fn live(jobs: &JobCounts) -> String {
    let undecided = match jobs.needs_decision {
        0 => String::new(),
        count => format!(", {count} to be decided"),
    };
    format!("{} running, {} waiting, {} restarting{undecided}", jobs.running, jobs.waiting, jobs.restarting)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn workers_fit_a_narrow_terminal() {
        let worker = |id: &str, state, jobs: usize| Worker {
            id: id.to_owned(),
            incarnation: "incarnation-1".to_owned(),
            state,
            address: "192.168.100.100:7421".to_owned(),
            slots: 16,
            slots_free: 3,
            jobs: (0..jobs).map(|number| format!("job-{number}")).collect(),
            registered_ms: 0,
            last_seen_ms: 0,
        };
        let workers = [
            worker("taskmanager-1", WorkerState::Active, 12),
            worker("taskmanager-18446744073709551615", WorkerState::Drained, 0),
        ];
        let narrow = Terminal { attended: true, redraws: true, width: 60, columns: 60, colors: false, unicode: true };
        let drawn = table_of(&workers, &narrow);
        assert!(drawn.lines().all(|line| console::measure_text_width(line) <= 60), "{drawn}");
        expect![[r#"
            ────────────────────────────────────────────────────────────
             id                state     slots   free   jobs
            ════════════════════════════════════════════════════════════
             taskmanager-1     ACTIVE       16      3   job-0 job-1
                                                        job-2 job-3
                                                        job-4 job-5
                                                        job-6 job-7
                                                        job-8 job-9
                                                        job-10 job-11
            ────────────────────────────────────────────────────────────
             taskmanager-184   DRAINED      16      3
             467440737095516
             15
            ────────────────────────────────────────────────────────────
        "#]]
        .assert_eq(&drawn);
    }

    #[test]
    fn ids_of_taskmanagers_are_looked_at_before_a_cluster_is_asked() {
        assert!(id("taskmanager-3").is_ok());
        for bad in ["3", "taskmanager-", "taskmanager-1/drain", "worker-1"] {
            assert!(id(bad).is_err(), "{bad}");
        }
    }
}
