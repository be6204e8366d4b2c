//! What happens to a cluster while it runs a job.

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::Tally;
use crate::cluster::processes::Cluster;

/// Numbers that follow from a seed: the generator known as SplitMix64.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Both ends are possible.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    fn time(&mut self, least_ms: u64, most_ms: u64) -> Duration {
        Duration::from_millis(self.between(least_ms, most_ms))
    }
}

/// A cluster that runs a job, and what is done to it.
pub(crate) struct Trouble {
    cluster: Cluster,
    /// The job, or the one that has taken its place.
    id: String,
    settings: Vec<String>,
    state: String,
}

impl Trouble {
    pub(crate) fn new(cluster: Cluster, id: String, settings: Vec<String>) -> Self {
        Self { cluster, id, settings, state: String::new() }
    }

    pub(crate) fn state(&self) -> &str {
        &self.state
    }

    /// Whether the job has come to its end. While the JobManager is away nobody knows.
    pub(crate) fn has_finished(&mut self) -> Result<bool> {
        let Ok(job) = self.cluster.client.job(&self.id) else { return Ok(false) };
        let cause = job.summary.cause.as_ref().map_or("no cause", |cause| &cause.message);
        self.state = format!("{} is {}, {cause}", self.id, job.summary.state);
        ensure!(!matches!(job.summary.state.as_str(), "FAILED" | "CANCELLED" | "STOPPED"), "{}", self.state);
        Ok(job.summary.state == "FINISHED")
    }

    /// Lets something happen, and waits a little.
    pub(crate) fn make(&mut self, job: &str, random: &mut Random, tally: &mut Tally) -> Result<()> {
        thread::sleep(random.time(100, 2_500));
        match random.between(0, 19) {
            0..=8 => self.kill_taskmanager(random, tally),
            9..=11 => self.kill_jobmanager(random, tally),
            12..=14 => self.pause(random, tally),
            15..=17 => {
                // It may be restarting, or near its end: then there is nothing to rescale.
                let scaled = self.cluster.client.scale(&self.id, random.between(1, 4) as u32);
                tally.scales += u64::from(scaled.is_ok());
                Ok(())
            }
            _ => self.stop_and_go_on(job, tally),
        }
    }

    fn kill_taskmanager(&mut self, random: &mut Random, tally: &mut Tally) -> Result<()> {
        let place = random.between(0, self.cluster.taskmanagers.len() as u64 - 1) as usize;
        self.cluster.taskmanagers[place].kill()?;
        tally.kills += 1;
        thread::sleep(random.time(0, 1_500));
        self.cluster.start_again(place)
    }

    fn kill_jobmanager(&mut self, random: &mut Random, tally: &mut Tally) -> Result<()> {
        self.cluster.jobmanager.kill()?;
        tally.kills += 1;
        thread::sleep(random.time(0, 3_000));
        self.cluster.start_jobmanager_again()
    }

    /// Stops a process for a while, perhaps for longer than it may be silent.
    fn pause(&mut self, random: &mut Random, tally: &mut Tally) -> Result<()> {
        let all = self.cluster.taskmanagers.len() as u64;
        let process = match random.between(0, all) {
            place if place < all => &self.cluster.taskmanagers[place as usize],
            _ => &self.cluster.jobmanager,
        };
        process.signal(Signal::STOP)?;
        tally.pauses += 1;
        thread::sleep(random.time(50, 4_000));
        process.signal(Signal::CONT)
    }

    /// Ends the job with a savepoint, and begins another one from there.
    fn stop_and_go_on(&mut self, job: &str, tally: &mut Tally) -> Result<()> {
        let name = format!("s{}", tally.stops);
        if self.cluster.client.stop(&self.id, &name).is_err() {
            return Ok(());
        }
        let ended = super::super::cluster::wait("the job's end", Duration::from_millis(20), || {
            let Ok(job) = self.cluster.client.job(&self.id) else { return Ok(None) };
            let is_complete = job.summary.state == "FINISHED" || job.summary.savepoint.is_some();
            Ok((job.summary.ended_ms.is_some() && is_complete).then_some(job))
        })?;
        // It may have come to its end before.
        if ended.summary.state == "FINISHED" {
            return Ok(());
        }
        ensure!(ended.summary.state == "STOPPED", "{} was stopped, and is {}", self.id, ended.summary.state);
        tally.stops += 1;
        let next = self.cluster.client.submit_from(job, &self.settings, &name);
        self.id = next.with_context(|| format!("could not go on from savepoint {name}"))?;
        Ok(())
    }
}
