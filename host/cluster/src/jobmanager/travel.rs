//! Savepoints that go from one cluster to another as one file.

use std::io::Read;

use wasmill_model::fault::{Code, Coded};
use wasmill_rest::{Problem, Savepoint, Stored};
use wasmill_snapshot::{
    archive::{self, Export},
    manifest::Manifest,
    store::{Import, Store},
};

use crate::jobmanager::{
    keeper::{no_such, problem},
    savepoints::{check_name, check_not_of_a_job, find, shown},
};

/// A savepoint on its way out.
pub(crate) fn export(store: &Store, name: &str) -> Result<Export, Problem> {
    let entry = find(store, name)?.ok_or_else(|| no_such(name))?;
    store.export(&entry.name).map_err(|error| match error {
        archive::Error::Store(error) => problem(&error),
        error => Problem::of(500, &error),
    })
}

/// Reads a savepoint that was exported, and keeps its files where nobody sees them yet.
pub(crate) fn receive(store: &Store, name: &str, from: impl Read) -> Result<Import, Problem> {
    check_not_of_a_job(name)?;
    let mut refused = None;
    let look = |manifest: &Manifest| {
        refused = not_another(store, name, manifest).err();
        match &refused {
            Some(problem) => Err(archive::Error::Damaged { reason: problem.detail.clone() }),
            None => Ok(()),
        }
    };
    let read = store.import(from, look);
    read.map_err(|error| refused.unwrap_or_else(|| not_taken(name, &error)))
}

/// Makes it a savepoint of this name, unless there is one by now. The same that comes again, as when its answer was lost, is taken for
/// the one that is there.
pub(crate) fn take(store: &Store, name: &str, import: Import) -> Result<(Savepoint, Stored), Problem> {
    if not_another(store, name, import.manifest())? == Stored::Same {
        return Ok((crate::jobmanager::savepoints::get(store, name)?, Stored::Same));
    }
    let mut savepoint = shown(import.manifest(), true);
    name.clone_into(&mut savepoint.name);
    import.finish(name).map_err(|e| problem(&e))?;
    Ok((savepoint, Stored::New))
}

/// Refuses a name that another savepoint has.
fn not_another(store: &Store, name: &str, manifest: &Manifest) -> Result<Stored, Problem> {
    let there = match find(store, name)? {
        Some(entry) => store.manifest(&entry.name).ok(),
        None => None,
    };
    match there.is_some_and(|there| bare(&there) == bare(manifest)) {
        true => Ok(Stored::Same),
        false => check_name(store, name).map(|()| Stored::New),
    }
}

/// A manifest without what is of the place where it lies.
fn bare(manifest: &Manifest) -> Manifest {
    let mut bare = manifest.clone();
    bare.savepoint = None;
    let nowhere: wasmill_snapshot::store::Name = "nowhere".parse().expect("it is a name");
    for file in bare.vertices.iter_mut().flat_map(|vertex| &mut vertex.files) {
        file.name = nowhere.clone();
    }
    bare
}

/// What is wrong with the file is the fault of whoever sent it; all else is of this cluster.
fn not_taken(name: &str, error: &archive::Error) -> Problem {
    let status = match error.code() {
        Code::SavepointFileDamaged | Code::CheckpointVersion => 422,
        _ => 500,
    };
    let problem = Problem::of(status, error);
    Problem { detail: format!("could not import savepoint {name}: {}", problem.detail), ..problem }
}
