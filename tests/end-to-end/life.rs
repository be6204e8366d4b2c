//! How a run begins and ends: signals, deadlines, outputs that close, folders of compiled plugins.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Stdio,
};

use rustix::process::Signal;

use crate::process::{Bench, Running};

/// Bids without end, to standard output and to a file.
const ENDLESS: &str = r#"
[job]
name = "endless"
[source.n]
connector = "nexmark"
rate = 2000
only_bids = true
[operator.pass]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "pass" }
input = "n.bids"
[sink.shown]
input = "pass"
connector = "stdout"
[sink.out]
input = "pass"
connector = "file"
path = "out.jsonl"
format = "json"
roll = false
"#;

/// Every row that was shown is in the file, and no other: what was read has been handled, nothing else was.
#[test]
fn an_interrupt_ends_the_sources_and_keeps_what_was_read() {
    for signal in [Signal::INT, Signal::TERM] {
        let bench = Bench::new(ENDLESS);
        let mut running = Running::start(bench.command());
        running.wait_for_stdout("auction");
        running.signal(signal);
        let ended = running.end();
        assert_eq!(ended.code, Some(130), "{}", ended.stderr);
        assert!(ended.stderr.contains("interrupted: the sources end"), "{}", ended.stderr);
        assert!(ended.stderr.contains("job endless FINISHED"), "{}", ended.stderr);
        assert_eq!(bench.text("out.jsonl"), ended.stdout);
    }
}

/// The second interrupt comes while an operator does not answer.
#[test]
fn a_second_interrupt_throws_the_job_away() {
    let bench = Bench::new(ENDLESS);
    let mut command = bench.command();
    command.args(["--set", "sink.shown.input=n.bids", "--set", "operator.pass.config.mode=hostile:loop"]);
    command.args(["--set", "operator.pass.exchange=rebalance"]);
    let mut running = Running::start(command);
    running.wait_for_stdout("auction");
    running.signal(Signal::INT);
    running.wait_for_stderr("interrupted");
    running.signal(Signal::INT);
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(ended.stderr.contains("job endless CANCELLED"), "{}", ended.stderr);
    assert_eq!(bench.files(), ["job.toml"], "neither output nor anything unfinished");
}

#[test]
fn a_second_interrupt_ends_a_job_whose_first_one_has_come_too_late() {
    let bench = Bench::new(ENDLESS);
    let mut running = Running::start(bench.command());
    running.wait_for_stdout("auction");
    running.signal(Signal::INT);
    running.signal(Signal::INT);
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(!bench.files().iter().any(|name| name.ends_with(".tmp")), "{:?}", bench.files());
}

/// Nobody reads what the job writes, and nobody closes it: the job cannot be stopped in good order.
#[test]
fn a_third_interrupt_waits_for_nothing() {
    let bench = Bench::new(ENDLESS);
    let (reader, writer) = std::io::pipe().expect("pipes can be made");
    let mut command = bench.command();
    command.args(["--set", "source.n.rate=1000000000"]).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
    let mut running = Running::over(command.spawn().expect("the binary starts"));
    drop(command);
    let mut first = [0; 1];
    (&reader).read_exact(&mut first).expect("it writes");
    running.signal(Signal::INT);
    running.wait_for_stderr("interrupted");
    running.signal(Signal::INT);
    running.wait_for_stderr("thrown away");
    running.signal(Signal::INT);
    assert_eq!(running.end().code, Some(130));
    drop(reader);
}

#[test]
fn a_run_may_be_limited_in_time() {
    let bench = Bench::new(ENDLESS);
    let mut command = bench.command();
    command.args(["--for", "1s"]);
    let ended = Running::start(command).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("job endless FINISHED"), "{}", ended.stderr);
    assert_eq!(bench.text("out.jsonl"), ended.stdout);
    assert!(!ended.stdout.is_empty());
}

#[test]
fn a_run_of_no_time_at_all_makes_an_empty_file() {
    let bench = Bench::new(ENDLESS);
    let mut command = bench.command();
    command.args(["--for", "0s", "--set", "source.n.rate=1"]);
    assert_eq!(Running::start(command).end().code, Some(0));
    assert_eq!(bench.text("out.jsonl"), "");
}

