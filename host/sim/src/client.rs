//! People: each submits one job, perhaps ends it, and asks again until they are answered. One that is stopped with a savepoint goes
//! on as another job. Meanwhile they ask for savepoints, and for other parallelisms.

use wasmill_control::jobmanager::{CheckpointConfig, EndState, Event, JobShape, Restart};
use wasmill_model::{Timestamp, ids::JobId};

use crate::{
    faults::Profile,
    message::{Ask, Reply},
    random::Random,
    store::{RETAINED, other_chains},
    world::{BEGIN_MS, Happening, World},
};

/// What is done with a job that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    ByItself,
    Cancel,
    Drain,
    Stop,
}

/// Something that is asked once, whatever comes of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Aside {
    Savepoint,
    Replace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Submits,
    Waits(JobId),
    Ends(JobId),
    Done,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) submit_ms: Timestamp,
    key: u64,
    pub(crate) shape: JobShape,
    ending: Ending,
    /// From being accepted to ending the job.
    lets_run_ms: Timestamp,
    stage: Stage,
    /// Its job, once it was told of it.
    job: Option<JobId>,
    connection: Option<u64>,
}

impl Client {
    pub(crate) fn new(index: usize, profile: &Profile, random: &mut Random) -> Self {
        let keeps = random.permille(550);
        let chains = if keeps {
            other_chains(random)
        } else {
            (0..random.between(1, 3)).map(|_| random.between(1, 3) as u32).collect()
        };
        let restart = match random.between(0, 9) {
            0 => Restart::Never,
            1 | 2 => Restart::Backoff { attempts_max: Some(random.between(0, 3) as u32) },
            _ => Restart::Backoff { attempts_max: None },
        };
        let ending = match random.between(0, if keeps { 6 } else { 3 }) {
            0 => Ending::Cancel,
            1 => Ending::Drain,
            2 | 3 => Ending::ByItself,
            _ => Ending::Stop,
        };
        // The name tells pretended subtasks whether their input ends.
        let endless = ending != Ending::ByItself && random.permille(700);
        let name = match (endless, ending) {
            (true, _) => "endless",
            (false, Ending::Drain) => "cut short",
            (false, _) => "bounded",
        };
        let checkpoints = keeps.then(|| CheckpointConfig {
            interval_ms: random.between(100, 1_500) as u64,
            timeout_ms: random.between(300, 3_000) as u64,
            min_pause_ms: random.between(0, 300) as u64,
            retained: RETAINED,
        });
        let (name, from, from_visible) = (name.to_owned(), None, false);
        Self {
            submit_ms: random.between(BEGIN_MS, profile.faults_until_ms),
            key: index as u64 + 1,
            shape: JobShape {
                name,
                chains,
                restart,
                checkpoints,
                from,
                from_visible,
                transactional: true,
                in_step: Vec::new(),
            },
            ending,
            lets_run_ms: random.between(0, 4_000),
            stage: Stage::Submits,
            job: None,
            connection: None,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    fn ask(&self) -> Option<Ask> {
        match (self.stage, self.ending) {
            (Stage::Submits, _) => Some(Ask::Submit { key: self.key, shape: self.shape.clone() }),
            (Stage::Ends(job), Ending::Stop) => Some(Ask::Stop { job }),
            (Stage::Ends(job), Ending::Drain) => Some(Ask::Drain { job }),
            (Stage::Ends(job), _) => Some(Ask::Cancel { job }),
            (Stage::Waits(_) | Stage::Done, _) => None,
        }
    }
}

impl World {
    /// Asks, or asks again.
    pub(crate) fn client_turn(&mut self, client: usize) {
        if let Stage::Waits(job) = self.clients[client].stage {
            self.clients[client].stage = Stage::Ends(job);
        }
        self.go_on_after_stop(client);
        let Some(ask) = self.clients[client].ask() else { return };
        let connection = self.network.connect();
        self.note(&[2, client as u64], || format!("client {client} asks: {ask:?}"));
        self.clients[client].connection = Some(connection);
        self.send_ask(client, connection, &ask);
        let patience_ms = self.random.between(300, 2_500);
        self.within(patience_ms, Happening::ClientTurn { client });
    }

    /// Who stops a job looks at it now and then, and begins another from the savepoint.
    fn go_on_after_stop(&mut self, client: usize) {
        let (Stage::Ends(job), Ending::Stop) = (self.clients[client].stage, self.clients[client].ending) else {
            return;
        };
        let end = self.disk.record(job).map(|record| record.end.as_ref().map(|end| end.state.clone()));
        let chains = other_chains(&mut self.random);
        let mine = &mut self.clients[client];
        match end {
            Some(None) => {}
            Some(Some(EndState::Stopped { manifest, .. })) => {
                mine.shape = JobShape { from: Some(manifest), from_visible: true, chains, ..mine.shape.clone() };
                mine.ending = if mine.shape.name == "endless" { Ending::Drain } else { Ending::ByItself };
                mine.key += 1_000;
                mine.stage = Stage::Submits;
            }
            // It has ended otherwise, or is forgotten.
            Some(Some(_)) | None => mine.stage = Stage::Done,
        }
    }

    pub(crate) fn aside(&mut self, client: usize, what: Aside) {
        let Some(job) = self.clients[client].job else { return };
        let ask = match what {
            Aside::Savepoint => Ask::Savepoint { job },
            Aside::Replace => Ask::Replace { job, chains: other_chains(&mut self.random) },
        };
        self.note(&[4, client as u64], || format!("client {client} asks: {ask:?}"));
        let connection = self.network.connect();
        self.send_ask(client, connection, &ask);
    }

    fn plan_asides(&mut self, client: usize) {
        if self.clients[client].shape.checkpoints.is_none() {
            return;
        }
        for _ in 0..self.random.between(0, 4) {
            let what = if self.random.permille(500) { Aside::Savepoint } else { Aside::Replace };
            let later_ms = self.random.between(0, 5_000);
            self.within(later_ms, Happening::Aside { client, what });
        }
    }

    /// Somebody ends the jobs that nobody knows: a submission that comes twice, the second time after its job is forgotten, makes
    /// another.
    pub(crate) fn end_unknown(&mut self) {
        let Some(core) = &self.jobmanager.core else { return };
        let known = |job: &JobId| self.clients.iter().any(|client| client.job == Some(*job));
        let unknown: Vec<JobId> = core.jobs().filter(|job| !known(job)).collect();
        for job in unknown {
            self.tell_jobmanager(Event::Cancel { job });
        }
    }

    pub(crate) fn replied(&mut self, index: usize, connection: u64, reply: Reply) {
        let client = &mut self.clients[index];
        if client.connection != Some(connection) {
            return;
        }
        client.connection = None;
        let mut wait_ms = None;
        if let Reply::Accepted(job) = reply {
            client.job = Some(job);
        }
        match (client.stage, reply) {
            (Stage::Submits, Reply::Accepted(_)) if client.ending == Ending::ByItself => client.stage = Stage::Done,
            (Stage::Submits, Reply::Accepted(job)) => {
                client.stage = Stage::Waits(job);
                wait_ms = Some(client.lets_run_ms);
            }
            (Stage::Ends(_), Reply::Taken) => client.stage = Stage::Done,
            _ => {}
        }
        self.note(&[3, index as u64], || format!("client {index} is answered: {reply:?}"));
        if let (Reply::Accepted(_), Stage::Waits(_) | Stage::Done) = (reply, self.clients[index].stage) {
            self.plan_asides(index);
        }
        if let Some(wait_ms) = wait_ms {
            self.within(wait_ms, Happening::ClientTurn { client: index });
        }
    }
}
