//! Puts into the program what `wasmill new` writes: the Rust SDK in source with its contract, and the templates of
//! projects, each a list of paths and contents.

use std::{
    env,
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

/// What of the repository goes along, relative to its root. A path of a folder stands for all files in it.
const SDK: [&str; 7] = [
    "Cargo.toml",
    "LICENSE",
    "wit",
    "sdk/rust/Cargo.toml",
    "sdk/rust/src",
    "sdk/rust-macros/Cargo.toml",
    "sdk/rust-macros/src",
];

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = here.join("../..").canonicalize()?;
    let mut text = String::new();
    let lists = [("SDK", root.clone(), SDK.as_slice()), ("TEMPLATES", here.join("templates/rust"), &[""])];
    for (name, base, paths) in lists {
        let mut files = Vec::new();
        for path in paths {
            add(&base.join(path), &mut files)?;
        }
        files.sort();
        writeln!(text, "pub(super) const {name}: &[(&str, &str)] = &[").expect("text takes more");
        for file in files {
            let shown = file.strip_prefix(&base).expect("it was found below");
            writeln!(text, "    ({:?}, include_str!({:?})),", shown, file).expect("text takes more");
        }
        text.push_str("];\n");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("embedded.rs"), text)
}

/// All files in a folder, or the one file.
fn add(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", path.display());
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        add(&entry?.path(), files)?;
    }
    Ok(())
}
