//! Pretended subtasks: they take a while to start, run, prepare, commit and stop, and fail now and then.

use std::collections::BTreeMap;

use wasmill_control::{
    agent::Event,
    message::{Cause, Checkpoints, Restore, Said, SubtaskState},
};
use wasmill_model::{
    Timestamp,
    fault::{Code, Domain},
    ids::Subtask,
    portions::Given,
};

use crate::{
    Sabotage,
    checkers::{Fact, Try},
    data::{Data, Kept},
    message::name,
    world::{Happening, World},
};

/// An attempt on a TaskManager.
#[derive(Debug)]
pub(crate) struct Attempted {
    subtasks: BTreeMap<Subtask, Pretended>,
    told_to_stop: bool,
    /// If its job takes checkpoints.
    kept: Option<Kept>,
}

/// A subtask.
#[derive(Debug)]
struct Pretended {
    state: Option<SubtaskState>,
    /// What it does next was decided so often; what was decided before does not happen.
    plan: u32,
    drains: bool,
    commits: bool,
    data: Data,
}

impl Attempted {
    pub(crate) fn is_busy(&self) -> bool {
        !self.told_to_stop && !self.is_over()
    }

    pub(crate) fn has_prepared(&self) -> bool {
        self.subtasks.values().any(|subtask| subtask.state == Some(SubtaskState::Prepared))
    }

    fn is_over(&self) -> bool {
        self.subtasks.values().all(|subtask| subtask.state.as_ref().is_some_and(SubtaskState::is_over))
    }
}

impl World {
    pub(crate) fn start_subtasks(&mut self, index: usize, of: Try, subtasks: &[Subtask], restore: Option<Restore>) {
        let new = |subtask: &Subtask| {
            let data = Data::default();
            (*subtask, Pretended { state: None, plan: 0, drains: false, commits: false, data })
        };
        let subtasks = subtasks.iter().map(new).collect();
        let excuses = self.excuses(of, restore.as_ref());
        let (restore, passed) = restore.map_or((None, Vec::new()), |restore| {
            let passed = restore.passed.into_iter().map(|passed| passed.manifest);
            (Some(restore.manifest), passed.collect())
        });
        let damaged = restore.as_ref().is_some_and(|manifest| self.is_damaged(manifest));
        let shape = &self.shapes[&of];
        let kept = shape.checkpoints.map(|_| {
            let (checkpoints, chains) = (Checkpoints::default(), [shape.chains[0], shape.chains[1]]);
            Kept { restore, passed, checkpoints, chains, excuses, ..Kept::default() }
        });
        let attempted = Attempted { subtasks, told_to_stop: false, kept };
        let all: Vec<Subtask> = attempted.subtasks.keys().copied().collect();
        let first = all.first().copied();
        self.taskmanagers[index].attempts.insert(of, attempted);
        for subtask in all {
            let takes_ms = self.random.heavy_tailed(1, 30, 1_000, 20);
            let keeps = self.taskmanagers[index].attempts[&of].kept.is_some();
            let fails = keeps && self.has_faults() && self.random.permille(self.profile.failing_subtask_permille / 2);
            // What is damaged is the file of one of them, and it may take long to find out.
            let unreadable = damaged && Some(subtask) == first;
            let state = match (unreadable, fails) {
                (true, _) => unrestorable(),
                (false, true) => failed(Domain::External),
                (false, false) => SubtaskState::Running,
            };
            self.next(index, of, subtask, takes_ms, state);
        }
    }

    /// Whether nobody can begin from a manifest. That shows when somebody tries.
    fn is_damaged(&mut self, manifest: &str) -> bool {
        if self.has_faults() && self.damages.permille(self.profile.damaged_permille) {
            self.store.damaged.insert(manifest.to_owned());
        }
        self.store.damaged.contains(manifest)
    }

    pub(crate) fn keep_checkpoints(&mut self, index: usize, of: Try, checkpoints: Checkpoints) {
        if let Some(kept) = self.kept_mut(index, of) {
            kept.checkpoints = checkpoints;
        }
    }

    /// What sources were given is theirs, whatever they do next.
    pub(crate) fn give(&mut self, index: usize, of: Try, given: Vec<(Subtask, Given)>) {
        if let Some(kept) = self.taskmanagers[index].attempts.get_mut(&of).and_then(|of| of.kept.as_mut()) {
            kept.given = given.into_iter().collect();
        }
    }

    pub(crate) fn drain_subtasks(&mut self, index: usize, of: Try) {
        for subtask in self.subtasks_of(index, of) {
            let pretended = self.pretended(index, of, subtask);
            pretended.drains = true;
            if self.keeps(index, of) {
                continue;
            }
            let pretended = self.pretended(index, of, subtask);
            if pretended.state == Some(SubtaskState::Running) {
                let takes_ms = self.random.between(1, 80);
                self.next(index, of, subtask, takes_ms, SubtaskState::Prepared);
            }
        }
    }

