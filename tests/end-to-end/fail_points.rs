//! Each process of a cluster dies at each step towards something durable, and its disk refuses there; in the end every row is there
//! once, as if nothing had happened.
//!
//! A process that has died is started again, with the next fail point set, while a job is deployed, given savepoints, scaled, stopped
//! and deployed again.

use std::collections::BTreeSet;

use tempfile::TempDir;
use wasmill_durable::{Point, Role};

use crate::{
    fail_points::{
        clerk::{Clerk, visible},
        lives::faults,
    },
    process::Bench,
};

mod bad_disks;
mod clerk;
mod lives;

/// Each bid adds one to the count of its bidder, and every new count is a row of a file that rolls.
const JOB: &str = r#"
[job]
name = "ledger"
parallelism = 2
[job.checkpoints]
interval = "200ms"
min_pause = "50ms"
[source.events]
connector = "nexmark"
rate = 4000
events = 160000
only_bids = true
keys = 1000
[operator.count]
plugin = "PLUGINS/keyed-counter.wasm"
input = "events.bids"
key_by = ["bidder"]
config = { emit = "updates" }
[sink.out]
input = "count"
connector = "file"
path = "out/counts.jsonl"
format = "json"
[sink.out.roll]
every = "300ms"
"#;

/// What is left of the job, without waiting for its time.
const AT_ONCE: &str = "source.events.rate=1000000";
/// Times that a job is stopped and begins again before all must have happened.
const ROUNDS_MAX: u32 = 12;

/// What happens in the lives of a JobManager and of two TaskManagers.
struct Case {
    jobmanager: &'static [&'static str],
    taskmanagers: [&'static [&'static str]; 2],
}

/// Uploads and the catalogue, beside a TaskManager's snapshot files. The first commit of a life is its begin.
const CATALOGUE: Case = Case {
    jobmanager: &[
        "registry.sync=kill",
        "registry.name=kill",
        "registry.named=kill",
        "catalogue.commit=kill",
        "catalogue.committed=kill",
        "catalogue.commit=1*off->kill",
        "catalogue.committed=1*off->kill",
        "catalogue.committed=2*off->kill",
    ],
    taskmanagers: [
        &[
            "identity.sync=kill",
            "identity.named=kill",
            "snapshot.sync=kill",
            "snapshot.named=3*off->kill",
            "store.file.name=kill",
        ],
        &[
            "identity.name=kill",
            "snapshot.name=1*off->kill",
            "store.file.sync=4*off->kill",
            "store.file.named=kill",
            "part.written=2*off->kill",
        ],
    ],
};

/// Checkpoints becoming complete, beside the files of sinks.
const MANIFESTS: Case = Case {
    jobmanager: &[
        "manifest.sync=2*off->kill",
        "manifest.name=kill",
        "manifest.named=1*off->kill",
        "manifest.stored=kill",
        "manifest.stored=3*off->kill",
    ],
    taskmanagers: [
        &["sink.create=kill", "sink.sync=3*off->kill", "sink.resume=kill", "sink.published=kill", "part.written=kill"],
        &[
            "sink.write=1*off->kill",
            "sink.synced=kill",
            "sink.publish=kill",
            "sink.folder=kill",
            "sink.publish=2*off->kill",
        ],
    ],
};

/// Savepoints, and what is removed. The first file that a JobManager puts into its store is there to prove that others see it.
const SAVEPOINTS: Case = Case {
    jobmanager: &[
        "snapshot.sync=kill",
        "store.file.sync=1*off->kill",
        "savepoint.stored=kill",
        "snapshot.name=kill",
        "store.delete=kill",
        "store.file.named=1*off->kill",
        "store.deleted=2*off->kill",
        "snapshot.named=kill",
        "store.file.name=kill",
    ],
    taskmanagers: [&["sink.published=2*off->kill"], &["sink.folder=1*off->kill"]],
};

/// The JobManager's disks refuse, once each.
const JOBMANAGER_DISKS: Case = Case {
    jobmanager: &[
        "store.file.sync=1*eio",
        "catalogue.commit=1*enospc",
        "registry.sync=1*eio->1*enospc;registry.name=1*eio->1*enospc;registry.named=1*eio->1*enospc;\
         catalogue.commit=2*off->1*eio->2*off->1*enospc;catalogue.committed=3*off->1*eio->3*off->1*enospc;\
         snapshot.sync=1*eio->1*enospc;snapshot.name=1*eio->1*enospc;snapshot.named=1*eio->1*enospc;\
         store.file.sync=1*off->1*enospc;store.file.name=1*off->1*eio->1*enospc;store.file.named=1*off->1*eio->1*enospc;\
         manifest.sync=1*off->1*eio->1*enospc;manifest.name=3*off->1*eio->1*enospc;manifest.named=1*eio->3*off->1*enospc;\
         store.delete=1*eio->4*off->1*enospc;store.deleted=2*off->1*eio->4*off->1*enospc",
    ],
    taskmanagers: [&[], &[]],
};

/// The TaskManagers' disks refuse, once each.
const TASKMANAGER_DISKS: Case = Case {
    jobmanager: &[],
    taskmanagers: [
        &[
            "identity.sync=1*eio",
            "identity.name=1*enospc",
            "identity.named=1*eio",
            "snapshot.sync=2*off->1*eio->3*off->1*enospc;snapshot.name=1*eio->1*enospc;snapshot.named=1*eio->5*off->1*enospc;\
             store.file.sync=1*eio->1*enospc;store.file.name=3*off->1*eio->1*enospc;store.file.named=1*eio->2*off->1*enospc",
        ],
        &[
            "identity.sync=1*enospc",
            "identity.name=1*eio",
            "identity.named=1*enospc",
            "sink.create=1*off->1*eio->1*off->1*enospc;sink.write=3*off->1*eio->3*off->1*enospc;\
             sink.sync=2*off->1*eio->2*off->1*enospc;sink.resume=1*eio->1*off->1*enospc;\
             sink.publish=1*eio->2*off->1*enospc;sink.published=1*off->1*eio->2*off->1*enospc;\
             sink.folder=2*off->1*eio->3*off->1*enospc",
        ],
    ],
};

