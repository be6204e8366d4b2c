//! What is watched: the job file, the projects of its operators, and components that others make.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, Sender},
};

use anyhow::Context;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::attempt::PluginFile;

/// Watches files and folders for changes that matter.
pub(super) struct Watch {
    /// The job file, absolute.
    job: PathBuf,
    files: Vec<PluginFile>,
    sender: Sender<Event>,
    events: Receiver<Event>,
    watcher: RecommendedWatcher,
}

impl Watch {
    /// Watches a job file.
    pub(super) fn new(job: PathBuf) -> anyhow::Result<Self> {
        let (sender, events) = mpsc::channel();
        let watcher = watcher(&job, &[], &sender)?;
        Ok(Self { job, files: Vec::new(), sender, events, watcher })
    }

    /// Watches these components, or the projects that make them, from now on, and no others. Folders that have come since
    /// the last time are watched too.
    pub(super) fn follow(&mut self, files: &[PluginFile]) -> anyhow::Result<()> {
        // While the job file cannot be read, it is not known what belongs to it.
        if !files.is_empty() {
            self.files = files.to_vec();
        }
        // The new one first: nothing is missed in between.
        self.watcher = watcher(&self.job, &self.files, &self.sender)?;
        Ok(())
    }

    /// Whether something has changed since the last time.
    pub(super) fn changed(&mut self) -> bool {
        let events: Vec<Event> = self.events.try_iter().collect();
        let is_change = |event: &Event| !matches!(event.kind, EventKind::Access(_));
        let mut paths = events.iter().filter(|event| is_change(event)).flat_map(|event| &event.paths);
        paths.any(|path| self.matters(path))
    }

    fn matters(&self, path: &Path) -> bool {
        path == self.job
            || self.files.iter().any(|file| match &file.project {
                Some(project) => path.strip_prefix(project).is_ok_and(is_source),
                None => path == file.wasm,
            })
    }
}

/// Whether a path within a project is something that may be compiled: not what cargo makes, nor what editors leave.
fn is_source(path: &Path) -> bool {
    let mut parts = path.iter().map(|part| part.to_string_lossy());
    let hidden = path.iter().any(|part| part.to_string_lossy().starts_with('.'));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let left = name.ends_with('~') || name.ends_with(".swp") || name.ends_with(".tmp") || name.starts_with('#');
    // Cargo writes it before it builds.
    let left = left || name == "Cargo.lock";
    !hidden && !left && parts.next().is_some_and(|first| first != "target")
}

fn watcher(job: &Path, files: &[PluginFile], sender: &Sender<Event>) -> anyhow::Result<RecommendedWatcher> {
    let sender = sender.clone();
    // An event that could not be read is one that is missed; nobody listens any more once the program ends.
    let handle = move |event: notify::Result<Event>| drop(event.map(|event| sender.send(event)));
    let mut watcher = notify::recommended_watcher(handle).context("could not watch for changes")?;
    let mut watch = |folder: &Path, mode| {
        watcher.watch(folder, mode).with_context(|| format!("could not watch {}", folder.display()))
    };
    // Folders, not files: editors put new files in the place of old ones.
    watch(job.parent().unwrap_or(Path::new("/")), RecursiveMode::NonRecursive)?;
    for file in files {
        let Some(project) = &file.project else {
            if let Some(folder) = file.wasm.parent().filter(|folder| folder.is_dir()) {
                watch(folder, RecursiveMode::NonRecursive)?;
            }
            continue;
        };
        watch(project, RecursiveMode::NonRecursive)?;
        for entry in fs::read_dir(project).into_iter().flatten().flatten() {
            // Thousands of folders stand in `target`.
            if entry.path().is_dir() && is_source(Path::new(&entry.file_name())) {
                watch(&entry.path(), RecursiveMode::Recursive)?;
            }
        }
    }
    Ok(watcher)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_or_left_by_editors_is_no_source() {
        for path in
            ["src/lib.rs", "Cargo.toml", "src/a/b.rs", "wasmill/wit/operator.wit", "src/target/x.rs", "build.rs"]
        {
            assert!(is_source(Path::new(path)), "{path}");
        }
        for path in [
            "target/debug/x",
            "target",
            "Cargo.lock",
            ".git/index",
            "src/.lib.rs.swp",
            "src/lib.rs~",
            "src/.#lib.rs",
            "",
            "src/#lib.rs#",
        ] {
            assert!(!is_source(Path::new(path)), "{path}");
        }
    }
}
