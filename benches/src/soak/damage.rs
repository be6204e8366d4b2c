//! Damage to files of a job's newest checkpoint, and its repair: whoever has the right bytes can always put them back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{
    audit::{entries, folders},
    trouble::Random,
};

/// Files that are not what was written, each with what was.
pub(crate) struct Damage {
    /// Where they are put together before they get their names again.
    beside: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
    how: &'static str,
}

impl Damage {
    /// Flips a bit of a snapshot file that the job's newest checkpoint names, or of its manifest, cuts it, removes it or exchanges it
    /// with another one. Nothing if there is no checkpoint yet, or it has gone meanwhile.
    pub(crate) fn make(store: &Path, job: &str, random: &mut Random) -> Result<Option<Self>> {
        let Some(manifest) = newest(store, job)? else { return Ok(None) };
        let Ok(text) = fs::read(&manifest) else { return Ok(None) };
        let mut paths: Vec<PathBuf> = own_files(&text, job)?.iter().map(|name| store.join(name)).collect();
        paths.push(manifest);
        let path = paths.swap_remove(random.between(0, paths.len() as u64 - 1) as usize);
        let other = paths.into_iter().next();
        let Ok(bytes) = fs::read(&path) else { return Ok(None) };
        let mut files = vec![(path, bytes)];
        let bytes = &files[0].1;
        let most = bytes.len().saturating_sub(1) as u64;
        let (how, written) = match random.between(0, 3) {
            0 => {
                let (place, mut flipped) = (random.between(0, most) as usize, bytes.clone());
                flipped.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1 << random.between(0, 7));
                ("a bit is flipped of", Some(flipped))
            }
            1 => ("cut is", Some(bytes[..random.between(0, most) as usize].to_vec())),
            2 => ("removed is", None),
            _ => match other.and_then(|other| Some((fs::read(&other).ok()?, other))) {
                Some((written, other)) if written != *bytes => {
                    overwrite(&other, bytes)?;
                    files.push((other, written.clone()));
                    ("exchanged are", Some(written))
                }
                _ => return Ok(None),
            },
        };
        match written {
            Some(written) => overwrite(&files[0].0, &written)?,
            None => {
                fs::remove_file(&files[0].0).with_context(|| format!("could not remove {}", files[0].0.display()))?
            }
        }
        Ok(Some(Self { beside: store.with_extension("whole"), files, how }))
    }

    /// Puts back what was written. Where the folder is gone too the job has gone on without it.
    pub(crate) fn repair(&self) -> Result<()> {
        for (path, bytes) in &self.files {
            if path.parent().is_some_and(Path::is_dir) {
                let put = fs::write(&self.beside, bytes).and_then(|()| fs::rename(&self.beside, path));
                put.with_context(|| format!("could not repair {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// What was done to which files.
    pub(crate) fn shown(&self) -> String {
        let paths: Vec<String> = self.files.iter().map(|(path, _)| path.display().to_string()).collect();
        format!("{} {}", self.how, paths.join(" and "))
    }
}

fn overwrite(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("could not damage {}", path.display()))
}

/// The manifest of the newest checkpoint of a job; savepoints have their names in those of their manifests.
fn newest(store: &Path, job: &str) -> Result<Option<PathBuf>> {
    let mut newest: Option<(u64, PathBuf)> = None;
    for cluster in folders(store)? {
        for path in entries(&cluster.join(job).join("manifests"))? {
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            let is_manifest = path.extension().is_some_and(|ending| ending == "json");
            newest = newest.max(number.filter(|_| is_manifest).map(|number| (number, path)));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// The names of the files that were written by this job. Others are those of a savepoint, which nothing can stand in for.
fn own_files(manifest: &[u8], job: &str) -> Result<Vec<String>> {
    let manifest: Value = serde_json::from_slice(manifest).context("a manifest is no JSON")?;
    let vertices = manifest["vertices"].as_array().context("a manifest has no vertices")?;
    let files = vertices.iter().filter_map(|vertex| vertex["files"].as_array()).flatten();
    let names = files.filter_map(|file| file["name"].as_str());
    let part = format!("/{job}/files/");
    Ok(names.filter(|name| name.contains(&part)).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn files_of_the_newest_checkpoint_are_damaged_and_repaired() {
        let folder = tempfile::tempdir().expect("temporary folders can be made");
        let store = &folder.path().join("checkpoints");
        let write = |name: &str, text: &str| {
            let path = store.join(name);
            fs::create_dir_all(path.parent().expect("it has one")).expect("there is room");
            fs::write(path, text).expect("there is room");
        };
        let newest =
            r#"{"vertices":[{"name":"a","files":[{"name":"c/job-1/files/9/x"},{"name":"c/job-0/files/1/y"}]}]}"#;
        let files = [
            ("c/job-1/manifests/9.json", newest),
            ("c/job-1/manifests/8.json", "{}"),
            ("c/job-1/manifests/10-named.json", "{}"),
            ("c/job-1/files/9/x", "rows"),
            ("c/job-0/files/1/y", "rows"),
        ];
        let mut random = Random::new(1);
        assert!(Damage::make(store, "job-1", &mut random).expect("nothing is there").is_none());
        files.iter().for_each(|(name, text)| write(name, text));
        let changed = || -> Vec<&str> {
            let is_other =
                |(name, text): &&(&str, &str)| fs::read_to_string(store.join(name)).ok().as_deref() != Some(*text);
            files.iter().filter(is_other).map(|(name, _)| *name).collect()
        };
        let mut all = BTreeSet::new();
        for _ in 0..80 {
            let damage = Damage::make(store, "job-1", &mut random).expect("it can be read").expect("it is there");
            let found = changed();
            assert_eq!(found.len(), damage.files.len(), "{}: {found:?}", damage.shown());
            all.insert((found, damage.how));
            damage.repair().expect("it can be written");
            assert_eq!(changed(), [""; 0]);
        }
        let [manifest, snapshot] = [vec![files[0].0], vec![files[3].0]];
        let ways = ["a bit is flipped of", "cut is", "removed is"];
        let mut expected: BTreeSet<_> =
            ways.iter().flat_map(|how| [(manifest.clone(), *how), (snapshot.clone(), *how)]).collect();
        expected.insert((vec![files[0].0, files[3].0], "exchanged are"));
        assert_eq!(all, expected);
    }
}
