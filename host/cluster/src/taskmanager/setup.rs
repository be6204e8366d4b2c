//! Starting a TaskManager: its data plane first, so that it can say where others reach it.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use wasmill_control::agent::Config;
use wasmill_model::fault::{Code, Coded};
use wasmill_plugin::PluginStore;
use wasmill_runtime::{Network, net, tls};

use crate::{
    jobmanager::Handle,
    taskmanager::{
        Options, TaskManager,
        client::{Client, Remote, SetupError},
        identity::{Identity, IdentityError},
        polling::Say,
    },
};

/// What a TaskManager in a process of its own needs.
#[expect(missing_debug_implementations, reason = "a function has none")]
pub struct Setup {
    pub identity: Identity,
    /// Parallel instances of jobs that run at once.
    pub slots: u32,
    pub config: Config,
    pub remote: Remote,
    /// Where its data plane listens; port 0 takes any.
    pub listen: SocketAddr,
    /// What others connect to, where that is not the address listened on.
    pub advertise: Option<String>,
    pub plugins: Arc<PluginStore>,
    /// Hears what whoever runs the process should know.
    pub say: Say,
}

/// Why a TaskManager cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Client(#[from] SetupError),
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error(transparent)]
    Network(#[from] net::Error),
    #[error("could not start a thread: {0}")]
    Thread(#[from] io::Error),
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Client(SetupError::File { .. }) => Code::FileUnreadable,
            Self::Client(SetupError::NoCertificate { .. }) => Code::TlsFile,
            Self::Tls(error) => error.code(),
            Self::Network(error) => error.code(),
            Self::Thread(_) => Code::SystemResources,
        }
    }
}

impl Coded for IdentityError {
    fn code(&self) -> Code {
        match self {
            Self::InUse { .. } => Code::DataFolderInUse,
            Self::Folder { .. } => Code::CatalogueUnusable,
        }
    }
}

/// Starts a TaskManager that reaches its JobManager over HTTP.
pub fn start(setup: Setup) -> Result<TaskManager, Error> {
    let Setup { identity, slots, config, remote, listen, advertise, plugins, say } = setup;
    let client = Client::http(&remote)?;
    let tls = remote.tls.as_ref().map(tls::Tls::from_files).transpose()?;
    start_with(identity, slots, config, client, (listen, advertise, tls), (plugins, say))
}

/// Starts a TaskManager beside a JobManager of the same process. Both share their plugins.
pub fn start_inside(
    jobmanager: &Handle,
    identity: Identity,
    slots: u32,
    config: Config,
    plugins: Arc<PluginStore>,
) -> Result<TaskManager, Error> {
    let client = Client::Inside(jobmanager.inbox().clone());
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    start_with(identity, slots, config, client, (listen, None, None), (plugins, Arc::new(|_: &str| {})))
}

fn start_with(
    identity: Identity,
    slots: u32,
    config: Config,
    client: Client,
    (listen, advertise, tls): (SocketAddr, Option<String>, Option<tls::Tls>),
    (plugins, say): (Arc<PluginStore>, Say),
) -> Result<TaskManager, Error> {
    let (taskmanager, incarnation) = (identity.taskmanager, identity.incarnation);
    let network = Network::start(net::Options { listen, tls, cluster: OnceLock::new(), taskmanager, incarnation })?;
    let address = advertise.unwrap_or_else(|| network.address().to_string());
    Ok(TaskManager::start(Options {
        taskmanager,
        incarnation,
        slots,
        config,
        client,
        plugins: Some(plugins),
        network: Some(Arc::new(network)),
        address,
        identity: Some(identity),
        log: None,
        say,
    })?)
}