    pub(crate) fn commit_subtasks(&mut self, index: usize, of: Try) {
        for subtask in self.subtasks_of(index, of) {
            let pretended = self.pretended(index, of, subtask);
            pretended.commits = true;
            if pretended.state == Some(SubtaskState::Prepared) {
                self.next_is_commit(index, of, subtask);
            }
        }
    }

    fn next_is_commit(&mut self, index: usize, of: Try, subtask: Subtask) {
        let takes_ms = self.random.heavy_tailed(1, 40, 3_000, 60);
        let fails = self.has_faults() && self.random.permille(self.profile.failing_subtask_permille / 4);
        let state = if fails { failed(Domain::External) } else { SubtaskState::Committed };
        self.next(index, of, subtask, takes_ms, state);
    }

    pub(crate) fn stop_subtasks(&mut self, index: usize, of: Try) {
        if let Some(attempted) = self.taskmanagers[index].attempts.get_mut(&of) {
            attempted.told_to_stop = true;
        }
        for subtask in self.subtasks_of(index, of) {
            if self.pretended(index, of, subtask).state.as_ref().is_some_and(SubtaskState::is_over) {
                continue;
            }
            let often = if self.has_faults() { self.profile.slow_stop_permille } else { 0 };
            let takes_ms = self.random.heavy_tailed(0, 30, 5_000, often);
            self.next(index, of, subtask, takes_ms, SubtaskState::Stopped);
            if self.is(Sabotage::StopsInWordsOnly) {
                self.say(index, of, subtask, Said::State(SubtaskState::Stopped));
            }
        }
    }

    /// What was planned, unless something else was meanwhile.
    pub(crate) fn subtask_gets_on(
        &mut self,
        index: usize,
        life: u64,
        of: Try,
        subtask: Subtask,
        state: SubtaskState,
        plan: u32,
    ) {
        let process = &mut self.taskmanagers[index];
        let Some(attempted) = process.attempts.get_mut(&of).filter(|_| process.life == life) else { return };
        let Some(pretended) = attempted.subtasks.get_mut(&subtask).filter(|p| p.plan == plan) else { return };
        let before = pretended.state.replace(state.clone());
        let (drains, commits) = (pretended.drains, pretended.commits);
        let taskmanager = process.id;
        self.note(&[40, taskmanager.0], || format!("{taskmanager}: {} {} {subtask} is {}", of.0, of.1, name(&state)));
        let state = self.with_data(index, of, subtask, before.as_ref(), state);
        self.pretended(index, of, subtask).state = Some(state.clone());
        let over = self.taskmanagers[index].attempts[&of].is_over();
        match &state {
            SubtaskState::Running => self.plan_run(index, of, subtask, drains),
            SubtaskState::Prepared => {
                self.see(&Fact::Prepared { of, subtask });
                if commits {
                    self.next_is_commit(index, of, subtask);
                }
            }
            SubtaskState::Committed | SubtaskState::Failed(_) | SubtaskState::Stopped => {}
        }
        if over {
            self.see(&Fact::Released { taskmanager, of });
            self.taskmanagers[index].attempts.remove(&of);
        }
        self.say(index, of, subtask, Said::State(state));
    }

    /// How a subtask that runs goes on.
    fn plan_run(&mut self, index: usize, of: Try, subtask: Subtask, drains: bool) {
        let endless = self.is_endless(of);
        let runs_ms = self.random.between(20, 2_500);
        if self.has_faults() && self.random.permille(self.profile.failing_subtask_permille) {
            let domain = match self.random.between(0, 9) {
                0 => Domain::User,
                1 | 2 => Domain::Operator,
                3..=5 => Domain::Internal,
                _ => Domain::External,
            };
            self.next(index, of, subtask, runs_ms, failed(domain));
        } else if !self.keeps(index, of) && (drains || !endless) {
            let runs_ms = if drains { runs_ms / 20 } else { runs_ms };
            self.next(index, of, subtask, runs_ms, SubtaskState::Prepared);
        }
    }

