//! The checkpoints of a job, in a line: how long ago the last one was complete, which is what matters, and what goes wrong.

use std::time::Duration;

use console::{Style, measure_text_width};
use wasmill_rest::{CheckpointState, JobSummary};

use crate::{harmless, numbers::clock, terminal::Terminal};

/// So many in a row that failed are no accident.
const FAILED_MANY: u32 = 3;

/// What is shown of a job's checkpoints; nothing of a job that takes none.
pub(super) fn of(job: &JobSummary, terminal: &Terminal) -> String {
    let checkpoints = job.checkpoints.as_ref().map_or_else(String::new, |state| line(state, terminal));
    let savepoint =
        job.savepoint.as_deref().map_or_else(String::new, |name| format!("savepoint {}\n", harmless::line(name, 63)));
    checkpoints + &savepoint
}

fn line(state: &CheckpointState, terminal: &Terminal) -> String {
    let newest = match (&state.completed, state.age_ms) {
        (Some(name), Some(age)) => format!("{}, {} ago", harmless::line(name, 60), since(age)),
        (Some(name), None) => harmless::line(name, 60),
        (None, _) => "none yet".to_owned(),
    };
    let mut text = format!("checkpoint {newest}");
    if state.failed_in_row > 0 {
        text += &format!(", {} failed since", state.failed_in_row);
    }
    let under_way = state.under_way_ms.map(|ms| match state.waits_for {
        Some(1) => format!("next: {} under way, waits for 1 subtask", since(ms)),
        Some(count) => format!("next: {} under way, waits for {count} subtasks", since(ms)),
        None => format!("next: {} under way", since(ms)),
    });
    let last = text.lines().last().map_or(0, measure_text_width);
    match under_way {
        // It stands in the same line where there is room for it.
        Some(next) if last + 2 + next.len() <= terminal.width => text += &format!("; {next}"),
        Some(next) => text += &format!("\n  {next}"),
        None => {}
    }
    if state.failed_in_row >= FAILED_MANY {
        text = terminal.paint(&Style::new().yellow(), &text);
        text += &format!("\nwarning: {} checkpoints failed in a row, see its events", state.failed_in_row);
    }
    text + "\n"
}

fn since(ms: i64) -> String {
    clock(Duration::from_millis(ms.max(0).unsigned_abs()))
}
