//! The roles of a cluster as processes: `wasmill jobmanager`, `wasmill taskmanager`, `wasmill standalone`.
//!
//! Each is set up by one struct. A key is taken from the flag, else from the environment, else from the configuration file,
//! else it has its default; what came of it is printed at the start. The first SIGTERM or Ctrl-C ends a role in order, the
//! second at once.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use rustix::process::{Resource, getrlimit, setrlimit};
use serde::{Serialize, de::DeserializeOwned};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use wasmill_model::fault::{Code, Coded};
use wasmill_plugin::PluginStore;

use crate::{Output, error::Error, plugins, refused, tell};

pub(crate) mod certs;
pub(crate) mod jobmanager;
pub(crate) mod standalone;
pub(crate) mod taskmanager;

/// The exit code of a process that was told twice to end.
const ENDED_AT_ONCE: i32 = 130;

/// Reads a configuration file; without one, everything has its default.
fn read_config<T: Default + DeserializeOwned>(file: Option<&Path>) -> Result<T, Error> {
    let Some(file) = file else { return Ok(T::default()) };
    let text = fs::read_to_string(file).map_err(|e| {
        Error::new(Code::FileUnreadable, format!("could not read the configuration {}: {e}", file.display()))
    })?;
    toml::from_str(&text)
        .map_err(|e| Error::new(Code::CommandLine, format!("could not read the configuration {}: {e}", file.display())))
}

/// Shows the configuration that a role runs with.
fn print_config(role: &str, config: &impl Serialize) {
    let text = toml::to_string(config).unwrap_or_else(|e| format!("# cannot be shown: {e}\n"));
    tell(&format!("wasmill {} {role}, set up as:\n{}\n", env!("CARGO_PKG_VERSION"), indented(text.trim_end())));
}

fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") }).collect()
}

/// A folder for a role's data where none is named.
fn default_data_dir(role: &str) -> Result<PathBuf, Error> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    let base = base.ok_or_else(|| {
        let message = "could not choose a data folder: there is no home folder\n  hint: name one by --data-dir";
        Error::new(Code::CommandLine, message)
    })?;
    Ok(base.join("wasmill").join(role))
}

/// The plugins of a role: compiled code in its data folder.
fn plugin_store(data_dir: &Path) -> Result<Arc<PluginStore>, Error> {
    plugins::store(Some(&data_dir.join("cache"))).map(Arc::new)
}

/// Lets the process have as many open files as the system allows: connections and threads need them.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With fewer it serves fewer.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// What a role needs to be told from outside: nothing but to end.
struct Interrupts(Signals);

impl Interrupts {
    /// From now on signals end the process by way of [`Interrupts::wait`].
    fn new() -> Result<Self, Error> {
        let signals = Signals::new([SIGINT, SIGTERM]);
        let failed = |e| Error::new(Code::SystemResources, format!("could not wait for signals: {e}"));
        signals.map(Self).map_err(failed)
    }

    /// Waits for the first signal. From then on the next one ends the process at once.
    fn wait(mut self) {
        let _ = self.0.forever().next();
        tell("ending; again to end at once\n");
        let again = move || {
            if self.0.forever().next().is_some() {
                std::process::exit(ENDED_AT_ONCE);
            }
        };
        // Without the thread a second signal is not heard.
        let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(again);
    }
}

/// Runs a role; what keeps it from starting is a refusal.
fn run_role(run: impl FnOnce() -> Result<(), Error>) -> ExitCode {
    raise_file_limit();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refused(&error, Output::Table),
    }
}

fn coded(error: &dyn Coded) -> Error {
    Error::new(error.code(), error.to_string())
}