const CASES: [&Case; 5] = [&CATALOGUE, &MANIFESTS, &SAVEPOINTS, &JOBMANAGER_DISKS, &TASKMANAGER_DISKS];

/// Works until all has happened, then lets the job come to its end.
#[track_caller]
fn work(case: &Case) -> Clerk {
    let mut clerk = Clerk::start(JOB, case.jobmanager, case.taskmanagers);
    let mut id = clerk.deploy(&[]);
    let mut round = 0;
    while !clerk.pending().is_empty() {
        round += 1;
        assert!(round <= ROUNDS_MAX, "not all has happened: {}", clerk.shown());
        clerk.wait_for_checkpoint(&id);
        let savepoint = format!("round-{round}");
        clerk.savepoint(&id, &savepoint);
        clerk.scale(&id, 1 + round % 2);
        clerk.remove_savepoint(&savepoint);
        id = go_on(&mut clerk, &id, round, &[]);
    }
    id = go_on(&mut clerk, &id, round + 1, &["--set", AT_ONCE]);
    clerk.wait_for(&id, "FINISHED");
    clerk.listen(&id);
    clerk
}

/// Stops the job, and lets it go on from its savepoint, or from one that was carried out and in.
fn go_on(clerk: &mut Clerk, id: &str, round: u32, more: &[&str]) -> String {
    let (mut from, carried) = (format!("stop-{round}"), format!("carried-{round}"));
    clerk.listen(id);
    clerk.stop(id, &from);
    if round.is_multiple_of(2) {
        clerk.carry(&from, &carried);
        from = carried;
    }
    clerk.deploy(&[&["--from", from.as_str()], more].concat())
}

/// Every row is visible once, and nothing else is.
#[track_caller]
fn check(clerk: &Clerk) {
    let bench = Bench { folder: TempDir::new().expect("temporary folders can be made") };
    bench.put_job(JOB);
    bench.succeed(&[AT_ONCE]);
    let (expected, found) = (visible(&bench.path("out")), visible(&clerk.path("out")));
    if expected != found {
        let all: BTreeSet<&String> = found.iter().collect();
        let lost = expected.iter().filter(|row| !all.contains(row)).count();
        panic!("{lost} rows are lost, {} are there again\n{}", found.len() - all.len(), clerk.shown());
    }
}

#[test]
fn who_dies_while_a_plugin_or_a_record_or_a_snapshot_is_written_loses_no_row() {
    check(&work(&CATALOGUE));
}

#[test]
fn who_dies_while_a_checkpoint_or_the_file_of_a_sink_is_written_loses_no_row() {
    check(&work(&MANIFESTS));
}

#[test]
fn who_dies_while_a_savepoint_is_made_or_something_is_removed_loses_no_row() {
    check(&work(&SAVEPOINTS));
}

#[test]
fn when_the_jobmanagers_disks_refuse_no_row_is_lost_and_it_is_said() {
    let clerk = work(&JOBMANAGER_DISKS);
    check(&clerk);
    for why in ["Input/output error", "No space left on device"] {
        assert!(clerk.told.contains(why), "{}", clerk.shown());
    }
}

#[test]
fn when_the_taskmanagers_disks_refuse_no_row_is_lost_and_it_is_said() {
    let clerk = work(&TASKMANAGER_DISKS);
    check(&clerk);
    for why in ["Input/output error", "No space left on device"] {
        assert!(clerk.told.contains(why), "{}", clerk.shown());
    }
}

/// The tests above leave no point out: each is where somebody dies, and where both errors of a disk come if one can.
#[test]
fn every_fail_point_is_met_in_every_role() {
    let met = |lives: &[&str]| lives.iter().flat_map(|life| faults(life)).collect::<BTreeSet<_>>();
    let jobmanager: BTreeSet<_> = CASES.iter().flat_map(|case| met(case.jobmanager)).collect();
    let taskmanager: BTreeSet<_> = CASES.iter().flat_map(|case| case.taskmanagers).flat_map(met).collect();
    for point in Point::ALL {
        let actions: &[&str] = if point.can_fail() { &["kill", "eio", "enospc"] } else { &["kill"] };
        for (role, met) in [(Role::JobManager, &jobmanager), (Role::TaskManager, &taskmanager)] {
            for action in actions {
                let is_met = met.contains(&(point.name().to_owned(), (*action).to_owned()));
                assert_eq!(is_met, point.roles().contains(&role), "{point}={action} in a {}", role.name());
            }
        }
    }
}

#[test]
fn a_process_says_that_fail_points_are_set_and_refuses_those_that_there_are_not() {
    let bench = Bench::new(&JOB.replace("160000", "100"));
    let mut command = bench.command();
    command.env(wasmill_durable::VARIABLE, "sink.publish=sleep(1)");
    let ended = crate::process::Running::start(command).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("warning: fail points are set"), "{}", ended.stderr);
    let mut command = bench.command();
    command.env(wasmill_durable::VARIABLE, "sink.published.never=kill");
    let ended = crate::process::Running::start(command).end();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("there is no such fail point"), "{}", ended.stderr);
}
