//! One process of a cluster: started with a data folder and a log of its own, killed when it is dropped, and what the system says of it.

use std::{
    env,
    ffi::OsStr,
    fmt,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal};

/// What begins the names of the variables that set the program up.
const VARIABLES: &str = "WASMILL_";

/// A process that runs.
pub(crate) struct Process {
    child: Child,
    data: PathBuf,
    log: PathBuf,
}

/// What a process holds of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    /// Its proportional share of memory: pages that several processes map are counted in parts.
    pub(crate) pss_bytes: u64,
    pub(crate) threads: usize,
    pub(crate) descriptors: usize,
}

impl Held {
    pub(crate) fn megabytes(&self) -> f64 {
        self.pss_bytes as f64 / 1e6
    }

    /// As a figure has it.
    pub(crate) fn values(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("pss_bytes", self.pss_bytes as f64),
            ("threads", self.threads as f64),
            ("descriptors", self.descriptors as f64),
        ]
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MB, {} threads, {} descriptors", self.megabytes(), self.threads, self.descriptors)
    }
}

impl Process {
    /// Starts `wasmill` with its data in a folder, which need not be there. Its log lies beside it, with those of processes that
    /// were there before under a number each.
    pub(crate) fn start(wasmill: &Path, arguments: &[String], data: &Path) -> Result<Self> {
        let log = data.with_extension("log");
        let earlier = (1..).map(|number| data.with_extension(format!("{number}.log"))).find(|path| !path.exists());
        if let Some(earlier) = earlier.filter(|_| log.exists()) {
            fs::rename(&log, &earlier).with_context(|| format!("could not rename {}", log.display()))?;
        }
        let file = File::create(&log).with_context(|| format!("could not make {}", log.display()))?;
        let mut command = Command::new(wasmill);
        command.args(arguments).arg("--data-dir").arg(data);
        for (name, _) in env::vars_os().filter(|(name, _)| is_of_the_program(name)) {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let child = command
            .spawn()
            .with_context(|| format!("could not start {}; `cargo xtask bench cluster` builds it", wasmill.display()))?;
        Ok(Self { child, data: data.to_owned(), log })
    }

    /// Where its data is.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// All that it has said; an error if it has ended.
    pub(crate) fn said(&mut self) -> Result<String> {
        let said = fs::read_to_string(&self.log).with_context(|| format!("could not read {}", self.log.display()))?;
        let ended = self.child.try_wait().context("could not ask for the end of a process")?;
        ensure!(ended.is_none(), "a process has ended:\n{said}");
        Ok(said)
    }

    /// Whether it has ended by itself, or was killed.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait().context("could not ask for the end of a process")?.is_some())
    }

    /// Where its log is.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Kills it at once, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().context("could not kill a process")?;
        self.child.wait().map(drop).context("could not wait for a process")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).context("could not send a signal to a process")
    }

    /// User and system time of all its threads so far.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let ticks = cpu_ticks(&self.read("stat")?).context("the system does not say what CPU time a process took")?;
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    pub(crate) fn held(&self) -> Result<Held> {
        let pss = pss_bytes(&self.read("smaps_rollup")?);
        Ok(Held {
            pss_bytes: pss.context("the system does not say what memory a process has")?,
            threads: self.count("task")?,
            descriptors: self.count("fd")?,
        })
    }

    fn read(&self, name: &str) -> Result<String> {
        let path = self.place(name);
        fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))
    }

    fn count(&self, name: &str) -> Result<usize> {
        let path = self.place(name);
        Ok(fs::read_dir(&path).with_context(|| format!("could not list {}", path.display()))?.count())
    }

    fn place(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has been killed before is gone already.
        let _ = self.kill();
    }
}

fn is_of_the_program(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with(VARIABLES)
}

/// The fields 14 and 15 of `/proc/PID/stat`. The second one, a name in parentheses, may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11).map(str::parse::<u64>);
    Some(fields.next()?.ok()? + fields.next()?.ok()?)
}

fn pss_bytes(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        let stat = "71 (a) b 9) S 1 71 71 0 -1 4194304 5 0 0 0 120 34 0 0 20 0 7 0 5 6 7";
        assert_eq!(cpu_ticks(stat), Some(154));
        assert_eq!(cpu_ticks("71 (a) S 1"), None);
        assert_eq!(pss_bytes("5555 7fff [rollup]\nRss:   9 kB\nPss:      8 kB\nPss_Dirty: 1 kB\n"), Some(8_192));
        assert_eq!(pss_bytes("Rss: 9 kB"), None);
    }

    #[test]
    fn a_process_is_measured_and_killed() {
        let folder = tempfile::tempdir().expect("temporary folders can be made");
        let script = "echo said >&2; exec sleep 60 #".to_owned();
        let mut process = Process::start(Path::new("sh"), &["-c".to_owned(), script], &folder.path().join("one"))
            .expect("sh is there");
        let said = super::super::wait("a word", std::time::Duration::from_millis(1), || {
            Ok(Some(process.said()?).filter(|said| !said.is_empty()))
        });
        assert_eq!(said.expect("it speaks"), "said\n");
        let held = process.held().expect("it runs");
        assert!(held.threads == 1 && held.descriptors >= 3 && held.pss_bytes > 0, "{held:?}");
        assert!(process.cpu_seconds().expect("it runs") < 10.0);
        process.kill().expect("it is ours");
        assert!(process.said().is_err());
    }
}
