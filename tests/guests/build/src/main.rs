//! Builds the contract guests that are not Rust: `target/guests/c-plain.wasm` and `target/guests/python-plain.wasm`.
//!
//! Usage: `wasmill-guests [name...]`, all of them if none is named. A guest is built again only when its sources, the
//! contract or this program have changed. What the tool chains need is installed where it is missing: packages of the
//! system for C, a virtual environment under `target/guests/` for Python.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Context, Result, bail};

mod c;
mod python;

/// A guest: its name and what builds it from its folder into the bytes of a component.
struct Guest {
    name: &'static str,
    build: fn(&Folders, &Path) -> Result<Vec<u8>>,
}

const GUESTS: [Guest; 2] =
    [Guest { name: "c-plain", build: c::build }, Guest { name: "python-plain", build: python::build }];

/// Where things are read from and written to.
struct Folders {
    /// The contract.
    wit: PathBuf,
    /// The sources, one folder a guest.
    sources: PathBuf,
    /// Finished guests, and below it what is needed on the way.
    output: PathBuf,
}

impl Folders {
    fn new() -> Result<Self> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("this crate stands beside the guests")?;
        let root = sources.parent().and_then(Path::parent).context("the guests stand two folders below the root")?;
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |target| root.join(target));
        let output = target.join("guests");
        fs::create_dir_all(&output).with_context(|| format!("could not make the folder {}", output.display()))?;
        Ok(Self { wit: root.join("wit"), sources: sources.to_owned(), output })
    }

    /// An empty folder for the intermediate files of a guest.
    fn work(&self, name: &str) -> Result<PathBuf> {
        let work = self.output.join("work").join(name);
        if work.exists() {
            fs::remove_dir_all(&work)?;
        }
        fs::create_dir_all(&work).with_context(|| format!("could not make the folder {}", work.display()))?;
        Ok(work)
    }
}

fn main() -> ExitCode {
    match run(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(names: &[String]) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| GUESTS.iter().all(|g| g.name != **name)) {
        bail!("there is no guest `{unknown}`, only {}", GUESTS.map(|g| g.name).join(", "));
    }
    let folders = Folders::new()?;
    for guest in GUESTS.iter().filter(|g| names.is_empty() || names.iter().any(|n| n == g.name)) {
        bring_up_to_date(&folders, guest).with_context(|| format!("could not build {}", guest.name))?;
    }
    Ok(())
}

/// Builds a guest unless the one that stands there was made from the same inputs.
fn bring_up_to_date(folders: &Folders, guest: &Guest) -> Result<()> {
    let source = folders.sources.join(guest.name);
    let made_from = inputs_hash(&[&source, &folders.wit, &folders.sources.join("build")])?;
    let component = folders.output.join(guest.name).with_extension("wasm");
    let stamp = folders.output.join(guest.name).with_extension("inputs");
    if component.exists() && fs::read_to_string(&stamp).is_ok_and(|old| old == made_from) {
        println!("{} is up to date", component.display());
        return Ok(());
    }
    let started = Instant::now();
    let bytes = (guest.build)(folders, &source)?;
    let unfinished = component.with_extension("unfinished");
    fs::write(&unfinished, &bytes)?;
    fs::rename(&unfinished, &component)?;
    fs::write(&stamp, made_from)?;
    println!("{}: {} bytes in {:.1} s", component.display(), bytes.len(), started.elapsed().as_secs_f64());
    Ok(())
}

/// A hash over these files, and over all files in these folders, names included.
fn inputs_hash(paths: &[&Path]) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut pending: Vec<PathBuf> = paths.iter().rev().map(|p| p.to_path_buf()).collect();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let mut entries = fs::read_dir(&path)?.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
            entries.sort();
            pending.extend(entries.into_iter().rev());
        } else {
            let bytes = fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            hasher.update(&(name.len() as u64).to_le_bytes()).update(name);
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Runs a tool to its end; its output is shown only if it fails.
fn run_tool(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("could not start {shown}"))?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        bail!("{shown} ended with {}:\n{}", output.status, String::from_utf8_lossy(&text).trim_end());
    }
    Ok(())
}
