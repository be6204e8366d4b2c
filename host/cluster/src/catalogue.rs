//! The JobManager's durable memory: a redb database in its data folder, which nobody else can open while it runs.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `cluster` | the cluster's id, made once |
//! | `meta` | `epoch` | how often a JobManager was started on this folder |
//! | `jobs` | job | the JobManager's record of it, JSON |
//! | `payloads` | job | what was submitted and what was found when it was checked, JSON |
//! | `trials` | job | as `payloads`: the form to go back to if the new one does not start |
//! | `plugins` | `name@version` | the version, JSON |
//! | `stops` | job | the name of the savepoint that it is stopped with, until that is there |
//! | `drained` | TaskManager | nothing: it is to get no subtasks |
//!
//! Every change is durable (`Durability::Immediate`, with quick repair) when its call returns.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use redb::{Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};
use wasmill_control::jobmanager::JobRecord;
use wasmill_durable::{Point, step};
use wasmill_model::{
    fault::{Code, Coded},
    ids::{Epoch, JobId, TaskManagerId},
};

use crate::{payload::Payload, registry::PluginRecord};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const JOBS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("jobs");
const PAYLOADS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("payloads");
const TRIALS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("trials");
const PLUGINS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("plugins");
const STOPS: TableDefinition<'_, u64, &str> = TableDefinition::new("stops");
const DRAINED: TableDefinition<'_, u64, ()> = TableDefinition::new("drained");

/// The database's file in the data folder.
const FILE: &str = "catalogue.redb";

/// What went wrong with the catalogue.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not make the data folder {folder}: {source}")]
    Folder { folder: String, source: io::Error },
    #[error(
        "could not open the catalogue {file}: another JobManager runs on this data folder\n  hint: stop it, or give this one \
         a folder of its own with --data-dir"
    )]
    InUse { file: String },
    #[error("could not open the catalogue {file}: {source}")]
    Open { file: String, source: DatabaseError },
    #[error("could not make the catalogue {file}: {source}")]
    Create { file: String, source: io::Error },
    #[error("could not write the catalogue {file} anew after an error of its disk: {source}")]
    Renew { file: String, source: io::Error },
    #[error("could not {action} the catalogue: {source}")]
    Access { action: &'static str, source: Box<redb::Error> },
    #[error("could not read {entry} of the catalogue: {reason}")]
    Damaged { entry: String, reason: String },
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::InUse { .. } => Code::DataFolderInUse,
            _ => Code::CatalogueUnusable,
        }
    }
}

/// The open database. Calls wait for the disk.
#[derive(Debug)]
pub(crate) struct Catalogue {
    path: PathBuf,
    /// After an error of the disk a database takes nothing more: it is written anew and opened again. None: it could not be, and is
    /// tried with the next call.
    database: RwLock<Option<Database>>,
}

/// What a start of the JobManager finds.
pub(crate) struct Recovered {
    pub(crate) cluster: String,
    pub(crate) epoch: Epoch,
    pub(crate) jobs: Vec<(JobRecord, Option<Payload>)>,
    /// The forms that jobs go back to if their new ones do not start.
    pub(crate) previous: BTreeMap<JobId, Payload>,
    pub(crate) plugins: Vec<PluginRecord>,
    /// TaskManagers that are to get no subtasks.
    pub(crate) drained: Vec<TaskManagerId>,
    /// How the savepoints are to be called of jobs that are being stopped, or were, and have none yet.
    pub(crate) stops: BTreeMap<JobId, String>,
}

/// A durable change of a job.
#[derive(Debug)]
pub(crate) enum Change {
    /// The JobManager's record of a job, and what was submitted.
    Job { record: Box<JobRecord>, payloads: Payloads },
    /// The job is beyond the history.
    Forget(JobId),
    /// The savepoint is there that the job was stopped with.
    Kept(JobId),
}

/// What becomes of the submitted forms of a job.
#[derive(Debug)]
pub(crate) enum Payloads {
    Same,
    New(Arc<Payload>),
    /// The new one is on trial.
    Trial {
        new: Arc<Payload>,
        previous: Arc<Payload>,
    },
    /// The trial has gone well.
    Confirmed,
    /// It has not.
    Back(Arc<Payload>),
}

