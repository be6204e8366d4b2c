//! `wasmill explain-stall`: who holds a job's time and its checkpoints back.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use serde_json::Value;
use wasmill_model::Timestamp;
use wasmill_rest::{Hop, Stall, VertexKind, VertexTime};

use crate::{
    connection::Common,
    error::Error,
    harmless,
    jobs::id,
    numbers::{clock, date_time},
    output::{Output, show},
    request::Request,
    status::now_ms,
    table::{self, Column},
    terminal::{Color, Terminal},
};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The job's id, for example `job-7`.
    #[arg(value_parser = id)]
    id: String,
    #[command(flatten)]
    pub(crate) common: Common,
}

const COLUMNS: [Column<VertexTime>; 5] = [
    Column::text("vertex", |vertex| vertex_name(vertex.kind, &vertex.name)),
    Column::text("watermark", |vertex| vertex.watermark_ms.map_or_else(|| "-".to_owned(), date_time)),
    Column::number("active", |vertex| vertex.active.to_string()),
    Column::number("idle", |vertex| vertex.idle.to_string()),
    Column::number("finished", |vertex| vertex.finished.to_string()),
];

/// Explains what holds a job.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let Arguments { id, common } = arguments;
    let client = common.connection.client()?;
    let path = format!("/v1/jobs/{id}/stall");
    let answer: Value = client.ask(&Request::get(&path))?;
    Ok(show(&match common.output {
        Output::Json => format!("{answer}\n"),
        Output::Table => whole(&client.typed(&path, &answer)?, &Terminal::stdout(Color::Auto), now_ms()),
    }))
}

fn whole(stall: &Stall, terminal: &Terminal, now_ms: Timestamp) -> String {
    let line = |text: &str| harmless::line(text, 100);
    let mut text =
        format!("{} {} {}, {}\n", line(&stall.id), line(&stall.name), line(&stall.state), line(&stall.attempt));
    for because in &stall.because {
        text += &format!("{}\n", harmless::line(because, 1_000));
    }
    text += &format!("\n{}\n", table::draw(terminal, &COLUMNS, &stall.vertices));
    match &stall.watermark {
        Some(held) => {
            let at = held.watermark_ms.map_or_else(|| "no watermark yet".to_owned(), |at| at_time(at, now_ms));
            text += &format!("\nwatermark: {at}\n{}", way(&held.path));
        }
        None => text += "\nwatermark: nobody holds it\n",
    }
    if let Some(held) = &stall.checkpoint {
        let under_way = clock(Duration::from_millis(held.under_way_ms.max(0).unsigned_abs()));
        text += &format!(
            "\ncheckpoint {}: {under_way} under way, {} of {} subtasks have taken their part\n{}",
            line(&held.checkpoint),
            held.taken,
            held.subtasks,
            way(&held.path)
        );
        if held.missing.len() > 1 {
            text += &format!("  missing:\n{}", held.missing.iter().map(|hop| hop_line(hop, 4)).collect::<String>());
        }
    }
    text
}

fn at_time(at_ms: Timestamp, now_ms: Timestamp) -> String {
    const DAY_MS: i64 = 86_400_000;
    match now_ms.saturating_sub(at_ms) {
        lag @ 0..DAY_MS => {
            format!("{}, {} behind", date_time(at_ms), clock(Duration::from_millis(lag.unsigned_abs())))
        }
        _ => date_time(at_ms),
    }
}

/// A line for each subtask, each because of the next.
fn way(path: &[Hop]) -> String {
    path.iter().map(|hop| hop_line(hop, 2)).collect()
}

fn hop_line(hop: &Hop, indent: usize) -> String {
    let name = format!("{} subtask {}", vertex_name(hop.kind, &hop.vertex), hop.subtask);
    let standing = hop.standing.as_deref().unwrap_or("UNKNOWN");
    let worker = if hop.worker.is_empty() { "nowhere yet" } else { &hop.worker };
    let unchanged = match hop.unchanged_ms {
        Some(ms) if ms >= 1_000 => format!(" for {}", clock(Duration::from_millis(ms))),
        _ => String::new(),
    };
    let standing = format!("{} on {}, {}{unchanged}", name, harmless::line(worker, 60), harmless::line(standing, 40));
    format!("{:indent$}{standing}: {}\n", "", harmless::line(&hop.why, 500))
}

