//! Events and commands as the lines of a transcript.

use super::*;
use crate::message::{Checkpoints, Order, Restore, Trigger};

pub(super) fn shown_event(event: &Event) -> String {
    match event {
        Event::Register { taskmanager, incarnation, slots, .. } => {
            format!("{taskmanager} registers, {incarnation}, {slots} slots")
        }
        Event::Submit { shape, .. } => format!("submit {:?}", shape.chains),
        Event::Savepoint { request, .. } => format!("savepoint, request {request}"),
        Event::Stop { request, .. } => format!("stop, request {request}"),
        Event::Resolve { request, choice, .. } => format!("resolve by {}, request {request}", choice.name()),
        Event::Replace { request, shape, .. } => format!("replace by {:?}, request {request}", shape.chains),
        Event::CheckpointStored { checkpoint, .. } => format!("{} is stored", short(*checkpoint)),
        Event::CheckpointNotStored { checkpoint, .. } => format!("{} is not stored", short(*checkpoint)),
        Event::Reports(Reports { taskmanager, reports, .. }) => {
            let state = |state: &SubtaskState| match state {
                SubtaskState::Failed(cause) => format!("Failed({})", cause.domain_name()),
                state => format!("{state:?}"),
            };
            let said = |said: &Said| match said {
                Said::State(of) => state(of),
                Said::Part { at: At::Checkpoint(of), .. } => format!("part of {}", short(*of)),
                Said::Part { at: At::End, .. } => "part at its end".to_owned(),
                Said::Declined { checkpoint, .. } => format!("declines {}", short(*checkpoint)),
                Said::Committed(to) => format!("committed to {}", short(*to)),
                Said::Asks(Asks { of, has }) => format!("has {has} of {of} portions"),
            };
            let all: Vec<String> = reports.iter().map(|r| format!("{} {}", r.subtask, said(&r.said))).collect();
            format!("{taskmanager} reports {}", all.join(", "))
        }
        Event::Heartbeat { taskmanager, .. } => format!("{taskmanager} polls"),
        Event::Lost { taskmanager, .. } => format!("{taskmanager} is disconnected"),
        Event::Cordon { taskmanager, on } => format!("{taskmanager} cordoned: {on}"),
        Event::Drain { job } => format!("drain {job}"),
        Event::Cancel { job } => format!("cancel {job}"),
        Event::Stored { write } => format!("write {write} is durable"),
        Event::StoreFailed { write, .. } => format!("write {write} fails"),
    }
}

impl Cause {
    fn domain_name(&self) -> String {
        format!("{:?}", self.domain)
    }
}

fn shown_order(order: &Order) -> String {
    let subtasks: Vec<String> = order.subtasks.iter().map(Subtask::to_string).collect();
    let mut line = format!("{:?} {} {} {}", order.wish, order.job, order.attempt, subtasks.join(" "));
    if let Some(Restore { manifest, visible, given_up, passed }) = &order.restore {
        let known = format!("{}{}", if *visible { " visible" } else { "" }, if *given_up { " given up" } else { "" });
        let passed: String = passed.iter().map(|passed| format!(" past {}", passed.manifest)).collect();
        line += &format!(" from {manifest}{known}{passed}");
    }
    line += &drift::shown(order);
    line += &splits::shown(order);
    let Checkpoints { triggered, completed, given_up } = order.checkpoints;
    if let Some(Trigger { id, savepoint }) = triggered {
        line += &format!(", {} {}", if savepoint { "savepoint" } else { "take" }, short(id));
    }
    if let Some(id) = completed {
        line += &format!(", completed {}", short(id));
    }
    if let Some(id) = given_up {
        line += &format!(", given up {}", short(id));
    }
    line
}

/// A checkpoint as attempts are written: the life of the JobManager, then the count.
fn short(id: CheckpointId) -> String {
    format!("{}.{}", id.0 >> 32, id.0 as u32)
}

pub(super) fn manifest(id: CheckpointId) -> String {
    format!("manifest-{}", short(id))
}

pub(super) fn shown(command: &Command) -> String {
    match command {
        Command::Orders { taskmanager, orders, .. } => {
            let all: Vec<String> = orders.orders.iter().map(shown_order).collect();
            format!("{taskmanager} <- {}: {}", orders.version, all.join("; "))
        }
        Command::Unknown { taskmanager, incarnation } => format!("{taskmanager} {incarnation} is unknown"),
        Command::Acknowledge { taskmanager, sequence, .. } => format!("{taskmanager} acknowledged to {sequence}"),
        Command::Store { write, record } => {
            let end = record.end.as_ref().map_or("", |_| ", its end");
            let (version, trial) = (record.version, if record.previous.is_some() { " on trial" } else { "" });
            let shape = if version == 0 {
                String::new()
            } else {
                format!(", version {version} {:?}{trial}", record.shape.chains)
            };
            let Recovery { damaged, visible, decision, .. } = &record.recovery;
            let damaged: String = damaged.iter().map(|id| format!(", without {}", short(*id))).collect();
            let visible = visible.map_or(String::new(), |id| format!(", {} visible", short(id)));
            let decision = decision.as_ref().map_or(String::new(), |of| format!(", to decide: {}", of.about.name()));
            let (id, desired, restarts) = (record.id, record.desired, record.restarts);
            format!("write {write}: {id} {desired:?}, {restarts} restarts{shape}{end}{damaged}{visible}{decision}")
        }
        Command::StoreCheckpoint { checkpoint, parent, parts, savepoint, last, damaged, .. } => {
            let at = |at: &At| if *at == At::End { " at its end" } else { "" };
            let parts: Vec<String> = parts.iter().map(|(s, of, content)| format!("{s}{} {content}", at(of))).collect();
            let kind = format!("{}{}", if *savepoint { ", savepoint" } else { "" }, if *last { ", last" } else { "" });
            let parent = parent.as_ref().map_or(String::new(), |parent| format!(" after {parent}"));
            let without: String = damaged.iter().map(|id| format!(", without {}", short(*id))).collect();
            format!("store {}{parent}{kind}{without}: {}", short(*checkpoint), parts.join(", "))
        }
        Command::SavepointTaken { request, manifest, .. } => format!("{request}: savepoint {manifest}"),
        Command::SavepointFailed { request, cause } => format!("{request}: no savepoint: {}", cause.message),
        Command::Replaced { request, version, .. } => format!("{request}: replaced, version {version}"),
        Command::ReplaceFailed { request, cause } => format!("{request}: not replaced: {}", cause.message),
        Command::Resolved { request, .. } => format!("{request}: resolved"),
        Command::ResolveFailed { request, cause } => format!("{request}: {}: {}", cause.code, cause.message),
        Command::Accepted { request, job } => format!("accept {request} as {job}"),
        Command::Refused { request, cause } => format!("refuse {request}: {}", cause.message),
        Command::Changed { job, state: JobState::Failed(cause) } => format!("{job} FAILED: {}", cause.message),
        Command::Changed { job, state } => format!("{job} {}", state.name()),
        Command::Event { job, event, .. } => format!("{job} {}: {event}", event.kind()),
        Command::Forget { job } => format!("forget {job}"),
    }
}