impl Catalogue {
    /// Opens the catalogue of a data folder, making both if they are not there.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(|source| Error::Folder { folder: folder.display().to_string(), source })?;
        let path = folder.join(FILE);
        let file = path.display().to_string();
        if !path.exists() {
            let named = |source| Error::Create { file: file.clone(), source };
            create(folder, &path).map_err(named)?;
        }
        let database = Database::open(&path).map_err(|source| match source {
            DatabaseError::DatabaseAlreadyOpen => Error::InUse { file },
            source => Error::Open { file, source },
        })?;
        Ok(Self { path, database: RwLock::new(Some(database)) })
    }

    /// Lets a call use the database, and opens it again if it fails.
    fn with_database<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, Error> {
        let failed = |source| Error::Access { action, source: Box::new(source) };
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.reopen()?;
        }
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let done = database.as_ref().map_or(Err(redb::Error::DatabaseClosed), work);
        drop(database);
        if done.is_err() {
            // Whether it can be opened shows with the next call; this one has failed in any case.
            let _ = self.reopen();
        }
        done.map_err(failed)
    }

    /// Opens the database again, from a file written anew. What a disk has refused once, the system may have forgotten: the old file
    /// can look whole, and be synced again without an error, and still lack pages after a loss of power.
    fn reopen(&self) -> Result<(), Error> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The file is locked as long as it is open.
        *database = None;
        let file = self.path.display().to_string();
        write_anew(&self.path).map_err(|source| Error::Renew { file: file.clone(), source })?;
        *database = Some(Database::open(&self.path).map_err(|source| Error::Open { file, source })?);
        Ok(())
    }

    /// Begins another life of the JobManager: counts it, and reads all that the earlier ones left.
    pub(crate) fn begin(&self) -> Result<Recovered, Error> {
        let (mut cluster, mut epoch) = (String::new(), 0);
        self.write("begin", |change| {
            let mut meta = change.open_table(META)?;
            cluster = match meta.get("cluster")? {
                Some(id) => String::from_utf8_lossy(id.value()).into_owned(),
                None => new_cluster_id(),
            };
            epoch = 1 + meta.get("epoch")?.map_or(0, |epoch| u64_of(epoch.value()));
            meta.insert("cluster", cluster.as_bytes())?;
            meta.insert("epoch", epoch.to_le_bytes().as_slice())?;
            // Tables that are there can be read without asking whether they are.
            change.open_table(JOBS)?;
            change.open_table(PAYLOADS)?;
            change.open_table(TRIALS)?;
            change.open_table(PLUGINS)?;
            change.open_table(STOPS)?;
            change.open_table(DRAINED)?;
            Ok(())
        })?;
        let jobs: Vec<(JobRecord, u64)> = self.all_jobs()?;
        let jobs = jobs.into_iter().map(|(record, id)| Ok((record, self.payload(JobId(id))?)));
        Ok(Recovered {
            cluster,
            epoch: Epoch(epoch),
            jobs: jobs.collect::<Result<_, Error>>()?,
            previous: self.trials()?,
            plugins: self.plugins()?,
            stops: self.stops()?,
            drained: self.drained()?,
        })
    }

    /// Makes changes of jobs durable, all together.
    pub(crate) fn change(&self, changes: &[Change]) -> Result<(), Error> {
        self.write("write to", |transaction| {
            let mut jobs = transaction.open_table(JOBS)?;
            let mut stored = transaction.open_table(PAYLOADS)?;
            let mut trials = transaction.open_table(TRIALS)?;
            let mut stops = transaction.open_table(STOPS)?;
            for change in changes {
                match change {
                    Change::Job { record, payloads } => {
                        jobs.insert(record.id.0, json(record).as_slice())?;
                        let id = record.id.0;
                        match payloads {
                            Payloads::Same => {}
                            Payloads::Confirmed => drop(trials.remove(id)?),
                            Payloads::New(new) => drop(stored.insert(id, json(&**new).as_slice())?),
                            Payloads::Trial { new, previous } => {
                                stored.insert(id, json(&**new).as_slice())?;
                                trials.insert(id, json(&**previous).as_slice())?;
                            }
                            Payloads::Back(previous) => {
                                stored.insert(id, json(&**previous).as_slice())?;
                                trials.remove(id)?;
                            }
                        }
                    }
                    Change::Forget(job) => {
                        jobs.remove(job.0)?;
                        stored.remove(job.0)?;
                        trials.remove(job.0)?;
                        stops.remove(job.0)?;
                    }
                    Change::Kept(job) => drop(stops.remove(job.0)?),
                }
            }
            Ok(())
        })
    }

    fn trials(&self) -> Result<BTreeMap<JobId, Payload>, Error> {
        let entries: Vec<(u64, Vec<u8>)> = self.with_database("read", |database| {
            let table = database.begin_read()?.open_table(TRIALS)?;
            table
                .iter()?
                .map(|found| found.map(|(job, bytes)| (job.value(), bytes.value().to_vec())).map_err(Into::into))
                .collect()
        })?;
        let entry = |(job, bytes): (u64, Vec<u8>)| {
            let job = JobId(job);
            Ok((job, parsed(&bytes, || format!("what was submitted as {job} before"))?))
        };
        entries.into_iter().map(entry).collect()
    }

    /// What was submitted for a job.
    pub(crate) fn payload(&self, job: JobId) -> Result<Option<Payload>, Error> {
        let bytes = self.with_database("read", |database| {
            let table = database.begin_read()?.open_table(PAYLOADS)?;
            Ok(table.get(job.0)?.map(|bytes| bytes.value().to_vec()))
        })?;
        bytes.map(|bytes| parsed(&bytes, || format!("what was submitted as {job}"))).transpose()
    }

    fn all_jobs(&self) -> Result<Vec<(JobRecord, u64)>, Error> {
        let entries: Vec<(u64, Vec<u8>)> = self.with_database("read", |database| {
            let table = database.begin_read()?.open_table(JOBS)?;
            let entry = |entry: Result<(redb::AccessGuard<'_, u64>, redb::AccessGuard<'_, &[u8]>), _>| {
                entry.map(|(id, bytes)| (id.value(), bytes.value().to_vec())).map_err(redb::Error::from)
            };
            table.iter()?.map(entry).collect()
        })?;
        entries.into_iter().map(|(id, bytes)| Ok((parsed(&bytes, || JobId(id).to_string())?, id))).collect()
    }

    fn plugins(&self) -> Result<Vec<PluginRecord>, Error> {
        let entries: Vec<(String, Vec<u8>)> = self.with_database("read", |database| {
            let table = database.begin_read()?.open_table(PLUGINS)?;
            let entry = |(name, bytes): (redb::AccessGuard<'_, &str>, redb::AccessGuard<'_, &[u8]>)| {
                (name.value().to_owned(), bytes.value().to_vec())
            };
            table.iter()?.map(|found| found.map(entry).map_err(redb::Error::from)).collect()
        })?;
        entries.into_iter().map(|(name, bytes)| parsed(&bytes, || format!("plugin {name}"))).collect()
    }

    pub(crate) fn put_plugin(&self, reference: &str, record: &PluginRecord) -> Result<(), Error> {
        self.write("write to", |change| {
            change.open_table(PLUGINS)?.insert(reference, json(record).as_slice())?;
            Ok(())
        })
    }

    pub(crate) fn remove_plugin(&self, reference: &str) -> Result<(), Error> {
        self.write("write to", |change| {
            change.open_table(PLUGINS)?.remove(reference)?;
            Ok(())
        })
    }

    /// Keeps how the savepoint is to be called that a job is stopped with.
    pub(crate) fn set_stop(&self, job: JobId, savepoint: &str) -> Result<(), Error> {
        self.write("write to", |change| {
            change.open_table(STOPS)?.insert(job.0, savepoint)?;
            Ok(())
        })
    }

    fn stops(&self) -> Result<BTreeMap<JobId, String>, Error> {
        self.with_database("read", |database| {
            let table = database.begin_read()?.open_table(STOPS)?;
            let entry = |(job, name): (redb::AccessGuard<'_, u64>, redb::AccessGuard<'_, &str>)| {
                (JobId(job.value()), name.value().to_owned())
            };
            table.iter()?.map(|found| found.map(entry).map_err(redb::Error::from)).collect()
        })
    }

    /// TaskManagers that are to get no subtasks.
    fn drained(&self) -> Result<Vec<TaskManagerId>, Error> {
        self.with_database("read", |database| {
            let table = database.begin_read()?.open_table(DRAINED)?;
            table.iter()?.map(|found| Ok(TaskManagerId(found?.0.value()))).collect()
        })
    }

    /// Keeps whether a TaskManager is to get no subtasks.
    pub(crate) fn set_drained(&self, taskmanager: TaskManagerId, drained: bool) -> Result<(), Error> {
        self.write("write to", |change| {
            let mut table = change.open_table(DRAINED)?;
            match drained {
                true => table.insert(taskmanager.0, ())?,
                false => table.remove(taskmanager.0)?,
            };
            Ok(())
        })
    }

    fn write(
        &self,
        action: &'static str,
        work: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), Error> {
        self.with_database(action, |database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            transaction.set_quick_repair(true);
            work(&transaction)?;
            step(Point::CatalogueCommit)?;
            transaction.commit()?;
            step(Point::CatalogueCommitted)?;
            Ok(())
        })
    }
}