/// Like `| head -1`.
#[test]
fn it_ends_quietly_when_nobody_reads_its_output_any_more() {
    let bench = Bench::new(ENDLESS);
    let job = bench.text("job.toml");
    let (job, _) = job.split_once("[sink.out]").expect("it has that sink");
    bench.put("job.toml", job);
    for parallelism in ["1", "3"] {
        let (mut reader, writer) = std::io::pipe().expect("pipes can be made");
        let mut command = bench.command();
        command.args(["--set", &format!("job.parallelism={parallelism}"), "--set", "source.n.rate=1000000000"]);
        command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
        let running = Running::over(command.spawn().expect("the binary starts"));
        drop(command);
        reader.read_exact(&mut [0; 100]).expect("it writes");
        drop(reader);
        let ended = running.end();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
}

fn onto_full_disk(bench: &Bench, arguments: &[&str]) -> (Option<i32>, String) {
    let full = OpenOptions::new().write(true).open("/dev/full").expect("it is always there");
    let mut command = bench.command();
    command.args(arguments).stdin(Stdio::null()).stdout(full).stderr(Stdio::piped());
    let ended = Running::over(command.spawn().expect("the binary starts")).end();
    (ended.code, ended.stderr)
}

#[test]
fn a_full_disk_fails_the_job() {
    let bench = Bench::new(ENDLESS);
    let (code, message) = onto_full_disk(&bench, &["--set", "source.n.events=10"]);
    assert_eq!(code, Some(1), "{message}");
    assert!(
        message.contains("error[sink-unwritable]: sink shown[0] failed: could not write to standard output: "),
        "{message}"
    );
    assert_eq!(bench.files(), ["job.toml"]);
    let blackhole = ["--set", "source.n.events=10", "--set", "sink.shown.connector=blackhole", "-o", "json"];
    let (code, message) = onto_full_disk(&bench, &blackhole);
    assert_eq!(code, Some(1), "{message}");
    assert!(message.contains("error[output-unwritable]: could not write to standard output: "), "{message}");
}

#[test]
fn the_report_is_one_line_of_json() {
    let bench = Bench::new(ENDLESS);
    let mut command = bench.command();
    command.args(["-o", "json", "--set", "source.n.events=100", "--set", "sink.shown.connector=blackhole"]);
    let ended = Running::start(command).end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).expect("it is JSON");
    assert_eq!(ended.stdout.lines().count(), 1);
    assert_eq!((report["job"].as_str(), report["state"].as_str()), (Some("endless"), Some("FINISHED")));
    let vertices = report["vertices"].as_array().expect("it lists the vertices");
    let rows: Vec<_> =
        vertices.iter().map(|v| (v["name"].as_str(), v["rows_in"].as_u64(), v["rows_out"].as_u64())).collect();
    assert_eq!(
        rows,
        [
            (Some("n"), Some(0), Some(100)),
            (Some("pass"), Some(100), Some(100)),
            (Some("shown"), Some(100), Some(100)),
            (Some("out"), Some(100), Some(100)),
        ]
    );
}

/// `wasmill run` of ten bids, with a folder of compiled plugins of its own.
fn ten_bids(bench: &Bench, cache: &Path) -> Running {
    let mut command = bench.command();
    command.args(["--set", "source.n.events=10"]);
    let mut own = std::process::Command::new(command.get_program());
    let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let place = arguments.iter().position(|a| a == "--cache").expect("it names the folder");
    own.args(&arguments[..place]).args(&arguments[place + 2..]).arg("--cache").arg(cache);
    Running::start(own)
}

#[test]
fn two_runs_share_a_fresh_folder_of_compiled_plugins() {
    let benches = [Bench::new(ENDLESS), Bench::new(ENDLESS), Bench::new(ENDLESS)];
    let cache = benches[0].path("cache");
    let running: Vec<Running> = benches.iter().map(|bench| ten_bids(bench, &cache)).collect();
    for running in running {
        let ended = running.end();
        assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 10), "{}", ended.stderr);
    }
}

/// The folder may be named as seen from where the command is given.
#[test]
fn a_relative_folder_of_compiled_plugins() {
    let bench = Bench::new(ENDLESS);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wasmill"));
    command
        .args(["run", "job.toml", "--cache", "cache", "--set", "source.n.events=10"])
        .current_dir(bench.folder.path());
    let ended = Running::start(command).end();
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 10), "{}", ended.stderr);
    assert!(bench.path("cache").is_dir());
}

#[test]
fn harmed_files_of_compiled_plugins_are_made_anew() {
    let bench = Bench::new(ENDLESS);
    let cache = bench.path("cache");
    assert_eq!(ten_bids(&bench, &cache).end().code, Some(0));
    let codes = || {
        let files = fs::read_dir(&cache).expect("it was made").map(|e| e.expect("it can be listed").path());
        files.filter(|path| path.extension().is_some_and(|e| e == "code")).collect::<Vec<_>>()
    };
    assert_eq!(codes().len(), 1, "one plugin was compiled");
    let whole = fs::read(&codes()[0]).expect("it can be read");
    for harm in [
        |file: &mut File| file.seek(SeekFrom::Start(5_000)).and_then(|_| file.write_all(b"harm")),
        |file: &mut File| file.set_len(100),
        |file: &mut File| file.set_len(0),
        |file: &mut File| file.seek(SeekFrom::End(0)).and_then(|_| file.write_all(b"more")),
    ] {
        let path = &codes()[0];
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
        harm(&mut OpenOptions::new().write(true).open(path).expect("it is ours")).expect("it takes bytes");
        let ended = ten_bids(&bench, &cache).end();
        assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 10), "{}", ended.stderr);
        assert_eq!(fs::read(&codes()[0]).expect("it can be read").len(), whole.len());
    }
}

/// Where nothing can be kept, a job either runs all the same or says what is wrong; it never hangs or panics.
#[test]
fn a_cache_that_is_no_folder() {
    let bench = Bench::new(ENDLESS);
    bench.put("file", "");
    for cache in ["file", "file/below"] {
        let ended = ten_bids(&bench, &bench.path(cache)).end();
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("error[plugin-cache]: could not open the cache of compiled plugins in "),
            "{}",
            ended.stderr
        );
    }
}
