//! The fail points: where each stands, and in which role.

use std::fmt;

/// The role in which a point is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    JobManager,
    TaskManager,
}

impl Role {
    /// As it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::JobManager => "JobManager",
            Self::TaskManager => "TaskManager",
        }
    }
}

const JOBMANAGER: &[Role] = &[Role::JobManager];
const TASKMANAGER: &[Role] = &[Role::TaskManager];
/// A TaskManager's checkpoints, the JobManager's savepoints.
const BOTH: &[Role] = &[Role::JobManager, Role::TaskManager];

/// A step towards something durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    CatalogueCommit,
    CatalogueCommitted,
    RegistrySync,
    RegistryName,
    RegistryNamed,
    SnapshotSync,
    SnapshotName,
    SnapshotNamed,
    FileSync,
    FileName,
    FileNamed,
    ManifestSync,
    ManifestName,
    ManifestNamed,
    ManifestStored,
    SavepointStored,
    StoreDelete,
    StoreDeleted,
    PartWritten,
    SinkCreate,
    SinkWrite,
    SinkSync,
    SinkSynced,
    SinkResume,
    SinkPublish,
    SinkPublished,
    SinkFolder,
    IdentitySync,
    IdentityName,
    IdentityNamed,
}

/// What there is to say of a point.
struct About {
    name: &'static str,
    roles: &'static [Role],
    /// Whether what stands here can be refused by a disk. Where it cannot, an error has nobody who would take it.
    can_fail: bool,
    when: &'static str,
}

impl Point {
    /// All of them, in the order in which the protocols are.
    pub const ALL: [Self; 30] = [
        Self::CatalogueCommit,
        Self::CatalogueCommitted,
        Self::RegistrySync,
        Self::RegistryName,
        Self::RegistryNamed,
        Self::SnapshotSync,
        Self::SnapshotName,
        Self::SnapshotNamed,
        Self::FileSync,
        Self::FileName,
        Self::FileNamed,
        Self::ManifestSync,
        Self::ManifestName,
        Self::ManifestNamed,
        Self::ManifestStored,
        Self::SavepointStored,
        Self::StoreDelete,
        Self::StoreDeleted,
        Self::PartWritten,
        Self::SinkCreate,
        Self::SinkWrite,
        Self::SinkSync,
        Self::SinkSynced,
        Self::SinkResume,
        Self::SinkPublish,
        Self::SinkPublished,
        Self::SinkFolder,
        Self::IdentitySync,
        Self::IdentityName,
        Self::IdentityNamed,
    ];

    /// As it is written in `FAILPOINTS`.
    pub fn name(self) -> &'static str {
        self.about().name
    }

    /// Where it is met.
    pub fn roles(self) -> &'static [Role] {
        self.about().roles
    }

    /// Whether a disk can refuse what is done there.
    pub fn can_fail(self) -> bool {
        self.about().can_fail
    }

    /// Between which steps it stands.
    pub fn when(self) -> &'static str {
        self.about().when
    }

    fn about(self) -> &'static About {
        &ABOUT[self as usize]
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const fn about(name: &'static str, roles: &'static [Role], can_fail: bool, when: &'static str) -> About {
    About { name, roles, can_fail, when }
}

/// In the order of the points.
const ABOUT: [About; 30] = [
    about("catalogue.commit", JOBMANAGER, true, "before a transaction of the catalogue is committed"),
    about("catalogue.committed", JOBMANAGER, true, "the commit is durable, and nobody was told"),
    about("registry.sync", JOBMANAGER, true, "before the bytes of a plugin that came are synced"),
    about("registry.name", JOBMANAGER, true, "they are synced, and still have no name"),
    about("registry.named", JOBMANAGER, true, "they have their name, before the folder is synced"),
    about("snapshot.sync", BOTH, true, "a snapshot file is written, before it is synced"),
    about("snapshot.name", BOTH, true, "it is synced, before it has its name"),
    about("snapshot.named", BOTH, true, "it has its name, before its folder is synced"),
    about(
        "store.file.sync",
        BOTH,
        true,
        "a snapshot file is copied into the checkpoint store, before the copy is synced",
    ),
    about("store.file.name", BOTH, true, "the copy is synced, before it has its name"),
    about("store.file.named", BOTH, true, "it has its name, before its folder is synced"),
    about("manifest.sync", JOBMANAGER, true, "a manifest is written, before it is synced"),
    about("manifest.name", JOBMANAGER, true, "it is synced, before it has its name"),
    about("manifest.named", JOBMANAGER, true, "it has its name, before its folder is synced"),
    about("manifest.stored", JOBMANAGER, false, "a checkpoint is durable, and nobody was told"),
    about("savepoint.stored", JOBMANAGER, false, "a savepoint is durable, and nobody was told"),
    about("store.delete", JOBMANAGER, true, "before a file or a manifest of the checkpoint store is removed"),
    about("store.deleted", JOBMANAGER, true, "it is removed, before its folder is synced"),
    about(
        "part.written",
        TASKMANAGER,
        false,
        "all that a subtask has kept of a checkpoint is durable, and the JobManager was not told",
    ),
    about("sink.create", TASKMANAGER, true, "before a file of a sink is made, under its temporary name"),
    about("sink.write", TASKMANAGER, true, "before a piece of it is written, of 256 KiB or all that there is"),
    about("sink.sync", TASKMANAGER, true, "before it is synced: at a checkpoint, at its end"),
    about("sink.synced", TASKMANAGER, false, "it is synced, and in no checkpoint yet"),
    about(
        "sink.resume",
        TASKMANAGER,
        true,
        "before what an earlier attempt had written of a file is copied to a new one",
    ),
    about("sink.publish", TASKMANAGER, true, "before a file of a checkpoint that is complete gets its name"),
    about("sink.published", TASKMANAGER, true, "it has its name; others of the same checkpoint may have none yet"),
    about("sink.folder", TASKMANAGER, true, "all have their names, before the folder is synced"),
    about("identity.sync", TASKMANAGER, true, "before a TaskManager's identity file is synced"),
    about("identity.name", TASKMANAGER, true, "it is synced, before it has its name"),
    about("identity.named", TASKMANAGER, true, "it has its name, before its folder is synced"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_has_a_name_of_its_own_and_stands_at_its_place() {
        for (number, point) in Point::ALL.iter().enumerate() {
            assert_eq!(*point as usize, number, "{point}");
            assert!(Point::ALL[number + 1..].iter().all(|other| other.name() != point.name()), "{point}");
        }
    }
}