/// Writes a file again, whole and durable, in place of itself. Not by a call that copies: on some file systems the copy would share
/// what was never written.
fn write_anew(path: &Path) -> io::Result<()> {
    let bytes = fs::read(path)?;
    let anew = path.with_extension("unfinished");
    let mut file = File::create(&anew)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&anew, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Makes an empty catalogue, which has its name once it is whole: a file that was begun is no database, and would never become one.
fn create(folder: &Path, path: &Path) -> io::Result<()> {
    let unfinished = tempfile::Builder::new().prefix("catalogue.").suffix(".unfinished").tempfile_in(folder)?;
    Database::create(unfinished.path()).and_then(Database::close).map_err(io::Error::other)?;
    match unfinished.persist_noclobber(path) {
        Ok(_) => File::open(folder)?.sync_all(),
        // Another JobManager has begun at the same time, and was first.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("its keys are text")
}

fn parsed<T: DeserializeOwned>(bytes: &[u8], entry: impl FnOnce() -> String) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|e| Error::Damaged { entry: entry(), reason: e.to_string() })
}

fn u64_of(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

fn new_cluster_id() -> String {
    use std::fmt::Write;
    let bytes: [u8; 8] = rand_bytes();
    bytes.iter().fold("cluster-".to_owned(), |mut id, byte| {
        write!(id, "{byte:02x}").expect("a string takes all that is written");
        id
    })
}

/// Bytes nobody can guess.
pub(crate) fn rand_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes
}

