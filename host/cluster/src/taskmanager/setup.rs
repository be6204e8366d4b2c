//! Starting a TaskManager: its data plane first, so that it can say where others reach it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
};

use wasmill_control::agent::Config;
use wasmill_model::fault::{Code, Coded};
use wasmill_plugin::PluginStore;
use wasmill_runtime::{Network, checkpoint::Local, net, tls};
use wasmill_snapshot::copies::Copies;

use crate::{
    jobmanager::Handle,
    taskmanager::{
        Options, TaskManager,
        client::{Client, Remote, SetupError},
        identity::{Identity, IdentityError},
        polling::Say,
        reach::{is_loopback, own_address_towards},
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
    /// Where its data plane listens; port 0 takes any. None: on the address by which this host reaches the JobManager, on any port.
    pub listen: Option<SocketAddr>,
    /// Whether it may listen where others reach it although nothing shows who they are.
    pub insecure: bool,
    /// What others connect to, where that is not the address listened on.
    pub advertise: Option<String>,
    pub plugins: Arc<PluginStore>,
    /// Bytes of snapshot files that it keeps copies of.
    pub local_copies_bytes: u64,
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
    #[error(
        "could not listen on {listen} for other TaskManagers: others reach it too, and there is no TLS\n  hint: give --ca, --cert and \
         --key, or say that the network is closed by --insecure"
    )]
    UnsafeListen { listen: SocketAddr },
    #[error(
        "could not find out by which address this host reaches the JobManager at {url}: {reason}\n  hint: --listen ADDRESS:PORT says \
         where other TaskManagers reach this one"
    )]
    NoRoute { url: String, reason: String },
    #[error("could not make a folder for local copies: {0}")]
    Copies(io::Error),
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
            Self::UnsafeListen { .. } => Code::UnsafeListen,
            Self::NoRoute { .. } => Code::ListenFailed,
            Self::Copies(_) | Self::Thread(_) => Code::SystemResources,
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
    let Setup { identity, slots, config, remote, listen, insecure, advertise, plugins, local_copies_bytes, say } =
        setup;
    let client = Client::http(&remote)?;
    let tls = remote.tls.as_ref().map(tls::Tls::from_files).transpose()?;
    let own = || own_address_towards(&remote.url).map_err(|reason| Error::NoRoute { url: remote.url.clone(), reason });
    let listen = listen.map_or_else(|| own().map(|own| SocketAddr::new(own, 0)), Ok)?;
    if !listen.ip().is_loopback() && tls.is_none() && !insecure {
        return Err(Error::UnsafeListen { listen });
    }
    if remote.token_file.is_some() && !remote.url.starts_with("https:") && !is_loopback(&remote.url) {
        say(&format!("warning: the token goes to {} unencrypted: everybody on the way can read it", remote.url));
    }
    if listen.ip().is_loopback() && advertise.is_none() && !is_loopback(&remote.url) {
        say(&format!(
            "warning: TaskManagers on other hosts cannot reach this one on {}, and jobs that run on both fail; --listen says where",
            listen.ip()
        ));
    }
    // Nobody can connect to all addresses.
    let reached = (advertise.is_none() && listen.ip().is_unspecified()).then(own).transpose()?;
    let kept = (plugins, local_copies_bytes);
    start_with(identity, slots, config, client, (listen, reached, advertise, tls), kept, say)
}

/// Starts a TaskManager beside a JobManager of the same process. Both share their plugins. It keeps copies of so many bytes of snapshot
/// files.
pub fn start_inside(
    jobmanager: &Handle,
    identity: Identity,
    slots: u32,
    config: Config,
    (plugins, local_copies_bytes): (Arc<PluginStore>, u64),
) -> Result<TaskManager, Error> {
    let client = Client::Inside(jobmanager.inbox().clone());
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let kept = (plugins, local_copies_bytes);
    start_with(identity, slots, config, client, (listen, None, None, None), kept, Arc::new(|_: &str| {}))
}

fn start_with(
    identity: Identity,
    slots: u32,
    config: Config,
    client: Client,
    (listen, reached, advertise, tls): (SocketAddr, Option<IpAddr>, Option<String>, Option<tls::Tls>),
    (plugins, local_copies_bytes): (Arc<PluginStore>, u64),
    say: Say,
) -> Result<TaskManager, Error> {
    let (taskmanager, incarnation) = (identity.taskmanager, identity.incarnation);
    let copies = Copies::new(identity.scratch.make("copies").map_err(Error::Copies)?, local_copies_bytes);
    let local = Local { scratch: identity.scratch.folder().to_owned(), copies };
    let network = Network::start(net::Options { listen, tls, cluster: OnceLock::new(), taskmanager, incarnation })?;
    let mut own = network.address();
    own.set_ip(reached.unwrap_or(own.ip()));
    let address = advertise.unwrap_or_else(|| own.to_string());
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
        local: Some(local),
        log: None,
        say,
    })?)
}