    /// What a state means for the rows of a job with checkpoints.
    fn with_data(
        &mut self,
        index: usize,
        of: Try,
        subtask: Subtask,
        before: Option<&SubtaskState>,
        state: SubtaskState,
    ) -> SubtaskState {
        if !self.keeps(index, of) {
            return state;
        }
        match state {
            SubtaskState::Running => {
                if !self.restore(index, of, subtask) {
                    return self.misses_results(of, subtask);
                }
                let life = self.taskmanagers[index].life;
                self.within(1, Happening::Work { taskmanager: index, life, of, subtask });
            }
            SubtaskState::Committed if !self.show_at_end(index, of, subtask, true) => {
                return self.misses_results(of, subtask);
            }
            SubtaskState::Stopped if before.is_some() => {
                if self.has_faults() && self.random.permille(self.profile.failing_subtask_permille / 2) {
                    return failed(Domain::External);
                }
                if !self.show_at_end(index, of, subtask, false) {
                    return self.misses_results(of, subtask);
                }
            }
            SubtaskState::Committed | SubtaskState::Stopped | SubtaskState::Prepared | SubtaskState::Failed(_) => {}
        }
        state
    }

    fn keeps(&self, index: usize, of: Try) -> bool {
        self.taskmanagers[index].attempts.get(&of).is_some_and(|attempted| attempted.kept.is_some())
    }

    pub(crate) fn kept(&self, index: usize, of: Try) -> Kept {
        self.kept_ref(index, of).clone()
    }

    pub(crate) fn kept_ref(&self, index: usize, of: Try) -> &Kept {
        self.taskmanagers[index].attempts[&of].kept.as_ref().expect("its job takes checkpoints")
    }

    pub(crate) fn kept_mut(&mut self, index: usize, of: Try) -> Option<&mut Kept> {
        self.taskmanagers[index].attempts.get_mut(&of)?.kept.as_mut()
    }

    /// The sources on a TaskManager, of jobs that take checkpoints.
    pub(crate) fn sources_at(&self, index: usize) -> Vec<(Try, Subtask)> {
        let attempts = self.taskmanagers[index].attempts.iter().filter(|(_, attempted)| attempted.kept.is_some());
        let all = attempts.flat_map(|(of, attempted)| attempted.subtasks.keys().map(|subtask| (*of, *subtask)));
        all.filter(|(_, subtask)| subtask.chain == 0).collect()
    }

    pub(crate) fn data(&mut self, index: usize, of: Try, subtask: Subtask) -> &mut Data {
        &mut self.pretended(index, of, subtask).data
    }

    pub(crate) fn drains(&mut self, index: usize, of: Try, subtask: Subtask) -> bool {
        self.pretended(index, of, subtask).drains
    }

    pub(crate) fn state_of(&self, index: usize, of: Try, subtask: Subtask) -> Option<SubtaskState> {
        self.taskmanagers[index].attempts.get(&of)?.subtasks.get(&subtask)?.state.clone()
    }

    /// Whether a subtask runs, or has prepared, and was not told to stop.
    pub(crate) fn is_at_work(&self, index: usize, of: Try, subtask: Subtask) -> bool {
        let Some(attempted) = self.taskmanagers[index].attempts.get(&of) else { return false };
        let over = self.state_of(index, of, subtask).is_none_or(|state| state.is_over());
        !over && !attempted.told_to_stop
    }

    pub(crate) fn is_endless(&self, of: Try) -> bool {
        self.shapes[&of].name == "endless"
    }

    pub(crate) fn say(&mut self, index: usize, of: Try, subtask: Subtask, said: Said) {
        let (job, attempt) = of;
        self.tell_agent(index, Event::Subtask { job, attempt, subtask, said });
    }

    /// Decides what a subtask comes to next.
    pub(crate) fn next(&mut self, index: usize, of: Try, subtask: Subtask, takes_ms: Timestamp, state: SubtaskState) {
        let pretended = self.pretended(index, of, subtask);
        pretended.plan += 1;
        let plan = pretended.plan;
        let life = self.taskmanagers[index].life;
        self.within(takes_ms, Happening::Subtask { taskmanager: index, life, of, subtask, state, plan });
    }

    fn subtasks_of(&self, index: usize, of: Try) -> Vec<Subtask> {
        let attempted = self.taskmanagers[index].attempts.get(&of);
        attempted.map_or_else(Vec::new, |attempted| attempted.subtasks.keys().copied().collect())
    }

    fn pretended(&mut self, index: usize, of: Try, subtask: Subtask) -> &mut Pretended {
        let attempted = self.taskmanagers[index].attempts.get_mut(&of).expect("the caller has found the attempt");
        attempted.subtasks.get_mut(&subtask).expect("it is one of the attempt's")
    }
}

fn unrestorable() -> SubtaskState {
    let message = "a pretended file is damaged".to_owned();
    SubtaskState::Failed(Cause { code: Code::CheckpointDamaged, domain: Domain::Operator, message })
}

fn failed(domain: Domain) -> SubtaskState {
    let message = "a pretended failure".to_owned();
    SubtaskState::Failed(Cause { code: Code::SystemResources, domain, message })
}