#[cfg(test)]
mod tests {
    use wasmill_control::jobmanager::{Desired, JobShape, Recovery, Restart};

    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn record(id: u64) -> JobRecord {
        let (name, chains) = ("words".to_owned(), vec![2, 1]);
        let (restart, checkpoints, from) = (Restart::Never, None, None);
        let shape = JobShape {
            name,
            chains,
            restart,
            checkpoints,
            from,
            from_visible: false,
            transactional: false,
            in_step: Vec::new(),
        };
        JobRecord {
            id: JobId(id),
            shape,
            submitted_ms: 7,
            desired: Desired::Run,
            end: None,
            restarts: 0,
            last_cause: None,
            version: 0,
            previous: None,
            recovery: Recovery::default(),
        }
    }

    fn payload() -> Payload {
        let plan = r#"{"name":"words","slots":2,"slots_free":0,"vertices":[],"edges":[],"warnings":[]}"#;
        let submission = r#"{"text":"[job]","base":"/srv"}"#;
        Payload {
            submission: serde_json::from_str(submission).expect("it is a submission"),
            found: wasmill_runtime::Found::default(),
            plan: serde_json::from_str(plan).expect("it is a plan"),
            key: Some("k".to_owned()),
        }
    }

    #[test]
    fn what_was_written_is_there_in_the_next_life_and_the_epoch_grows() {
        let folder = tempfile::tempdir().expect("a folder");
        let catalogue = Catalogue::open(folder.path()).expect("a new folder");
        let first = catalogue.begin().expect("it is empty");
        assert_eq!((first.epoch, first.jobs.len()), (Epoch(1), 0));
        let kept = Change::Job { record: Box::new(record(1)), payloads: Payloads::New(Arc::new(payload())) };
        let gone = Change::Job { record: Box::new(record(2)), payloads: Payloads::New(Arc::new(payload())) };
        catalogue.change(&[kept, gone, Change::Forget(JobId(2))]).expect("the disk takes it");
        for (id, drained) in [(1, true), (2, true), (1, false), (3, false)] {
            catalogue.set_drained(TaskManagerId(id), drained).expect("the disk takes it");
        }
        catalogue.reopen().expect("nobody else has it");
        assert_eq!(catalogue.payload(JobId(1)).expect("it can be read"), Some(payload()));
        catalogue.set_stop(JobId(1), "monday").expect("the disk takes it");
        drop(catalogue);
        let second = Catalogue::open(folder.path()).expect("it is free again").begin().expect("it can be read");
        assert_eq!((second.epoch, second.cluster), (Epoch(2), first.cluster));
        assert_eq!(second.jobs, [(record(1), Some(payload()))]);
        assert_eq!(second.drained, [TaskManagerId(2)]);
        assert_eq!(second.stops, BTreeMap::from([(JobId(1), "monday".to_owned())]));
    }

