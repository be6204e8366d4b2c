//! Disks that refuse wherever they are asked, also within the database and other libraries: a library in front of the C library lets every so
//! many fsyncs and writes of a process fail. The job goes on, and in the end every row is there once.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{AT_ONCE, JOB, check, clerk::Clerk};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/end-to-end/fail_points/bad_disk.c");
/// Times that each of both errors comes before the disks are well again.
const REFUSALS: usize = 8;
/// Every how many fsyncs and writes.
type Every = (u32, u32);

/// The library, if there is a compiler for it.
fn library(folder: &Path) -> Option<PathBuf> {
    let library = folder.join("bad_disk.so");
    let mut command = Command::new("cc");
    command
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(SOURCE)
        .arg("-ldl");
    let built = command.output().ok()?;
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(library)
}

/// Runs a job while the disks of one role, by the names of its processes, refuse.
#[track_caller]
fn survive(role: &'static str, (sync, write): Every) {
    let tools = TempDir::new().expect("temporary folders can be made");
    let Some(library) = library(tools.path()) else {
        println!("left out: there is no C compiler `cc`, with which a disk is made that refuses");
        return;
    };
    let refusing = tools.path().join("refusing");
    let environment = |process: &str, folder: &Path| -> Vec<(&'static str, OsString)> {
        if !process.starts_with(role) {
            return Vec::new();
        }
        vec![
            ("LD_PRELOAD", library.clone().into()),
            ("BAD_DISK_UNDER", folder.into()),
            ("BAD_DISK_WHILE", refusing.clone().into()),
            ("BAD_DISK_SYNC", sync.to_string().into()),
            ("BAD_DISK_WRITE", write.to_string().into()),
        ]
    };
    let mut clerk = Clerk::start_with(JOB, &[], [&[], &[]], environment);
    let id = clerk.deploy(&[]);
    clerk.wait_for_checkpoint(&id);
    fs::write(&refusing, "").expect("the folder takes files");
    for error in ["bad disk: EIO of ", "bad disk: ENOSPC of "] {
        clerk.wait_until_said(error, REFUSALS);
    }
    fs::remove_file(&refusing).expect("it is there");
    // As soon as they are well there are checkpoints again.
    clerk.savepoint(&id, "well-again");
    clerk.stop(&id, "end");
    let id = clerk.deploy(&["--from", "end", "--set", AT_ONCE]);
    clerk.wait_for(&id, "FINISHED");
    check(&clerk);
    assert!(!clerk.shown().contains("panicked at"), "{}", clerk.shown());
}

#[test]
fn a_job_survives_taskmanagers_whose_disks_refuse_anywhere() {
    survive("TaskManager", (9, 11));
}

#[test]
fn a_job_survives_a_jobmanager_whose_disk_refuses_anywhere() {
    survive("JobManager", (9, 23));
}

/// The disk is full in the middle of everything that a first start makes: a later one gets past what is left of it.
#[test]
fn a_jobmanager_starts_on_a_folder_where_its_disk_has_refused_before() {
    let tools = TempDir::new().expect("temporary folders can be made");
    let Some(library) = library(tools.path()) else {
        println!("left out: there is no C compiler `cc`, with which a disk is made that refuses");
        return;
    };
    let refusing = tools.path().join("refusing");
    let start = |folder: &Path| {
        let mut command = crate::cluster::wasmill(&["jobmanager", "--listen", "127.0.0.1:0", "--data-dir"]);
        command.arg(folder).env("LD_PRELOAD", &library).env("BAD_DISK_UNDER", folder).env("BAD_DISK_WHILE", &refusing);
        command
    };
    for (name, most) in [("BAD_DISK_SYNC", 12), ("BAD_DISK_WRITE", 16)] {
        for at in 1..=most {
            let folder = tools.path().join(format!("{name}-{at}"));
            fs::write(&refusing, "").expect("the folder takes files");
            // It may do without what the disk refuses.
            let mut refused = start(&folder);
            refused.env(name, at.to_string());
            let mut first = crate::process::Running::start(refused);
            first.wait_for_stderr("bad disk: ");
            first.kill();
            first.end();
            fs::remove_file(&refusing).expect("it is there");
            let mut again = crate::process::Running::start(start(&folder));
            again.wait_for_stderr("JobManager is ready at");
            again.kill();
            again.end();
        }
    }
}
