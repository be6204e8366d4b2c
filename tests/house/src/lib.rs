//! The rules of this repository that a program can check. `tests/rules.rs` checks the repository; beside each rule
//! stand tests that show it biting, so that a rule that says nothing is known to mean something.
//!
//! Each rule takes paths and texts and returns [`Finding`]s; only [`Tree`] reads files.

use std::{fmt, fs, path::Path, process::Command};

mod code;
mod layers;
mod links;
mod size;
mod words;

pub use code::{heads, names, unwraps};
pub use layers::layers;
pub use links::links;
pub use size::{files, functions};
pub use words::words;

/// A place where a rule is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Relative to the root of the repository.
    pub path: String,
    /// From 1; 0 where the whole file is meant.
    pub line: usize,
    pub message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// A text file of the repository.
#[derive(Debug, Clone)]
pub struct File {
    /// Relative to the root, with `/`.
    pub path: String,
    pub text: String,
}

impl File {
    /// A file that is not on disk.
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Its last component.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    fn has_ending(&self, ending: &str) -> bool {
        self.name().rsplit_once('.').is_some_and(|(_, found)| found == ending)
    }

    /// Whether it holds tests or benches and nothing that is shipped.
    fn is_test(&self) -> bool {
        let folders = self.path.split('/').rev().skip(1);
        self.name() == "tests.rs" || folders.into_iter().any(|folder| matches!(folder, "tests" | "benches"))
    }
}

/// All text files that are, or are about to be, part of the repository.
#[derive(Debug)]
pub struct Tree {
    pub files: Vec<File>,
    /// Every path, those of files that are not text too.
    pub paths: Vec<String>,
}

impl Tree {
    /// Reads the repository that this crate lies in: what git tracks, and new files that it does not ignore.
    ///
    /// # Panics
    /// If git cannot list the files: then nothing can be said about them.
    #[must_use]
    pub fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&root)
            .output()
            .expect("git can be started");
        assert!(output.status.success(), "git cannot list the files: {}", String::from_utf8_lossy(&output.stderr));
        let listed = String::from_utf8(output.stdout).expect("paths are UTF-8");
        let mut paths: Vec<String> = listed.split_terminator('\0').map(str::to_owned).collect();
        paths.retain(|path| root.join(path).is_file());
        paths.sort();
        paths.dedup();
        let read = |path: &String| Some(File::new(path, &fs::read_to_string(root.join(path)).ok()?));
        Self { files: paths.iter().filter_map(read).collect(), paths }
    }

    /// The Rust sources.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.has_ending("rs"))
    }
}