    #[test]
    fn after_an_error_of_the_disk_the_catalogue_is_another_file_with_all_that_was_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let catalogue = Catalogue::open(folder.path()).expect("a new folder");
        catalogue.begin().expect("it is empty");
        catalogue.set_stop(JobId(1), "monday").expect("the disk takes it");
        let file = || fs::metadata(folder.path().join(FILE)).expect("it is there").ino();
        let before = file();
        let failed = catalogue.with_database("write to", |_| Err::<(), _>(io::Error::other("a bad block").into()));
        assert!(failed.expect_err("the disk failed").to_string().contains("a bad block"));
        assert_ne!(file(), before, "what was not synced must not be trusted");
        catalogue.set_stop(JobId(2), "tuesday").expect("the disk takes it");
        drop(catalogue);
        let again = Catalogue::open(folder.path()).expect("it is free").begin().expect("it can be read");
        assert_eq!(again.stops.len(), 2);
        assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1, "nothing unfinished is left");
    }

    #[test]
    fn a_form_on_trial_is_kept_until_it_is_confirmed_or_taken_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let catalogue = Catalogue::open(folder.path()).expect("a new folder");
        let form = |key: &str| Arc::new(Payload { key: Some(key.to_owned()), ..payload() });
        let write = |payloads| {
            let change = Change::Job { record: Box::new(record(1)), payloads };
            catalogue.change(&[change]).expect("the disk takes it");
            let recovered = catalogue.begin().expect("it can be read");
            let key = |payload: &Payload| payload.key.clone().unwrap_or_default();
            let now = recovered.jobs[0].1.as_ref().map(key);
            (now, recovered.previous.get(&JobId(1)).map(key))
        };
        let text = |key: &str| Some(key.to_owned());
        assert_eq!(write(Payloads::New(form("a"))), (text("a"), None));
        assert_eq!(write(Payloads::Trial { new: form("b"), previous: form("a") }), (text("b"), text("a")));
        assert_eq!(write(Payloads::Same), (text("b"), text("a")));
        assert_eq!(write(Payloads::Back(form("a"))), (text("a"), None));
        assert_eq!(write(Payloads::Trial { new: form("c"), previous: form("a") }), (text("c"), text("a")));
        assert_eq!(write(Payloads::Confirmed), (text("c"), None));
    }

    /// A file that has no database in it would end every later start: only a whole catalogue has the name.
    #[test]
    fn a_catalogue_that_was_begun_and_never_became_one_is_in_nobodys_way() {
        let folder = tempfile::tempdir().expect("a folder");
        let begun = |name: &str| fs::write(folder.path().join(name), [0; 4096]).expect("the disk takes it");
        begun("catalogue.x.unfinished");
        drop(Catalogue::open(folder.path()).expect("what was begun has another name"));
        let catalogue = Catalogue::open(folder.path()).expect("it is whole");
        assert_eq!(catalogue.begin().expect("it is empty").epoch, Epoch(1));
        drop(catalogue);
        // Whoever comes second finds what the first has made.
        let path = folder.path().join(FILE);
        create(folder.path(), &path).expect("it is there");
        let again = Catalogue::open(folder.path()).expect("it is whole").begin().expect("it can be read");
        assert_eq!(again.epoch, Epoch(2));
        // What has no database in it is never taken for an empty one.
        begun(FILE);
        assert_eq!(Catalogue::open(folder.path()).expect_err("it is damaged").code(), Code::CatalogueUnusable);
        assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 2);
    }

    #[test]
    fn one_folder_has_one_catalogue() {
        let folder = tempfile::tempdir().expect("a folder");
        let _catalogue = Catalogue::open(folder.path()).expect("a new folder");
        let error = Catalogue::open(folder.path()).expect_err("it is in use");
        assert_eq!(error.code(), Code::DataFolderInUse);
    }
}
