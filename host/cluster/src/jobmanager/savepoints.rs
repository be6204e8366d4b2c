//! Savepoints: checkpoints with a name, whose files are their own.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use wasmill_model::{
    fault::Code,
    ids::{CheckpointId, JobId},
};
use wasmill_rest::{Problem, Savepoint};
use wasmill_snapshot::{
    file::{Kind, Meta, Reader, Writer},
    manifest::{Manifest, SnapshotFile, Vertex, is_savepoint_name},
    merge::{Merge, Tombstones},
    store::{Entry, Name, Origin, Store},
};

use crate::jobmanager::{
    keeper::{checkpoint_of, no_such, problem},
    now_ms,
};

/// A savepoint that was made.
pub(crate) struct Made {
    pub(crate) job: JobId,
    pub(crate) manifest: Name,
    pub(crate) files: BTreeSet<Name>,
}

/// Whether a savepoint may have this name, and none has it.
pub(crate) fn check_name(store: &Store, name: &str) -> Result<(), Problem> {
    if !is_savepoint_name(name) {
        let detail = format!("could not name a savepoint `{name}`: expected 1 to 63 letters, digits, `-` and `_`");
        return Err(Problem::new(422, Code::RequestMalformed, detail));
    }
    match find(store, name) {
        Ok(Some(_)) => {
            let detail = format!("could not make savepoint {name}: there is one of this name");
            let hint = format!("take another name, or remove it: wasmill savepoint rm {name}");
            Err(Problem::new(409, Code::SavepointExists, detail).with_hint(hint))
        }
        Ok(None) => Ok(()),
        Err(problem) => Err(problem),
    }
}

/// Whether somebody may give a savepoint this name. That of a job stands for the job where one begins from it: only what is kept of a
/// job that was stopped has it.
pub(crate) fn check_given_name(store: &Store, name: &str) -> Result<(), Problem> {
    check_not_of_a_job(name)?;
    check_name(store, name)
}

/// `--from job-7` is to mean a job of this cluster.
pub(crate) fn check_not_of_a_job(name: &str) -> Result<(), Problem> {
    if name.parse::<JobId>().is_err() {
        return Ok(());
    }
    let detail = format!("could not name a savepoint {name}: a job of this cluster goes by that name, or may one day");
    Err(Problem::new(422, Code::RequestMalformed, detail).with_hint("give it a name of its own"))
}

/// The savepoint of a name.
pub(crate) fn find(store: &Store, name: &str) -> Result<Option<Entry>, Problem> {
    let entries = store.savepoints().map_err(|e| problem(&e))?;
    Ok(entries.into_iter().find(|entry| entry.savepoint.as_deref() == Some(name)))
}

/// What `--from` names: a savepoint; or, as `job-7` and `job-7/1.41`, the newest checkpoint of a job or a certain one.
pub(crate) fn resolve(store: &Store, name: &str) -> Result<Entry, Problem> {
    if let Some(entry) = find(store, name)? {
        return Ok(entry);
    }
    let (job, number) = checkpoint_of(name).ok_or_else(|| no_such(name))?;
    let mut entries = store.manifests(job).map_err(|e| problem(&e))?.into_iter();
    let found = entries.find(|entry| number.is_none_or(|number| entry.checkpoint == number));
    found.ok_or_else(|| no_such(name))
}

/// The job that a manifest's name says it is of.
pub(crate) fn job_of(manifest: &Name) -> Option<JobId> {
    manifest.parts().nth_back(2)?.parse().ok()
}

/// Refuses to begin from what lacks files, or has files that are too short or too long. Whether they have the bytes that they
/// should have, whoever reads them finds out.
pub(crate) fn check_files(store: &Store, from: &str, manifest: &Name) -> Result<(), Problem> {
    let manifest = store.manifest(manifest).map_err(|e| problem(&e))?;
    let there = store.beside(manifest.files().map(|file| &file.name)).map_err(|e| problem(&e))?;
    let there: BTreeMap<Name, u64> = there.into_iter().map(|listed| (listed.name, listed.bytes)).collect();
    for file in manifest.files() {
        let reason = match there.get(&file.name) {
            Some(bytes) if *bytes == file.bytes => continue,
            Some(bytes) => format!("file {} of it is {bytes} bytes long, and should be {}", file.name, file.bytes),
            None => format!("file {} of it is not there", file.name),
        };
        let detail = format!("could not begin from {from}: {reason}");
        let problem = Problem::new(409, Code::CheckpointDamaged, detail);
        return Err(problem.with_hint("put the file back, or begin from another one: wasmill savepoint ls"));
    }
    Ok(())
}

