//! Audits of the bank: a savepoint is read without the cluster, and its books must be in order.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::bank::Books;

/// The operator of the bank that has the books.
const OPERATOR: &str = "accounts";

/// The manifest of a savepoint in a checkpoint store, if it is there.
pub(crate) fn manifest(store: &Path, savepoint: &str) -> Result<Option<PathBuf>> {
    let ending = format!("-{savepoint}.json");
    for cluster in folders(store)? {
        for job in folders(&cluster)? {
            let manifests = job.join("manifests");
            let found = entries(&manifests)?.into_iter().find(|path| path.to_string_lossy().ends_with(&ending));
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

/// The books of a savepoint, by `wasmill state export` of each of its files.
pub(crate) fn books(wasmill: &Path, store: &Path, manifest: &Path) -> Result<Books> {
    let text = fs::read(manifest).with_context(|| format!("could not read {}", manifest.display()))?;
    let manifest: Value = serde_json::from_slice(&text).context("a manifest is no JSON")?;
    let mut books = Books::default();
    for name in files(&manifest)? {
        let mut command = Command::new(wasmill);
        command.args(["state", "export"]).arg(store.join(&name));
        let output = command.output().with_context(|| format!("could not start {}", wasmill.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{name} of a savepoint cannot be read: {said}");
        let rows = String::from_utf8(output.stdout).context("a row is no text")?;
        rows.lines().try_for_each(|row| books.add(row)).with_context(|| format!("could not read {name}"))?;
    }
    Ok(books)
}

/// The names of the snapshot files with the books.
fn files(manifest: &Value) -> Result<Vec<String>> {
    let vertices = manifest["vertices"].as_array().context("a manifest has no vertices")?;
    let accounts = vertices.iter().find(|vertex| vertex["name"] == OPERATOR);
    let files = accounts.and_then(|vertex| vertex["files"].as_array()).context("a manifest has no accounts")?;
    files.iter().map(|file| Ok(file["name"].as_str().context("a file has no name")?.to_owned())).collect()
}

/// The folders in one.
pub(crate) fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// What is in a folder; nothing if it is not there.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let listed = fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))?;
    listed.map(|entry| Ok(entry.context("could not list a folder")?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_savepoint_is_found_by_its_name_and_says_its_files() {
        let folder = tempfile::tempdir().expect("temporary folders can be made");
        let manifests = folder.path().join("cluster-1/job-7/manifests");
        fs::create_dir_all(&manifests).expect("there is room");
        let text =
            r#"{"vertices":[{"name":"bids","files":[]},{"name":"accounts","files":[{"name":"a"},{"name":"b"}]}]}"#;
        for name in ["41.json", "43-audit-1.json", "44-audit-11.json"] {
            fs::write(manifests.join(name), text).expect("there is room");
        }
        let found = manifest(folder.path(), "audit-1").expect("it can be read");
        assert_eq!(found, Some(manifests.join("43-audit-1.json")));
        assert_eq!(manifest(folder.path(), "audit-2").expect("it can be read"), None);
        assert_eq!(files(&serde_json::from_str(text).expect("it is JSON")).expect("it has accounts"), ["a", "b"]);
        assert!(files(&serde_json::json!({ "vertices": [] })).is_err());
    }
}
