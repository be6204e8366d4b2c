//! Ctrl-C while a client waits: it says what becomes of what it waits for, and ends. Nothing in the cluster ends with it.

use std::{
    process,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use console::Term;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use wasmill_model::fault::Code;

use crate::{
    error::Error,
    output::{INTERRUPTED, tell},
};

/// What is said when a signal ends the client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<Mutex<String>>);

impl Interrupt {
    /// Ends the process at a signal from now on.
    pub(crate) fn watch() -> Result<Self, Error> {
        let error = |e: std::io::Error| Error::new(Code::SystemResources, format!("could not wait for signals: {e}"));
        let interrupt = Self::default();
        let said = interrupt.clone();
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(error)?;
        let wait = move || {
            if signals.forever().next().is_some() {
                if Term::stderr().is_term() {
                    // A line that changes may stand there.
                    tell("\n");
                }
                tell(&said.0.lock().unwrap_or_else(PoisonError::into_inner));
                process::exit(INTERRUPTED.into());
            }
        };
        thread::Builder::new().name("signals".into()).spawn(wait).map_err(error)?;
        Ok(interrupt)
    }

    /// What to say from now on.
    pub(crate) fn say(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}