/// All savepoints, the newest first. Those that cannot be read are left out.
pub(crate) fn all(store: &Store) -> Result<Vec<Savepoint>, Problem> {
    let entries = store.savepoints().map_err(|e| problem(&e))?;
    let manifests = entries.iter().filter_map(|entry| Some((entry, store.manifest(&entry.name).ok()?)));
    let mut savepoints: Vec<Savepoint> =
        manifests.map(|(entry, manifest)| shown(&manifest, store.is_imported(&entry.name))).collect();
    savepoints.sort_by(|a, b| (b.time_ms, &b.name).cmp(&(a.time_ms, &a.name)));
    Ok(savepoints)
}

/// One savepoint.
pub(crate) fn get(store: &Store, name: &str) -> Result<Savepoint, Problem> {
    let entry = find(store, name)?.ok_or_else(|| no_such(name))?;
    let manifest = store.manifest(&entry.name).map_err(|e| problem(&e))?;
    Ok(shown(&manifest, store.is_imported(&entry.name)))
}

/// Removes a savepoint with its files.
pub(crate) fn remove(store: &Store, name: &str) -> Result<(), Problem> {
    let entry = find(store, name)?.ok_or_else(|| no_such(name))?;
    // Of one that cannot be read nobody knows the files.
    let files = store.manifest(&entry.name).map(|manifest| {
        let names = manifest.files().map(|file| file.name.clone());
        names.collect::<Vec<Name>>()
    });
    store.delete([&entry.name]).map_err(|e| problem(&e))?;
    store.delete(files.iter().flatten()).map_err(|e| problem(&e))
}

/// Makes a savepoint of a checkpoint: the same, with a name and in files of its own, but for what sinks had prepared. That is visible by
/// now, and nobody else's business: other jobs begin from savepoints, elsewhere even. What is on its way lies in the scratch folder.
pub(crate) fn make(store: &Store, scratch: &Path, of: &str, name: &str) -> Result<(Made, Savepoint), Problem> {
    let of: Name = of.parse().map_err(|_| no_such(of))?;
    let checkpoint = store.manifest(&of).map_err(|e| problem(&e))?;
    if let Some(made) = made_before(store, &checkpoint, name)? {
        return Ok(made);
    }
    check_name(store, name)?;
    let mut savepoint = Manifest { savepoint: Some(name.to_owned()), ..checkpoint };
    for subtask in savepoint.vertices.iter_mut().flat_map(|vertex| &mut vertex.subtasks) {
        subtask.transaction = None;
    }
    let copied = copy_files(store, scratch, &mut savepoint);
    copied.map_err(|reason| {
        Problem::new(500, Code::CheckpointStore, format!("could not make savepoint {name} of {of}: {reason}"))
    })?;
    let manifest = store.put_manifest(&savepoint).map_err(|e| problem(&e))?;
    let files = savepoint.files().map(|file| file.name.clone()).collect();
    Ok((Made { job: savepoint.job, manifest, files }, shown(&savepoint, false)))
}

/// The savepoint of this name, if it is of this very checkpoint: whoever made it died before it could be told.
fn made_before(store: &Store, checkpoint: &Manifest, name: &str) -> Result<Option<(Made, Savepoint)>, Problem> {
    let Some(entry) = find(store, name)? else { return Ok(None) };
    let there = store.manifest(&entry.name).map_err(|e| problem(&e))?;
    let of = |manifest: &Manifest| (manifest.cluster.clone(), manifest.job, manifest.checkpoint);
    if of(&there) != of(checkpoint) || store.is_imported(&entry.name) {
        return Ok(None);
    }
    let files = there.files().map(|file| file.name.clone()).collect();
    Ok(Some((Made { job: there.job, manifest: entry.name, files }, shown(&there, false))))
}

fn copy_files(store: &Store, scratch: &Path, manifest: &mut Manifest) -> Result<(), String> {
    let (cluster, job, checkpoint) = (manifest.cluster.clone(), manifest.job, manifest.checkpoint);
    let key_groups = manifest.key_groups;
    for vertex in &mut manifest.vertices {
        if !vertex.files.is_empty() {
            let meta = Meta {
                cluster: cluster.clone(),
                job,
                operator: vertex.name.clone(),
                subtask: 0,
                parallelism: 1,
                key_groups_all: key_groups,
                key_groups: 0..key_groups,
                checkpoint,
                kind: Kind::Full,
                engine: env!("CARGO_PKG_VERSION").to_owned(),
                time_ms: now_ms(),
            };
            vertex.files = vec![merged(store, scratch, vertex, &meta)?];
        }
    }
    Ok(())
}