fn vertex_name(kind: VertexKind, name: &str) -> String {
    let kind = match kind {
        VertexKind::Source => "source",
        VertexKind::Operator => "operator",
        VertexKind::Sink => "sink",
    };
    format!("{kind}.{}", harmless::line(name, 63))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use wasmill_rest::{CheckpointHeld, WatermarkHeld};

    use super::*;

    fn hop(kind: VertexKind, vertex: &str, subtask: u32, why: &str) -> Hop {
        Hop {
            vertex: vertex.to_owned(),
            kind,
            subtask,
            worker: "taskmanager-2".to_owned(),
            port: None,
            standing: Some("ACTIVE".to_owned()),
            watermark_ms: Some(1_517_966_773_840),
            unchanged_ms: Some(4_200),
            why: why.to_owned(),
        }
    }

    fn vertex(kind: VertexKind, name: &str, watermark_ms: Option<i64>, finished: u32) -> VertexTime {
        VertexTime { name: name.to_owned(), kind, watermark_ms, active: 2 - finished, idle: 0, finished }
    }

    #[test]
    fn an_answer_comes_first_and_then_the_way_to_it() {
        let sink =
            hop(VertexKind::Sink, "out", 0, "waits for the watermark by count.out from operator.count subtask 1");
        let source =
            hop(VertexKind::Source, "payments", 1, "has read no row for 4.2 s and is not idle before 5.0 s\u{1b}[31m");
        let missing = hop(VertexKind::Operator, "score", 0, "has been in one call for 3.1 s");
        let stall = Stall {
            id: "job-7".to_owned(),
            name: "fraud".to_owned(),
            state: "RUNNING".to_owned(),
            attempt: "attempt-1.3".to_owned(),
            vertices: vec![
                vertex(VertexKind::Source, "payments", Some(1_517_966_773_840), 0),
                vertex(VertexKind::Operator, "score", None, 2),
            ],
            watermark: Some(WatermarkHeld { watermark_ms: Some(1_517_966_773_840), path: vec![sink, source] }),
            checkpoint: Some(CheckpointHeld {
                checkpoint: "job-7/1.41".to_owned(),
                under_way_ms: 8_000,
                taken: 3,
                subtasks: 5,
                missing: vec![missing.clone(), missing.clone()],
                path: vec![missing],
            }),
            because: vec!["the watermark is held by source.payments subtask 1 on taskmanager-2".to_owned()],
        };
        let terminal =
            Terminal { attended: false, redraws: false, width: 80, columns: 80, colors: false, unicode: false };
        let shown = whole(&stall, &terminal, 1_517_966_780_000);
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        expect![[r#"
            job-7 fraud RUNNING, attempt-1.3
            the watermark is held by source.payments subtask 1 on taskmanager-2

             vertex           watermark            active  idle  finished
             source.payments  2018-02-07 01:26:13       2     0         0
             operator.score   -                         0     0         2

            watermark: 2018-02-07 01:26:13, 6s behind
              sink.out subtask 0 on taskmanager-2, ACTIVE for 4s: waits for the watermark by count.out from operator.count subtask 1
              source.payments subtask 1 on taskmanager-2, ACTIVE for 4s: has read no row for 4.2 s and is not idle before 5.0 s\u{1b}[31m

            checkpoint job-7/1.41: 8s under way, 3 of 5 subtasks have taken their part
              operator.score subtask 0 on taskmanager-2, ACTIVE for 4s: has been in one call for 3.1 s
              missing:
                operator.score subtask 0 on taskmanager-2, ACTIVE for 4s: has been in one call for 3.1 s
                operator.score subtask 0 on taskmanager-2, ACTIVE for 4s: has been in one call for 3.1 s
        "#]].assert_eq(&shown);
        let nothing = Stall { watermark: None, checkpoint: None, because: Vec::new(), ..stall };
        expect![[r#"
            job-7 fraud RUNNING, attempt-1.3

             vertex           watermark            active  idle  finished
             source.payments  2018-02-07 01:26:13       2     0         0
             operator.score   -                         0     0         2

            watermark: nobody holds it
        "#]]
        .assert_eq(&whole(&nothing, &terminal, 0));
    }
}
