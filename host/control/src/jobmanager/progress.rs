//! What agents report, and how an attempt gets on by it.

use wasmill_model::{
    fault::{Code, Domain},
    ids::{Incarnation, JobId, Subtask, TaskManagerId},
};

use crate::{
    jobmanager::{
        Command, JobManager,
        phase::{Phase, Stage},
    },
    message::{Cause, Report, Reports, Said, SubtaskState, Wish},
};

impl JobManager {
    /// Takes what is new in a TaskManager's reports and acknowledges all it has taken.
    pub(super) fn take_reports(&mut self, reports: Reports) {
        let Reports { epoch, taskmanager, incarnation, sequence, reports } = reports;
        let known = self.taskmanagers.get_mut(&taskmanager).filter(|known| known.incarnation == incarnation);
        let Some(known) = known else {
            self.commands.push(Command::Unknown { taskmanager, incarnation });
            return;
        };
        // Those of an earlier life of the JobManager come late, and are of attempts that are over.
        let new = epoch == self.epoch && sequence > known.sequence;
        if new {
            known.sequence = sequence;
        }
        let sequence = known.sequence;
        if new {
            for report in reports {
                self.take_report(taskmanager, incarnation, report);
            }
        }
        self.commands.push(Command::Acknowledge { taskmanager, incarnation, sequence });
    }

    /// Takes what a subtask of the present attempt says, if it is said from where it runs.
    fn take_report(&mut self, taskmanager: TaskManagerId, incarnation: Incarnation, report: Report) {
        let Report { job: id, attempt, subtask, said } = report;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(placed) = job.placed() else { return };
        let exists = placed.chains.get(subtask.chain as usize).is_some_and(|n| subtask.index < *n);
        if !exists || placed.attempt != attempt || !placed.is_at(subtask, taskmanager, incarnation) {
            return;
        }
        match said {
            Said::State(state) => self.take_state(id, taskmanager, subtask, state),
            Said::Part { at, content } => self.take_part(id, subtask, at, content),
            Said::Declined { checkpoint, reason } => self.take_declined(id, subtask, checkpoint, &reason),
            Said::Committed(to) => {
                job.take_committed(subtask, to);
                self.note_visible(id);
                self.answer_savepoints(id);
            }
            Said::Asks(asks) => self.take_asks(id, subtask, asks),
        }
    }

    fn take_state(&mut self, id: JobId, taskmanager: TaskManagerId, subtask: Subtask, state: SubtaskState) {
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        let committing = matches!(job.phase, Phase::Placed { stage: Stage::Committing, .. });
        let stopping = matches!(job.phase, Phase::Stopping { .. });
        let Some(placed) = job.placed_mut() else { return };
        if placed.states.get(&subtask).is_some_and(|known| known.rank() >= state.rank()) {
            return;
        }
        placed.states.insert(subtask, state.clone());
        self.limits_may_change(id);
        let unasked = |what: &str| {
            let message = format!("{taskmanager} has {what} {subtask} of {id}, which it was not told to do");
            Cause { code: Code::TaskManagerLost, domain: Domain::Internal, message }
        };
        match state {
            _ if stopping => self.go_on_if_stopped(id),
            SubtaskState::Failed(cause) => self.fail(id, cause),
            SubtaskState::Stopped => self.fail(id, unasked("stopped")),
            SubtaskState::Committed if !committing => self.fail(id, unasked("committed")),
            SubtaskState::Running | SubtaskState::Prepared | SubtaskState::Committed => self.get_on(id),
        }
    }

    /// Takes an attempt as far as its subtasks have come.
    pub(super) fn get_on(&mut self, id: JobId) {
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        let (running, prepared) = (job.all(|_| true), job.all(|state| state.rank() >= SubtaskState::Prepared.rank()));
        let committed = job.all(|state| *state == SubtaskState::Committed);
        let Phase::Placed { stage, .. } = &mut job.phase else { return };
        if running && matches!(stage, Stage::Deploying) {
            *stage = Stage::Running { since_ms: self.now_ms };
            job.keeping.begin(self.now_ms);
            self.pass_trial(id);
            self.changed(id);
        }
        let job = self.jobs.get_mut(&id).expect("it was found above");
        let Phase::Placed { stage, .. } = &mut job.phase else { return };
        // With checkpoints, what was prepared belongs to the last one.
        let at_once = job.record.shape.checkpoints.is_none();
        if at_once && prepared && matches!(stage, Stage::Running { .. }) {
            *stage = Stage::Committing;
            self.wish(id, Wish::Commit);
        } else if committed && matches!(stage, Stage::Committing) {
            self.finish(id);
        }
        self.note_visible(id);
        self.answer_savepoints(id);
        self.keep(id);
    }
}
