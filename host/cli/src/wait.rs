//! Waiting until a job is in a state.

use std::{
    thread,
    time::{Duration, Instant},
};

use wasmill_model::fault::Code;
use wasmill_rest::{Decision, JobSummary};

use crate::{client::Client, error::Error, harmless, numbers::clock, progress::States, request::Request};

/// The first look comes after this time; the time doubles from look to look, up to the last.
const LOOK_FIRST: Duration = Duration::from_millis(20);
const LOOK_LAST: Duration = Duration::from_millis(500);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Its rows flow, or it has ended.
    Running,
    Ended,
    /// It has ended; if it was stopped, its savepoint is complete as well.
    Kept,
}

/// The state of a job that has ended with a savepoint.
pub(crate) const STOPPED: &str = "STOPPED";

/// The state of a job that does not go on before somebody has decided how.
pub(crate) const NEEDS_DECISION: &str = "NEEDS_DECISION";

/// Whether a job in this state will never be in another one.
pub(crate) fn has_ended(state: &str) -> bool {
    matches!(state, "FINISHED" | "FAILED" | "CANCELLED" | STOPPED)
}

impl Until {
    fn is_reached(self, job: &JobSummary) -> bool {
        match self {
            Self::Running => job.state == "RUNNING" || has_ended(&job.state),
            Self::Ended => has_ended(&job.state),
            Self::Kept => has_ended(&job.state) && (job.state != STOPPED || job.savepoint.is_some()),
        }
    }
}

/// A wait that came to nothing.
#[derive(Debug)]
pub(crate) struct Overdue {
    /// The state that was seen last.
    pub(crate) state: Option<String>,
    pub(crate) error: Error,
}

/// Why a job has failed.
pub(crate) fn failure(job: &JobSummary) -> Error {
    match &job.cause {
        Some(cause) => Error::told(&cause.code, &cause.message),
        None => Error::new(Code::Internal, format!("{} failed, and does not say why", harmless::line(&job.id, 40))),
    }
}

/// Waits until a job is in a state. It goes on whether anybody waits for it or not.
pub(crate) fn wait(client: &Client, id: &str, until: Until, within: Duration) -> Result<JobSummary, Overdue> {
    let (started, states) = (Instant::now(), States::new());
    let path = format!("/v1/jobs/{id}");
    let mut look = LOOK_FIRST;
    loop {
        let job: JobSummary =
            client.ask(&Request::get(&path).patiently()).map_err(|error| Overdue { state: None, error })?;
        if until.is_reached(&job) {
            return Ok(job);
        }
        if let Some(decision) = &job.decision {
            let error = undecided(client, &job.id, decision);
            return Err(Overdue { state: Some(job.state), error });
        }
        states.show(&format!("{id} is {}", harmless::line(&job.state, 40)));
        if started.elapsed() >= within {
            let error = overdue(client, &job, until, within);
            return Err(Overdue { state: Some(job.state), error });
        }
        thread::sleep(look.min(within.saturating_sub(started.elapsed())));
        look = (2 * look).min(LOOK_LAST);
    }
}

/// A job does not go on by itself.
fn undecided(client: &Client, id: &str, decision: &Decision) -> Error {
    let [id, checkpoint] = [id, &decision.checkpoint].map(|text| harmless::line(text, 100));
    let reason = harmless::text(&decision.reason, 4_000);
    let how = client.command(&format!("resolve {id}"));
    let text = format!("{id} could not begin from {checkpoint}: {reason}\n  hint: `{how}` shows how it can go on");
    Error::told(&decision.code, &text)
}

fn overdue(client: &Client, job: &JobSummary, until: Until, within: Duration) -> Error {
    let (id, state) = (harmless::line(&job.id, 40), harmless::line(&job.state, 40));
    let wanted = match until {
        Until::Running => "was not RUNNING",
        Until::Kept if has_ended(&job.state) => "had no savepoint",
        Until::Ended | Until::Kept => "had not ended",
    };
    let hint = format!("it goes on; `{}` shows it, --timeout waits longer", client.command(&format!("status {id}")));
    let cause = job.cause.as_ref().map_or_else(String::new, |cause| {
        format!(", because of {}: {}", harmless::line(&cause.code, 64), harmless::line(&cause.message, 1_000))
    });
    Error::new(
        Code::WaitTimeout,
        format!("{id} {wanted} within {}: it is {state}{cause}\n  hint: {hint}", clock(within)),
    )
}

#[cfg(test)]
mod tests;
