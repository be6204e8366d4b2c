//! Savepoints that go from one cluster to another: what arrives is what went, and a job goes on from it as if nothing had happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    net::TcpStream,
    path::{Path, PathBuf},
    thread,
};

use serde_json::Value;

use crate::{
    cluster::{
        Cluster,
        savepoints::{BIDS, LEDGER, check_refused, succeed, visible, wait_for_checkpoint},
    },
    process::rows,
};

/// Of a job that has come to some rows, a savepoint of this name, as a file.
fn exported(cluster: &Cluster, id: &str, name: &str) -> PathBuf {
    wait_for_checkpoint(cluster, id);
    succeed(cluster, &["savepoint", "create", id, "--name", name]);
    succeed(cluster, &["savepoint", "export", name]);
    cluster.path(&format!("{name}.tar"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("it is text")
}

/// Files below the folder of imports.
fn imported_files(cluster: &Cluster) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("readable").path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    for cluster in fs::read_dir(cluster.jobmanager_folder().join("checkpoints")).expect("it is there") {
        walk(&cluster.expect("readable").path().join("imported"), &mut found);
    }
    found
}

fn counts_by_bidder(rows: &[Value]) -> BTreeMap<i64, BTreeSet<i64>> {
    let mut counts: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for row in rows {
        let (bidder, count) = (row["bidder"].as_i64().expect("a number"), row["count"].as_i64().expect("a number"));
        assert!(counts.entry(bidder).or_default().insert(count), "twice: {row}");
    }
    counts
}

#[test]
fn a_job_that_was_stopped_goes_on_in_another_cluster_with_another_parallelism() {
    let (from, to) = (Cluster::start(2, 4), Cluster::start(1, 4));
    let job = from.put_job("job.toml", LEDGER);
    let id = from.deploy(&job, &[]);
    wait_for_checkpoint(&from, &id);
    succeed(&from, &["stop", &id, "--savepoint", "monday"]);
    from.wait_for(&id, "STOPPED");
    let before = visible(&from);
    assert!(!before.is_empty() && before.len() < BIDS, "it was stopped on its way");
    let told = succeed(&from, &["savepoint", "export", "monday", "a.tar"]);
    assert!(told.starts_with("monday exported to a.tar, "), "{told}");
    succeed(&from, &["savepoint", "export", "monday", "b.tar"]);
    let (a, b) = (fs::read(from.path("a.tar")).expect("written"), fs::read(from.path("b.tar")).expect("written"));
    assert!(a == b, "it is the same each time");
    let taken = fs::metadata(from.path("a.tar")).expect("written").modified().expect("known");
    check_refused(&from, &["savepoint", "export", "monday", "a.tar"], "output-unwritable");
    assert_eq!(fs::metadata(from.path("a.tar")).expect("written").modified().expect("known"), taken);
    check_refused(&from, &["savepoint", "export", "tuesday"], "not-found");

    let file = from.path("a.tar");
    let told = succeed(&to, &["savepoint", "import", text(&file), "--name", "of-monday"]);
    assert!(told.starts_with(&format!("of-monday is there, of {id} ledger of cluster-")), "{told}");
    let listed = to.json(&["savepoint", "ls"]);
    let savepoint = &listed["items"][0];
    assert_eq!((&savepoint["name"], &savepoint["job"]), (&"of-monday".into(), &id.as_str().into()));
    assert!(savepoint["cluster"].as_str().is_some_and(|cluster| cluster.starts_with("cluster-")), "{savepoint}");
    // It goes on by itself: the cluster that it is of is gone.
    drop(from);
    let job = to.put_job("job.toml", LEDGER);
    let again = to.deploy(&job, &["--from", "of-monday", "--set", "operator.count.parallelism=3"]);
    assert_eq!(again, id, "the one job of each cluster has the same id, and is another");
    to.wait_for(&again, "FINISHED");
    let all: Vec<Value> = before.into_iter().chain(visible(&to)).collect();
    assert_eq!(all.len(), BIDS);
    for (bidder, counts) in counts_by_bidder(&all) {
        assert_eq!(counts.last().copied(), i64::try_from(counts.len()).ok(), "lost of bidder {bidder}");
    }
    succeed(&to, &["savepoint", "rm", "of-monday"]);
    assert_eq!(imported_files(&to), [""; 0].map(PathBuf::from));
}

#[test]
fn a_job_that_begins_from_the_savepoint_of_one_that_goes_on_leaves_that_alone() {
    let cluster = Cluster::start(2, 8);
    let job = cluster.put_job("job.toml", LEDGER);
    let id = cluster.deploy(&job, &[]);
    wait_for_checkpoint(&cluster, &id);
    succeed(&cluster, &["savepoint", "create", &id, "--name", "half-way"]);
    let of_it = visible(&cluster);
    let other = cluster.deploy(&job, &["--from", "half-way", "--set", "sink.out.path=other/counts.jsonl"]);
    cluster.wait_for(&id, "FINISHED");
    cluster.wait_for(&other, "FINISHED");
    let all = visible(&cluster);
    assert_eq!(all.len(), BIDS, "the one that went on has written each row once");
    let names = fs::read_dir(cluster.path("other")).expect("a file is visible");
    let files = names.map(|entry| entry.expect("readable").path()).filter(|path| path.extension().is_some());
    let forked: Vec<Value> = files.flat_map(|path| rows(&fs::read_to_string(path).expect("it can be read"))).collect();
    let (all, forked) = (counts_by_bidder(&all), counts_by_bidder(&forked));
    for (bidder, counts) in &forked {
        let (first, last) = (counts.first().expect("some"), counts.last().expect("some"));
        assert_eq!(last - first + 1, i64::try_from(counts.len()).expect("few"), "bidder {bidder} has a gap");
        assert_eq!(Some(last), all[bidder].last(), "bidder {bidder} ends where the other one does");
    }
    // All that was visible when the savepoint was complete is before it, and nothing else.
    let rows_of = |counts: &BTreeMap<i64, BTreeSet<i64>>| counts.values().map(BTreeSet::len).sum::<usize>();
    let seen = counts_by_bidder(&of_it);
    let before = BIDS - rows_of(&forked);
    assert!(before <= rows_of(&seen), "{before} rows before it, {} visible", rows_of(&seen));
}

#[test]
fn an_unfinished_file_is_copied_where_it_is_and_left_behind_elsewhere() {
    let cluster = Cluster::start(1, 4);
    let job = cluster.put_job("job.toml", &LEDGER.replace("[sink.out.roll]\nevery = \"500ms\"", "roll = false"));
    let id = cluster.deploy(&job, &[]);
    wait_for_checkpoint(&cluster, &id);
    succeed(&cluster, &["stop", &id, "--savepoint", "whole"]);
    cluster.wait_for(&id, "STOPPED");
    let savepoint = cluster.json(&["savepoint", "show", "whole"]);
    assert_eq!(savepoint["unfinished"], serde_json::json!(["out"]));
    let told = cluster.client(&["savepoint", "export", "whole"]);
    assert!(told.stderr.contains("warning: what `out` has written and not finished is not in it"), "{}", told.stderr);
    let file = cluster.path("whole.tar");
    succeed(&cluster, &["savepoint", "import", text(&file), "--name", "moved"]);
    check_refused(&cluster, &["deploy", "job.toml", "--from", "moved"], "state-incompatible");
    let more = ["--allow-dropped-state", "--set", "sink.out.path=moved/counts.jsonl"];
    let moved = cluster.deploy(&job, &[&["--from", "moved"][..], &more].concat());
    let again = cluster.deploy(&job, &["--from", "whole"]);
    cluster.wait_for(&moved, "FINISHED");
    cluster.wait_for(&again, "FINISHED");
    assert_eq!(visible(&cluster).len(), BIDS, "it has gone on with a copy");
}

#[test]
fn what_is_no_savepoint_or_has_a_name_that_is_taken_is_refused() {
    let cluster = Cluster::start(1, 4);
    let job = cluster.put_job("job.toml", LEDGER);
    let id = cluster.deploy(&job, &[]);
    let file = exported(&cluster, &id, "one");
    let other = exported(&cluster, &id, "other");
    let import = |file: &Path, name: &str| cluster.client(&["savepoint", "import", text(file), "--name", name]);
    check_refused(&cluster, &["savepoint", "import", text(&other), "--name", "one"], "savepoint-exists");
    // The same again is the same: its answer may have been lost.
    succeed(&cluster, &["savepoint", "import", text(&file)]);
    for _ in 0..2 {
        assert_eq!(import(&file, "here").code, Some(0));
    }
    let refused = import(&other, "here");
    assert!(refused.stderr.contains("error[savepoint-exists]"), "{}", refused.stderr);
    let refused = import(&file, "job-7");
    assert!(refused.stderr.contains("error[request-malformed]"), "{}", refused.stderr);
    let refused = import(&file, "../../x");
    assert_eq!(refused.code, Some(2));

    // The client looks first; whoever does not is told by the JobManager.
    let whole = fs::read(&file).expect("it was written");
    let mut changed = whole.clone();
    let place = whole.len() - 4_000;
    changed[place] ^= 1;
    for (content, reason) in [(&whole[..whole.len() / 2], "bytes long, and should be"), (&changed, "blake3")] {
        let wrong = cluster.path("wrong.tar");
        fs::write(&wrong, content).expect("there is room");
        let refused = import(&wrong, "wrong");
        assert!(
            refused.stderr.contains("error[savepoint-file-damaged]") && refused.stderr.contains(reason),
            "{}",
            refused.stderr
        );
        let answer = put(&cluster.url, "wrong", content);
        assert!(answer.starts_with("HTTP/1.1 422") && answer.contains("savepoint-file-damaged"), "{answer}");
        assert!(answer.contains(reason), "{answer}");
    }
    check_refused(&cluster, &["savepoint", "show", "wrong"], "not-found");
    let kept = imported_files(&cluster).len();
    assert_eq!(kept, 2, "a manifest and the file of the one operator");

    // Of two at once under one name, one is taken.
    let url = &cluster.url;
    let both = thread::scope(|scope| {
        let one = scope.spawn(|| put(url, "both", &whole));
        let other = fs::read(&other).expect("it was written");
        let second = put(url, "both", &other);
        [one.join().expect("it is answered"), second]
    });
    let taken = both.iter().filter(|answer| answer.starts_with("HTTP/1.1 201")).count();
    let refused = both.iter().filter(|answer| answer.contains("savepoint-exists")).count();
    assert_eq!((taken, refused), (1, 1), "{both:?}");
    assert_eq!(imported_files(&cluster).len(), kept + 2);
}

#[test]
fn an_import_whose_jobmanager_is_killed_leaves_nothing_and_can_be_done_again() {
    let mut cluster = Cluster::start(1, 4);
    let job = cluster.put_job("job.toml", LEDGER);
    let id = cluster.deploy(&job, &[]);
    let file = exported(&cluster, &id, "one");
    succeed(&cluster, &["cancel", &id]);
    let whole = fs::read(&file).expect("it was written");
    let mut socket = begun(&cluster.url, "again", whole.len());
    socket.write_all(&whole[..whole.len() - 2_000]).expect("it reads");
    cluster.wait("a file of the import", || (!imported_files(&cluster).is_empty()).then_some(()));
    check_refused(&cluster, &["savepoint", "show", "again"], "not-found");
    cluster.kill_jobmanager();
    assert!(!imported_files(&cluster).is_empty(), "it had no time to tidy up");
    cluster.restart_jobmanager();
    assert_eq!(imported_files(&cluster), [""; 0].map(PathBuf::from));
    check_refused(&cluster, &["savepoint", "show", "again"], "not-found");
    succeed(&cluster, &["savepoint", "import", text(&file), "--name", "again"]);
    // One whose client goes away leaves nothing either.
    let mut socket = begun(&cluster.url, "gone", whole.len());
    socket.write_all(&whole[..whole.len() - 2_000]).expect("it reads");
    cluster.wait("a file of the import", || (imported_files(&cluster).len() > 2).then_some(()));
    drop(socket);
    cluster.wait("its end", || (imported_files(&cluster).len() == 2).then_some(()));
    check_refused(&cluster, &["savepoint", "show", "gone"], "not-found");
}

/// Begins a request that imports so many bytes.
fn begun(url: &str, name: &str, bytes: usize) -> TcpStream {
    let address = url.split("//").nth(1).expect("it is a URL");
    let mut socket = TcpStream::connect(address).expect("it listens");
    let head = format!(
        "PUT /v1/savepoints/{name}/file HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-tar\r\n\
         content-length: {bytes}\r\nconnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).expect("it reads");
    socket
}

/// Sends a file as it is; returns the answer.
fn put(url: &str, name: &str, content: &[u8]) -> String {
    let mut socket = begun(url, name, content.len());
    socket.write_all(content).expect("it reads all of it");
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut socket, &mut answer).expect("it answers");
    answer
}
