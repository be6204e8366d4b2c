//! What a writer leaves that is killed, or for which there is no room.

use std::{
    env, fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use wasmill_snapshot::file::{Error, Kind, Reader};

use crate::make::{KEY_GROUPS, collected, meta, names, some_rows, write};

/// Tells a test that it is the other process, and where it is to write.
const FOLDER: &str = "WASMILL_SNAPSHOT_TEST_FOLDER";
const PATIENCE: Duration = Duration::from_secs(60);

/// A test of this program in a process of its own. A script may come before it.
fn other_process(test: &str, folder: &Path, script: &str) -> Child {
    let program = env::current_exe().expect("it runs");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("{script} exec \"$0\" --exact {test} --nocapture")]).arg(program);
    command.env(FOLDER, folder).stdout(Stdio::null()).stderr(Stdio::inherit());
    command.spawn().expect("it is this program")
}

/// Is killed by another test.
#[test]
fn writes_until_it_is_killed() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let rows = some_rows(6_000, 40);
    for number in 0.. {
        let path = Path::new(&folder).join(format!("{number}.redb"));
        write(&path, &meta(Kind::Delta), &rows).expect("there is room");
    }
}

#[test]
fn a_crash_leaves_whole_files_and_unfinished_ones() {
    let rows = some_rows(6_000, 40);
    let mut unfinished = 0;
    for round in 0..12 {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = other_process("crash::writes_until_it_is_killed", folder.path(), "");
        let begun = Instant::now();
        // Not always at the same point.
        while names(folder.path()).len() <= round / 3 {
            assert!(begun.elapsed() < PATIENCE, "nothing is written");
            thread::yield_now();
        }
        thread::sleep(Duration::from_micros(1_300 * (round as u64 % 5)));
        child.kill().and_then(|()| child.wait()).expect("it runs");
        for name in names(folder.path()) {
            if name.ends_with(".unfinished") {
                unfinished += 1;
                continue;
            }
            let reader = Reader::open_unverified(&folder.path().join(&name)).expect("it has its name, so it is whole");
            let found = reader.rows(0..KEY_GROUPS).and_then(collected).expect("it is whole");
            assert!(found == rows, "{name}");
        }
    }
    println!("{unfinished} of 12 were killed while they wrote");
}

/// Is started by another test, with a limit on the length of files.
#[test]
fn finds_no_room() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let small = write(&folder.join("small.redb"), &meta(Kind::Delta), &some_rows(10, 10));
    let large = write(&folder.join("large.redb"), &meta(Kind::Delta), &some_rows(60_000, 100));
    let error = large.expect_err("there is no room");
    assert!(matches!(error, Error::WriteDatabase { .. } | Error::Write { .. }), "{error}");
    let outcome = format!("{error}").replace(&format!("{}/", folder.display()), "");
    assert_eq!(names(folder), ["small.redb"], "what was written of the other is gone");
    Reader::open_unverified(&folder.join("small.redb")).and_then(|reader| reader.verify()).expect("it is whole");
    fs::write(folder.join("outcome"), format!("{outcome}\n{}", small.expect("it fits").rows)).expect("it is short");
}

#[test]
fn a_file_for_which_there_is_no_room_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    // 1 MiB, in blocks of 512 bytes. Without the trap, the signal would end the process.
    let mut child = other_process("crash::finds_no_room", folder.path(), "ulimit -f 2048; trap '' XFSZ;");
    let ended = child.wait().expect("it runs");
    assert!(ended.success(), "{ended}");
    let outcome = fs::read_to_string(folder.path().join("outcome")).expect("it came to its end");
    assert_eq!(outcome, "could not write snapshot file large.redb: I/O error: File too large (os error 27)\n10");
}
