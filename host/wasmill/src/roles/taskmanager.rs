//! `wasmill taskmanager`: runs what a JobManager says.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZero,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use serde::{Deserialize, Serialize};
use wasmill_cluster::taskmanager::{self, Identity, Remote};
use wasmill_control::agent;
use wasmill_runtime::tls::TlsFiles;
use wasmill_snapshot::copies;

use crate::{
    roles::{self, Interrupts},
    tell,
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A file with the configuration, TOML: the keys that are printed at the start.
    #[arg(long, value_name = "FILE", env = "WASMILL_CONFIG_FILE")]
    config: Option<PathBuf>,
    /// The JobManager [default: http://127.0.0.1:7420].
    #[arg(long, value_name = "URL", env = "WASMILL_JOBMANAGER")]
    jobmanager: Option<String>,
    /// How many parallel instances of jobs run here at once [default: the number of processors].
    #[arg(long, value_name = "N", env = "WASMILL_SLOTS", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    slots: Option<u32>,
    /// Where its identity and compiled plugins are kept [default: wasmill/taskmanager in the user's data folder].
    #[arg(long, value_name = "DIR", env = "WASMILL_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// How many bytes of snapshot files are kept beside the checkpoint store, so that jobs that begin again here need not fetch
    /// them; 0 for none [default: 1073741824, which is 1 GiB].
    #[arg(long, value_name = "BYTES", env = "WASMILL_LOCAL_COPIES_BYTES")]
    local_copies_bytes: Option<u64>,
    /// The address, and the port if it matters, on which other TaskManagers reach it. One that others reach needs TLS [default:
    /// the address by which this host reaches the JobManager].
    #[arg(long, value_name = "ADDRESS", env = "WASMILL_LISTEN", value_parser = address)]
    listen: Option<SocketAddr>,
    /// What others are told to connect to, where that is not the address listened on.
    #[arg(long, value_name = "HOST:PORT", env = "WASMILL_ADVERTISE")]
    advertise: Option<String>,
    /// A file with a worker's token.
    #[arg(long, value_name = "FILE", env = "WASMILL_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// The certificate of the cluster's authority, PEM. With --cert and --key, connections to the JobManager and between
    /// TaskManagers are TLS, and both sides show who they are.
    #[arg(long, value_name = "FILE", requires_all = ["cert", "key"], env = "WASMILL_TLS_CA")]
    ca: Option<PathBuf>,
    /// This TaskManager's certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "ca", env = "WASMILL_TLS_CERT")]
    cert: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[arg(long, value_name = "FILE", requires = "ca", env = "WASMILL_TLS_KEY")]
    key: Option<PathBuf>,
    /// Listen where others reach it without TLS: whoever reaches it may send rows into jobs.
    #[arg(long)]
    insecure: bool,
}

/// An address with a port or without one, which takes any.
fn address(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse::<SocketAddr>();
    with_port.or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0))).map_err(|error| error.to_string())
}

/// How a TaskManager is set up.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    jobmanager: String,
    slots: u32,
    data_dir: Option<PathBuf>,
    local_copies_bytes: u64,
    listen: Option<SocketAddr>,
    insecure: bool,
    advertise: Option<String>,
    token_file: Option<PathBuf>,
    control: agent::Config,
    tls: Option<Tls>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            jobmanager: "http://127.0.0.1:7420".to_owned(),
            slots: processors(),
            data_dir: None,
            local_copies_bytes: copies::BYTES_DEFAULT,
            listen: None,
            insecure: false,
            advertise: None,
            token_file: None,
            control: agent::Config::default(),
            tls: None,
        }
    }
}

/// Slots where nothing else is said.
pub(crate) fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |count: NonZero<usize>| count.get() as u32)
}

/// Runs until it is told to end.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    roles::run_role(|| {
        let mut config: Config = roles::read_config(arguments.config.as_deref())?;
        config.jobmanager = arguments.jobmanager.clone().unwrap_or(config.jobmanager);
        config.slots = arguments.slots.unwrap_or(config.slots);
        config.local_copies_bytes = arguments.local_copies_bytes.unwrap_or(config.local_copies_bytes);
        config.listen = arguments.listen.or(config.listen);
        config.insecure |= arguments.insecure;
        config.advertise = arguments.advertise.clone().or(config.advertise);
        config.token_file = arguments.token_file.clone().or(config.token_file);
        if let (Some(ca), Some(cert), Some(key)) = (&arguments.ca, &arguments.cert, &arguments.key) {
            config.tls = Some(Tls { ca: ca.clone(), cert: cert.clone(), key: key.clone() });
        }
        let data_dir = arguments.data_dir.clone().or(config.data_dir);
        let data_dir = data_dir.map_or_else(|| roles::default_data_dir("taskmanager"), Ok)?;
        config.data_dir = Some(data_dir.clone());
        roles::print_config("taskmanager", &config);
        let interrupts = Interrupts::new()?;
        let identity = Identity::begin(&data_dir).map_err(|e| roles::coded(&e))?;
        let (id, url) = (identity.taskmanager, config.jobmanager.clone());
        let tls = config.tls.map(|Tls { ca, cert, key }| TlsFiles { ca, certificate: cert, key });
        let mut taskmanager = taskmanager::start(taskmanager::Setup {
            identity,
            slots: config.slots,
            config: config.control,
            remote: Remote { url: config.jobmanager, token_file: config.token_file, tls },
            listen: config.listen,
            insecure: config.insecure,
            advertise: config.advertise,
            plugins: roles::plugin_store(&data_dir)?,
            local_copies_bytes: config.local_copies_bytes,
            say: Arc::new(|line: &str| tell(&format!("{line}\n"))),
        })
        .map_err(|e| roles::coded(&e))?;
        let slots = if config.slots == 1 { "slot" } else { "slots" };
        tell(&format!(
            "{id} runs {} {slots} for {url}; other TaskManagers reach it on {}\n",
            config.slots,
            taskmanager.address()
        ));
        interrupts.wait();
        taskmanager.shut_down();
        Ok(())
    })
}
