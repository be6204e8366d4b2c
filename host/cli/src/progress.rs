//! How something that takes a while comes along: a line that changes on a terminal, a line now and then elsewhere.

use std::cell::RefCell;

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    harmless,
    output::tell,
    terminal::{Color, Terminal},
};

/// An upload, on standard error.
#[derive(Debug)]
pub(crate) struct Upload {
    bar: Option<ProgressBar>,
}

impl Upload {
    /// Of so many bytes.
    pub(crate) fn new(what: &str, bytes: u64) -> Self {
        let terminal = Terminal::stderr(Color::Auto);
        let bar = terminal.redraws.then(|| {
            let bar = ProgressBar::new(bytes);
            let ends = if terminal.unicode { "█░" } else { "= " };
            // At 60 columns there is room for a name of 20.
            let style = ProgressStyle::with_template("{msg:20!} [{bar:12}] {binary_bytes}/{binary_total_bytes}");
            bar.set_style(style.expect("the template is well formed").progress_chars(ends));
            bar.set_message(harmless::line(what, 200));
            bar
        });
        Self { bar }
    }

    /// So many bytes are gone.
    pub(crate) fn gone(&self, bytes: u64) {
        let Some(bar) = &self.bar else { return };
        bar.set_position(bytes);
        if Some(bytes) == bar.length() {
            bar.set_style(ProgressStyle::with_template("{msg} is being checked").expect("the template is well formed"));
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A job on its way to a state, on standard error.
#[derive(Debug)]
pub(crate) struct States {
    bar: Option<ProgressBar>,
    said: RefCell<String>,
}

impl States {
    pub(crate) fn new() -> Self {
        let bar = Terminal::stderr(Color::Auto).redraws.then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(ProgressStyle::with_template("{spinner} {msg} {elapsed}").expect("it is well formed"));
            bar
        });
        Self { bar, said: RefCell::new(String::new()) }
    }

    /// Tells where the job is.
    pub(crate) fn show(&self, text: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(text.to_owned());
                bar.tick();
            }
            None if *self.said.borrow() != text => {
                tell(&format!("{text}\n"));
                text.clone_into(&mut self.said.borrow_mut());
            }
            None => {}
        }
    }
}

impl Drop for States {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
