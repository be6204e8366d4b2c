//! `wasmill jobmanager`: takes plugins and jobs over HTTP, and has TaskManagers run them.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Args;
use serde::{Deserialize, Serialize};
use wasmill_api::Running;
use wasmill_cluster::jobmanager::{Handle, Options};
use wasmill_control::jobmanager;
use wasmill_model::fault::Code;
use wasmill_runtime::Folders;

use crate::{
    error::Error,
    roles::{self, Interrupts},
    tell,
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A file with the configuration, TOML: the keys that are printed at the start.
    #[arg(long, value_name = "FILE", env = "WASMILL_CONFIG_FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) api: ApiArguments,
    /// Where jobs and plugins are kept [default: wasmill/jobmanager in the user's data folder].
    #[arg(long, value_name = "DIR", env = "WASMILL_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Where checkpoints and savepoints are kept: a folder that is the same on all hosts [default: `checkpoints` in the data
    /// folder].
    #[arg(long, value_name = "DIR", env = "WASMILL_CHECKPOINTS")]
    checkpoints: Option<PathBuf>,
}

/// Flags of the server.
#[derive(Debug, Args)]
pub(crate) struct ApiArguments {
    /// The address and port to listen on. One that others reach needs --tokens and TLS [default: 127.0.0.1:7420].
    #[arg(long, value_name = "ADDRESS", env = "WASMILL_LISTEN")]
    listen: Option<SocketAddr>,
    /// A file of mode 0600 with a line `ROLE TOKEN` for each token: viewer, deployer, admin, or worker for TaskManagers.
    #[arg(long, value_name = "FILE", env = "WASMILL_TOKENS")]
    tokens: Option<PathBuf>,
    /// The server's certificate, PEM. With --tls-key it serves TLS.
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "WASMILL_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "WASMILL_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// TaskManagers must show a certificate of this authority, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "WASMILL_TLS_CLIENT_CA")]
    tls_client_ca: Option<PathBuf>,
    /// Listen where others reach it without tokens or TLS: whoever reaches it may run code.
    #[arg(long)]
    insecure: bool,
    /// A folder whose files jobs may read and write, also those in its folders; may be given more than once [default: all that
    /// the TaskManagers' user may].
    #[arg(long = "folder", value_name = "DIR")]
    folders: Vec<PathBuf>,
}

/// How a JobManager is set up.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Where jobs and plugins are kept.
    data_dir: Option<PathBuf>,
    /// Where checkpoints and savepoints are kept, the same on all hosts.
    checkpoints: Option<PathBuf>,
    /// Where jobs may read and write files; if there is none, wherever the TaskManagers may.
    folders: Folders,
    control: jobmanager::Config,
    api: wasmill_api::Options,
}

impl ApiArguments {
    /// Where jobs may read and write files.
    pub(crate) fn folders(&self, configured: Folders) -> Result<Folders, Error> {
        let folders = if self.folders.is_empty() { configured } else { Folders::new(self.folders.clone()) };
        folders.resolved().map_err(|e| Error::new(Code::FileUnreadable, e.to_string()))
    }

    /// What the flags and the environment say goes before what the file says.
    pub(crate) fn apply(&self, mut options: wasmill_api::Options) -> wasmill_api::Options {
        options.listen = self.listen.unwrap_or(options.listen);
        options.tokens = self.tokens.clone().or(options.tokens);
        options.insecure |= self.insecure;
        if let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) {
            let (certificate, key) = (certificate.clone(), key.clone());
            options.tls = Some(wasmill_api::options::Tls { certificate, key, client_ca: self.tls_client_ca.clone() });
        }
        options
    }
}

/// Runs until it is told to end.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    roles::run_role(|| {
        let mut config: Config = roles::read_config(arguments.config.as_deref())?;
        config.api = arguments.api.apply(config.api);
        config.folders = arguments.api.folders(config.folders)?;
        let data_dir = arguments.data_dir.clone().or(config.data_dir);
        let data_dir = data_dir.map_or_else(|| roles::default_data_dir("jobmanager"), Ok)?;
        config.data_dir = Some(data_dir.clone());
        config.checkpoints = arguments.checkpoints.clone().or(config.checkpoints);
        let checkpoints = config.checkpoints.clone();
        roles::print_config("jobmanager", &config);
        let interrupts = Interrupts::new()?;
        let plugins = roles::plugin_store(&data_dir)?;
        let options = Options { data_dir, config: config.control, plugins, folders: config.folders, checkpoints };
        let handle = Handle::start(options).map_err(|e| roles::coded(&e))?;
        let server = Server::start(config.api, handle.clone())?;
        tell(&format!("JobManager is ready at {}\n", server.url));
        interrupts.wait();
        server.stop();
        handle.shut_down();
        Ok(())
    })
}

/// The HTTP server on threads of its own.
pub(crate) struct Server {
    pub(crate) url: String,
    runtime: tokio::runtime::Runtime,
    running: Running,
}

impl Server {
    pub(crate) fn start(options: wasmill_api::Options, handle: Handle) -> Result<Self, Error> {
        let threads = |e| Error::new(Code::SystemResources, format!("could not start the server's threads: {e}"));
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).thread_name("api").enable_all().build().map_err(threads)?;
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let running = runtime.block_on(wasmill_api::serve(options, handle)).map_err(|e| roles::coded(&e))?;
        let url = format!("{scheme}://{}", running.address());
        Ok(Self { url, runtime, running })
    }

    /// Requests under way are finished, no new ones are taken.
    pub(crate) fn stop(self) {
        self.runtime.block_on(self.running.shut_down());
        self.runtime.shutdown_background();
    }
}