/// All rows of a vertex in one file.
fn merged(store: &Store, scratch: &Path, vertex: &Vertex, meta: &Meta) -> Result<SnapshotFile, String> {
    let failed = |e| format!("could not make a folder in {}: {e}", scratch.display());
    let folder = tempfile::tempdir_in(scratch).map_err(failed)?;
    let path = folder.path().join("savepoint");
    let text = |e: wasmill_snapshot::file::Error| e.to_string();
    let mut writer = Writer::create(&path, meta, &vertex.schema).map_err(text)?;
    for segment in vertex.segments(meta.key_groups.clone()) {
        let mut inputs = Vec::new();
        for (number, file) in segment.files.iter().enumerate() {
            let local = folder.path().join(number.to_string());
            store.fetch(&file.name, &file.expected(), &local).map_err(|e| e.to_string())?;
            let reader = Reader::open(&local, &file.expected()).map_err(text)?;
            inputs.push(reader.rows(segment.key_groups.clone()).map_err(text)?);
        }
        let mut merge = Merge::new(inputs, Tombstones::Drop).map_err(text)?;
        merge.write(&mut writer).map_err(text)?;
    }
    let written = writer.finish().map_err(text)?;
    let origin = Origin { job: meta.job, checkpoint: meta.checkpoint, operator: &meta.operator, subtask: 0 };
    let name = store.put(&path, &written, &origin).map_err(|e| e.to_string())?;
    Ok(SnapshotFile {
        name,
        bytes: written.bytes,
        blake3: written.blake3,
        key_groups: meta.key_groups.clone(),
        kind: Kind::Full,
        checkpoint: meta.checkpoint,
    })
}

/// A savepoint as people see it.
pub(crate) fn shown(manifest: &Manifest, is_imported: bool) -> Savepoint {
    let is_unfinished = |vertex: &&Vertex| {
        let mut subtasks = vertex.subtasks.iter();
        subtasks.any(|subtask| subtask.unfinished.is_some() || subtask.left_behind)
    };
    let unfinished = manifest.vertices.iter().filter(is_unfinished).map(|vertex| vertex.name.clone());
    Savepoint {
        cluster: is_imported.then(|| manifest.cluster.clone()),
        unfinished: unfinished.collect(),
        name: manifest.savepoint.clone().unwrap_or_default(),
        job: manifest.job.to_string(),
        job_name: job_name(manifest),
        checkpoint: checkpoint_name(manifest.job, manifest.checkpoint),
        time_ms: manifest.time_ms,
        engine: manifest.engine.clone(),
        state_bytes: manifest.files().map(|file| file.bytes).sum(),
        operators: manifest.vertices.iter().map(|vertex| vertex.name.clone()).collect(),
    }
}

fn job_name(manifest: &Manifest) -> String {
    let settings = wasmill_model::settings::Settings::parse(std::path::Path::new("job.toml"), &manifest.job_file.text);
    let name = settings
        .ok()
        .and_then(|settings| Some(settings.get("job")?.table().ok()?.get("name")?.string().ok()?.to_owned()));
    name.unwrap_or_default()
}

/// A manifest as `--from` names it, by its name in the store.
pub(crate) fn shown_name(manifest: &str) -> String {
    let mut parts = manifest.rsplit('/');
    let stem = parts.next().and_then(|file| file.strip_suffix(".json"));
    if let Some((_, savepoint)) = stem.and_then(|stem| stem.split_once('-')) {
        return format!("savepoint {savepoint}");
    }
    match (stem.and_then(|stem| stem.parse().ok()), parts.nth(1)) {
        (Some(checkpoint), Some(job)) => format!("{job}/{}", CheckpointId(checkpoint).number()),
        _ => manifest.to_owned(),
    }
}

/// A checkpoint as `--from` names it.
pub(crate) fn checkpoint_name(job: JobId, checkpoint: CheckpointId) -> String {
    format!("{job}/{}", checkpoint.number())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_shown_as_people_name_them() {
        assert_eq!(shown_name("cluster-1/job-7/manifests/4294967303.json"), "job-7/1.7");
        assert_eq!(shown_name("cluster-1/job-7/manifests/4294967303-before-v2.json"), "savepoint before-v2");
        assert_eq!(shown_name("something else"), "something else");
    }
}
