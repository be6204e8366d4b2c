//! `wasmill standalone`: a JobManager and a TaskManager in one process. Other TaskManagers may join.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use serde::{Deserialize, Serialize};
use wasmill_cluster::{
    jobmanager::{Handle, Options},
    taskmanager::{self, Identity},
};
use wasmill_control::{agent, jobmanager};
use wasmill_runtime::Folders;
use wasmill_snapshot::copies;

use crate::{
    roles::{
        self, Interrupts,
        jobmanager::{ApiArguments, Server},
        taskmanager::processors,
    },
    tell,
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A file with the configuration, TOML: the keys that are printed at the start.
    #[arg(long, value_name = "FILE", env = "WASMILL_CONFIG_FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    api: ApiArguments,
    /// How many parallel instances of jobs run at once [default: the number of processors].
    #[arg(long, value_name = "N", env = "WASMILL_SLOTS", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    slots: Option<u32>,
    /// Where jobs and plugins are kept [default: wasmill/standalone in the user's data folder].
    #[arg(long, value_name = "DIR", env = "WASMILL_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Where checkpoints and savepoints are kept: a folder that is the same on all hosts [default: `checkpoints` in the data
    /// folder].
    #[arg(long, value_name = "DIR", env = "WASMILL_CHECKPOINTS")]
    checkpoints: Option<PathBuf>,
    /// How many bytes of snapshot files are kept beside the checkpoint store, so that jobs that begin again need not fetch them; 0
    /// for none [default: 1073741824, which is 1 GiB].
    #[arg(long, value_name = "BYTES", env = "WASMILL_LOCAL_COPIES_BYTES")]
    local_copies_bytes: Option<u64>,
}

/// How it is set up.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    slots: Option<u32>,
    data_dir: Option<PathBuf>,
    checkpoints: Option<PathBuf>,
    local_copies_bytes: Option<u64>,
    folders: Folders,
    control: jobmanager::Config,
    api: wasmill_api::Options,
}

/// Runs until it is told to end.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    roles::run_role(|| {
        let mut config: Config = roles::read_config(arguments.config.as_deref())?;
        config.api = arguments.api.apply(config.api);
        config.folders = arguments.api.folders(config.folders)?;
        let slots = arguments.slots.or(config.slots).unwrap_or_else(processors);
        config.slots = Some(slots);
        let copies_bytes = arguments.local_copies_bytes.or(config.local_copies_bytes).unwrap_or(copies::BYTES_DEFAULT);
        config.local_copies_bytes = Some(copies_bytes);
        let data_dir = arguments.data_dir.clone().or(config.data_dir);
        let data_dir = data_dir.map_or_else(|| roles::default_data_dir("standalone"), Ok)?;
        config.data_dir = Some(data_dir.clone());
        config.checkpoints = arguments.checkpoints.clone().or(config.checkpoints);
        let checkpoints = config.checkpoints.clone();
        roles::print_config("standalone", &config);
        let interrupts = Interrupts::new()?;
        let identity = Identity::begin(&data_dir.join("taskmanager")).map_err(|e| roles::coded(&e))?;
        let plugins = roles::plugin_store(&data_dir)?;
        // Neither may give the other up before itself.
        let agent = agent::Config { lease_ms: config.control.lease_ms, ..agent::Config::default() };
        let options = Options {
            data_dir,
            config: config.control,
            plugins: plugins.clone(),
            folders: config.folders,
            checkpoints,
        };
        let handle = Handle::start(options).map_err(|e| roles::coded(&e))?;
        let taskmanager = taskmanager::start_inside(&handle, identity, slots, agent, (plugins, copies_bytes));
        let mut taskmanager = taskmanager.map_err(|e| roles::coded(&e))?;
        let server = Server::start(config.api, handle.clone())?;
        tell(&format!("JobManager is ready at {}, with a TaskManager of {slots} slots\n", server.url));
        interrupts.wait();
        server.stop();
        taskmanager.shut_down();
        handle.shut_down();
        Ok(())
    })
}
