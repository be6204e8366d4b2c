//! The way between processes: delays with a heavy tail, loss, repetition, and directions that are cut for a while. Messages of
//! different connections overtake each other.

use wasmill_model::Timestamp;

use crate::{
    message::{Answer, Ask, Reply, Request},
    world::{Happening, World},
};

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ToJobManager,
    ToTaskManager,
}

#[derive(Debug)]
pub(crate) struct Network {
    last_connection: u64,
    /// Until when each TaskManager's ways are cut: to the JobManager, from it.
    cut_until_ms: Vec<[Timestamp; 2]>,
}

impl Network {
    pub(crate) fn new(taskmanagers: usize) -> Self {
        Self { last_connection: 0, cut_until_ms: vec![[0; 2]; taskmanagers] }
    }

    pub(crate) fn connect(&mut self) -> u64 {
        self.last_connection += 1;
        self.last_connection
    }

    pub(crate) fn cut(&mut self, taskmanager: usize, way: Way, until_ms: Timestamp) {
        let cut = &mut self.cut_until_ms[taskmanager][way as usize];
        *cut = (*cut).max(until_ms);
    }

    pub(crate) fn is_cut(&self, taskmanager: usize, way: Way, now_ms: Timestamp) -> bool {
        self.cut_until_ms[taskmanager][way as usize] > now_ms
    }
}

impl World {
    pub(crate) fn has_faults(&self) -> bool {
        self.now_ms < self.profile.faults_until_ms
    }

    fn delay(&mut self) -> Timestamp {
        let often = if self.has_faults() { self.profile.delay_permille } else { 0 };
        self.random.heavy_tailed(0, 3, 4_000, often)
    }

    fn is_lost(&mut self) -> bool {
        self.counts.messages += 1;
        let lost = self.has_faults() && self.random.permille(self.profile.loss_permille);
        self.counts.messages_lost += u64::from(lost);
        lost
    }

    /// How often a message arrives.
    fn copies(&mut self, cut: bool) -> usize {
        let lost = self.is_lost() || cut;
        let repeated = self.has_faults() && self.random.permille(self.profile.repeat_permille);
        self.counts.messages_repeated += u64::from(repeated && !lost);
        match (lost, repeated) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        }
    }

    pub(crate) fn send_request(&mut self, taskmanager: usize, connection: u64, body: &Request) {
        let cut = self.network.is_cut(taskmanager, Way::ToJobManager, self.now_ms);
        for _ in 0..self.copies(cut) {
            let delay = self.delay();
            self.within(delay, Happening::Request { connection, taskmanager, body: body.clone() });
        }
    }

    pub(crate) fn send_answer(&mut self, taskmanager: usize, life: u64, connection: u64, body: &Answer) {
        let cut = self.network.is_cut(taskmanager, Way::ToTaskManager, self.now_ms);
        for _ in 0..self.copies(cut) {
            let delay = self.delay();
            self.within(delay, Happening::Answer { taskmanager, life, connection, body: body.clone() });
        }
    }

    pub(crate) fn send_ask(&mut self, client: usize, connection: u64, body: &Ask) {
        for _ in 0..self.copies(false) {
            let delay = self.delay();
            self.within(delay, Happening::Asked { client, connection, body: body.clone() });
        }
    }

    pub(crate) fn send_reply(&mut self, client: usize, connection: u64, body: Reply) {
        for _ in 0..self.copies(false) {
            let delay = self.delay();
            self.within(delay, Happening::Replied { client, connection, body });
        }
    }

    /// The other end of a TaskManager's connection finds it closed, if it hears of it.
    pub(crate) fn close(&mut self, taskmanager: usize, connection: u64) {
        if !self.network.is_cut(taskmanager, Way::ToJobManager, self.now_ms) && !self.is_lost() {
            let delay = self.delay();
            self.within(delay, Happening::Closed { taskmanager, connection });
        }
    }
}
