//! A cluster of processes on loopback: a JobManager and TaskManagers with ports and folders of their own, killed when it is dropped.

use std::{fmt, fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::{client::Client, process::Process, wait};
use crate::places::Places;

const LOOK: Duration = Duration::from_millis(10);
/// What stands before its address when a JobManager is ready.
const READY: &str = "JobManager is ready at ";
/// The plugin of all jobs here.
const COUNTER: &str = "keyed-counter";

/// How large a cluster is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) taskmanagers: usize,
    /// Of each TaskManager.
    pub(crate) slots: u32,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |many: bool| if many { "s" } else { "" };
        let (taskmanagers, slots) = (self.taskmanagers, self.slots);
        write!(f, "{taskmanagers} TaskManager{} of {slots} slot{}", plural(taskmanagers > 1), plural(slots > 1))
    }
}

/// A JobManager, its TaskManagers and how to speak with it. The processes end before their folder does.
pub(crate) struct Cluster {
    pub(crate) taskmanagers: Vec<Process>,
    pub(crate) jobmanager: Process,
    pub(crate) client: Client,
    url: String,
    size: Size,
    wasmill: PathBuf,
    folder: TempDir,
}

impl Cluster {
    /// A cluster that has no plugin.
    pub(crate) fn empty(places: &Places, size: Size) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("cluster-").tempdir_in(&places.folder);
        let folder = folder.with_context(|| format!("could not make a folder in {}", places.folder.display()))?;
        let arguments = ["jobmanager", "--listen", "127.0.0.1:0"].map(str::to_owned);
        let mut jobmanager = Process::start(&places.wasmill, &arguments, &folder.path().join("jobmanager"))?;
        let url = wait("the JobManager", LOOK, || Ok(address(&jobmanager.said()?)))?;
        let (client, wasmill) = (Client::new(&url), places.wasmill.clone());
        let mut cluster = Self { taskmanagers: Vec::new(), jobmanager, client, url, size, wasmill, folder };
        for place in 0..size.taskmanagers {
            let taskmanager = cluster.new_taskmanager(place)?;
            cluster.taskmanagers.push(taskmanager);
        }
        cluster.wait_for_all()?;
        Ok(cluster)
    }

    /// A cluster with the plugin of the jobs, `keyed-counter@1`.
    pub(crate) fn start(places: &Places, size: Size) -> Result<Self> {
        let cluster = Self::empty(places, size)?;
        cluster.client.push(&places.plugin(COUNTER), COUNTER)?;
        Ok(cluster)
    }

    /// The place of a TaskManager by what the cluster calls it.
    pub(crate) fn place_of(&self, worker: &str) -> Result<usize> {
        for (place, taskmanager) in self.taskmanagers.iter().enumerate() {
            let file = taskmanager.data().join("identity.json");
            let text = fs::read(&file).with_context(|| format!("could not read {}", file.display()))?;
            let identity: Value = serde_json::from_slice(&text).context("an identity is no JSON")?;
            if format!("taskmanager-{}", identity["taskmanager"]) == worker {
                return Ok(place);
            }
        }
        bail!("{worker} is none of ours")
    }

    /// Starts a TaskManager that was killed again, and waits until it is there.
    pub(crate) fn restart(&mut self, place: usize) -> Result<()> {
        self.taskmanagers[place] = self.new_taskmanager(place)?;
        self.wait_for_all()
    }

    /// Starts a TaskManager that was killed again; it comes when it can.
    pub(crate) fn start_again(&mut self, place: usize) -> Result<()> {
        self.taskmanagers[place] = self.new_taskmanager(place)?;
        Ok(())
    }

    /// Starts the JobManager that was killed again, where it was, and waits until it answers.
    pub(crate) fn start_jobmanager_again(&mut self) -> Result<()> {
        let listen = self.url.trim_start_matches("http://").to_owned();
        let arguments = ["jobmanager".to_owned(), "--listen".to_owned(), listen];
        self.jobmanager = Process::start(&self.wasmill, &arguments, &self.folder.path().join("jobmanager"))?;
        wait("the JobManager", LOOK, || Ok(address(&self.jobmanager.said()?))).map(drop)
    }

    /// CPU time of all TaskManagers so far.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        self.taskmanagers.iter().map(Process::cpu_seconds).sum()
    }

    fn new_taskmanager(&self, place: usize) -> Result<Process> {
        let slots = self.size.slots.to_string();
        let arguments = ["taskmanager", "--jobmanager", &self.url, "--slots", &slots].map(str::to_owned);
        Process::start(&self.wasmill, &arguments, &self.folder.path().join(format!("taskmanager-{place}")))
    }

    fn wait_for_all(&mut self) -> Result<()> {
        let Self { taskmanagers, client, size, .. } = self;
        wait(&size.to_string(), LOOK, || {
            taskmanagers.iter_mut().try_for_each(|taskmanager| taskmanager.said().map(drop))?;
            Ok((client.workers()?.len() == size.taskmanagers).then_some(()))
        })
    }
}

/// The address that a JobManager said, once the line is whole.
fn address(said: &str) -> Option<String> {
    let (_, rest) = said.split_once(READY)?;
    rest.split_once('\n').map(|(url, _)| url.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_when_its_line_is_whole() {
        assert_eq!(
            address("set up\nJobManager is ready at http://127.0.0.1:7\n").as_deref(),
            Some("http://127.0.0.1:7")
        );
        assert_eq!(address("JobManager is ready at http://127.0"), None);
        assert_eq!(address("set up\n"), None);
    }

    #[test]
    fn a_size_reads_well() {
        assert_eq!(Size { taskmanagers: 2, slots: 1 }.to_string(), "2 TaskManagers of 1 slot");
        assert_eq!(Size { taskmanagers: 1, slots: 2 }.to_string(), "1 TaskManager of 2 slots");
    }
}
