//! The last part of the demo: a small cluster of real processes, a plugin uploaded with `curl`, a job deployed with the client.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{steps::run, tools, workspace::Workspace};

/// How long a process may take to be ready, and a job to end. Many times what they need.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(50);

/// Processes that end with the demo.
struct Cluster<'a> {
    wasmill: &'a Path,
    folder: PathBuf,
    url: String,
    processes: Vec<Child>,
}

/// Starts a cluster, runs a job on it, and ends it.
pub(super) fn run_job(workspace: &Workspace, wasmill: &Path, folder: PathBuf) -> Result<()> {
    let mut cluster = Cluster { wasmill, folder, url: String::new(), processes: Vec::new() };
    println!(
        "\nOne JobManager and two TaskManagers, each a process of its own, on loopback; what they say goes to {}.",
        workspace.shown(&cluster.folder).display()
    );
    cluster.start(&["jobmanager", "--listen", "127.0.0.1:0"], "jobmanager")?;
    cluster.url = cluster.wait_for_url()?;
    for name in ["taskmanager-1", "taskmanager-2"] {
        let url = cluster.url.clone();
        cluster.start(&["taskmanager", "--jobmanager", &url, "--slots", "1"], name)?;
    }
    cluster.wait(|workers| workers["items"].as_array().is_some_and(|all| all.len() == 2), &["workers"])?;

    println!("\nUpload an operator, as anybody can who speaks HTTP:");
    cluster.upload(workspace)?;
    println!("\nDeploy a job that counts ten million bids by bidder, over an exchange between both:");
    let set = "operator.count.plugin=keyed-counter@1.0.0";
    run(cluster.client(&["deploy", "examples/nexmark/keyed-count.toml", "--set", set]).current_dir(&workspace.root))?;
    cluster.wait(|job| job["state"] == "FINISHED", &["status", "job-1"])?;
    run(&mut cluster.client(&["status", "job-1"]))?;
    println!("\nThe same cluster by hand: docs/start/cluster.md");
    Ok(())
}

impl Cluster<'_> {
    fn start(&mut self, arguments: &[&str], name: &str) -> Result<()> {
        let data = self.folder.join(name);
        let log =
            File::create(data.with_extension("log")).with_context(|| format!("could not write a log of {name}"))?;
        let mut command = Command::new(self.wasmill);
        command.args(arguments).arg("--data-dir").arg(&data);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        println!("$ wasmill {} --data-dir {name}", arguments.join(" "));
        self.processes.push(command.spawn().with_context(|| format!("could not start {name}"))?);
        Ok(())
    }

    /// The JobManager says where it listens.
    fn wait_for_url(&self) -> Result<String> {
        let log = self.folder.join("jobmanager.log");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let said =
                text.lines().find_map(|line| line.split_once("is ready at ")).map(|(_, url)| url.trim().to_owned());
            if let Some(url) = said {
                return Ok(url);
            }
            thread::sleep(LOOK);
        }
        bail!("the JobManager did not come up; it says why in {}", log.display())
    }

    /// A verb of the client, on this cluster.
    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.wasmill);
        command.args(arguments).args(["--server", &self.url]);
        command
    }

    /// Waits until what a verb prints as JSON is as it should be.
    fn wait(&self, is_there: impl Fn(&Value) -> bool, arguments: &[&str]) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let output = self.client(arguments).args(["-o", "json"]).output()?;
            if serde_json::from_slice(&output.stdout).is_ok_and(|value| is_there(&value)) {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        bail!("`wasmill {}` did not show what it should within {PATIENCE:?}", arguments.join(" "))
    }

    fn upload(&self, workspace: &Workspace) -> Result<()> {
        let plugin = "target/plugins/keyed-counter.wasm";
        let mut curl = Command::new("curl");
        if !tools::answers(curl.arg("--version")) {
            println!("(there is no curl here: the client does the same)");
            let push = ["plugin", "push", plugin, "--name", "keyed-counter", "--version", "1.0.0"];
            return run(self.client(&push).current_dir(&workspace.root));
        }
        let to = format!("{}/v1/plugins/keyed-counter/versions/1.0.0", self.url);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--noproxy", "*", "--upload-file", plugin]);
        curl.args(["--header", "content-type: application/wasm", &to]);
        run(curl.current_dir(&workspace.root))?;
        println!();
        Ok(())
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // One that has ended by itself cannot be killed, and need not be.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
