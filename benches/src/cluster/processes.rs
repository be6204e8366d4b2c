//! A cluster of processes on loopback: a JobManager and TaskManagers with ports and folders of their own, killed when it is dropped.

use std::{
    fmt, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    client::Client,
    process::Process,
    proxy::{CONNECTIONS_MAX, Proxy},
    wait,
};
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

/// Ports that the system gives nobody by itself, so that they are still free when a process comes again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// The proxies by which others and a TaskManager reach each other.
pub(crate) struct Links {
    /// From it to the JobManager.
    pub(crate) jobmanager: Proxy,
    /// From other TaskManagers to it.
    pub(crate) data: Proxy,
    /// Where it listens itself.
    listen: SocketAddr,
}

impl Links {
    fn new(url: &str, place: usize) -> Result<Self> {
        let address = url.trim_start_matches("http://");
        let jobmanager = address.parse().with_context(|| format!("{address} is no address"))?;
        let listen = free_address(place)?;
        Ok(Self {
            jobmanager: Proxy::start(jobmanager, CONNECTIONS_MAX)?,
            data: Proxy::start(listen, CONNECTIONS_MAX)?,
            listen,
        })
    }

    /// The one to the JobManager, that of data, or, from 2 on, both.
    pub(crate) fn part(&self, number: u64) -> impl Iterator<Item = &Proxy> {
        let all = [&self.jobmanager, &self.data];
        all.into_iter()
            .enumerate()
            .filter(move |(place, _)| number >= 2 || *place as u64 == number)
            .map(|(_, proxy)| proxy)
    }
}

/// An address on loopback on which nobody listens. Where a search begins depends on this process and the place.
fn free_address(place: usize) -> Result<SocketAddr> {
    let count = usize::from(PORTS.end - PORTS.start);
    let first = (std::process::id() as usize * 16 + place * 4) % count;
    let mut addresses =
        (0..count).map(|n| SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.start + ((first + n) % count) as u16)));
    addresses.find(|address| TcpListener::bind(address).is_ok()).context("no port is free")
}

/// A JobManager, its TaskManagers and how to speak with it. The processes end before their folder does.
pub(crate) struct Cluster {
    pub(crate) taskmanagers: Vec<Process>,
    pub(crate) jobmanager: Process,
    pub(crate) client: Client,
    /// Of each TaskManager, in a cluster that has some.
    pub(crate) links: Vec<Arc<Links>>,
    url: String,
    size: Size,
    wasmill: PathBuf,
    folder: TempDir,
}

impl Cluster {
    /// A cluster that has no plugin.
    pub(crate) fn empty(places: &Places, size: Size) -> Result<Self> {
        Self::begin(places, size, false)
    }

    /// The same, and between its processes are proxies.
    pub(crate) fn linked(places: &Places, size: Size) -> Result<Self> {
        Self::begin(places, size, true)
    }

    fn begin(places: &Places, size: Size, with_links: bool) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("cluster-").tempdir_in(&places.folder);
        let folder = folder.with_context(|| format!("could not make a folder in {}", places.folder.display()))?;
        let arguments = ["jobmanager", "--listen", "127.0.0.1:0"].map(str::to_owned);
        let mut jobmanager = Process::start(&places.wasmill, &arguments, &folder.path().join("jobmanager"))?;
        let url = wait("the JobManager", LOOK, || Ok(address(&jobmanager.said()?)))?;
        let (client, wasmill) = (Client::new(&url), places.wasmill.clone());
        let (taskmanagers, links) = (Vec::new(), Vec::new());
        let mut cluster = Self { taskmanagers, jobmanager, client, links, url, size, wasmill, folder };
        for place in 0..size.taskmanagers {
            if with_links {
                cluster.links.push(Arc::new(Links::new(&cluster.url, place)?));
            }
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
        let mut arguments = ["taskmanager", "--slots", &slots, "--jobmanager"].map(str::to_owned).to_vec();
        match self.links.get(place).map(|links| &**links) {
            None => arguments.push(self.url.clone()),
            Some(Links { jobmanager, data, listen }) => {
                arguments.push(format!("http://{}", jobmanager.address()));
                arguments.extend(["--listen".to_owned(), listen.to_string()]);
                arguments.extend(["--advertise".to_owned(), data.address().to_string()]);
            }
        }
        Process::start(&self.wasmill, &arguments, &self.folder.path().join(format!("taskmanager-{place}")))
    }

    /// Where everything of its processes lies.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where checkpoints and savepoints lie.
    pub(crate) fn checkpoint_store(&self) -> PathBuf {
        self.jobmanager.data().join("checkpoints")
    }

    /// Leaves the folder where it is when the cluster is gone.
    pub(crate) fn keep_folder(&mut self) {
        self.folder.disable_cleanup(true);
    }

    /// An error if a process has ended by itself, with what it said.
    pub(crate) fn check(&mut self) -> Result<()> {
        for process in self.taskmanagers.iter_mut().chain([&mut self.jobmanager]) {
            if process.has_ended()? {
                let said = fs::read_to_string(process.log()).unwrap_or_default();
                bail!(
                    "a process has ended by itself; {} ends with:\n{}",
                    process.log().display(),
                    last_lines(&said, 10)
                );
            }
        }
        Ok(())
    }

    fn wait_for_all(&mut self) -> Result<()> {
        let Self { taskmanagers, client, size, .. } = self;
        wait(&size.to_string(), LOOK, || {
            taskmanagers.iter_mut().try_for_each(|taskmanager| taskmanager.said().map(drop))?;
            Ok((client.workers()?.len() == size.taskmanagers).then_some(()))
        })
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
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
    fn the_end_of_a_text_is_its_last_lines() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a", 2), "a");
    }

    #[test]
    fn an_address_that_is_taken_is_not_free() {
        let first = free_address(0).expect("there are ports");
        let _listener = TcpListener::bind(first).expect("it is free");
        let second = free_address(0).expect("there are ports");
        assert!(first != second && PORTS.contains(&second.port()), "{second}");
    }

    #[test]
    fn a_size_reads_well() {
        assert_eq!(Size { taskmanagers: 2, slots: 1 }.to_string(), "2 TaskManagers of 1 slot");
        assert_eq!(Size { taskmanagers: 1, slots: 2 }.to_string(), "1 TaskManager of 2 slots");
    }
}
