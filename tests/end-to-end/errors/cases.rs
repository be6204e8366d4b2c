//! What provokes each code. The first case of a code is the example on its page.

use std::process::Command;

use wasmill_model::fault::Code;

use super::{run, wasmill};
use crate::process::{Bench, Running, cache, plugin};

/// Two rows through one operator. Cases change it.
pub(super) const JOB: &str = r#"[job]
name = "errors"

[source.s]
connector = "file"
path = "in.jsonl"
format = "json"
schema = { a = "int64", k = "utf8" }

[operator.o]
plugin = "PLUGINS/rust-plain.wasm"
input = "s"
config = { mode = "pass", lasting = true }

[sink.out]
input = "o"
connector = "file"
path = "out.jsonl"
format = "json"
"#;

/// What is expected, and what provokes it.
pub(super) type Case = (Code, Provoke);

pub(super) enum Provoke {
    /// Parts of the job file, and what takes their place.
    Swap(&'static [(&'static str, &'static str)]),
    /// The same, with other rows in `in.jsonl`.
    Rows(&'static [(&'static str, &'static str)], fn() -> Vec<u8>),
    /// Values for `--set`.
    Sets(&'static [&'static str]),
    /// Another job file.
    Text(&'static [u8]),
    /// Another file in place of the plugin.
    Plugin(fn() -> Vec<u8>),
    /// Whatever else; the folder holds the job and its rows.
    With(fn(&Bench) -> Command),
}

use Provoke::{Plugin, Rows, Sets, Swap, Text, With};

const MODE: &str = "mode = \"pass\"";
const INPUT: &str = "input = \"s\"";
const SCHEMA: &str = "schema = { a = \"int64\", k = \"utf8\" }";
const PATH: &str = "path = \"in.jsonl\"";
const KEYED: &str = "input = \"s\"\nkey_by = [\"k\"]";
const TWO: &str = "inputs = [{ from = \"s\", key_by = [\"k\"] }, { from = \"s\", exchange = \"broadcast\" }]";

pub(super) const COMMANDS: &[Case] = &[
    (Code::CommandLine, With(|_| wasmill(&["rum", "job.toml"]))),
    (Code::CommandLine, With(|bench| run(bench, &["--for", "soon"]))),
    (Code::CommandLine, With(|bench| run(bench, &["-o", "xml"]))),
    (Code::SetArgument, Sets(&["job.parallelism"])),
    (Code::SetArgument, Sets(&["=3"])),
    (Code::SetArgument, Sets(&["job.name.x=3"])),
    (Code::UnknownErrorCode, With(|_| wasmill(&["explain", "bad-rwo"]))),
    (Code::FileUnreadable, With(|_| wasmill(&["check", "score.wasm"]))),
    (Code::FileUnreadable, With(|_| wasmill(&["plugin", "inspect", "score.wasm"]))),
    (Code::OutputUnwritable, With(|_| shell("exec \"$0\" explain > /dev/full"))),
    (Code::PluginCache, With(|_| wasmill(&["run", "job.toml", "--cache", "in.jsonl"]))),
    (Code::SystemResources, With(|_| shell("ulimit -v 1000000; exec \"$0\" run job.toml --cache cache"))),
    (Code::CapsuleUnreadable, With(|_| wasmill(&["replay", "in.jsonl"]))),
    (Code::CapsuleUnreadable, With(|_| wasmill(&["replay", "calls/o.1.capsule"]))),
    (Code::CapsuleUnwritable, With(|bench| run(bench, &["--capsule", "in.jsonl/calls"]))),
    (Code::CapsulePlugin, With(replay_of_another)),
    (Code::Redirect, With(redirected_with_two_sinks)),
    (Code::SavepointFileDamaged, With(|_| wasmill(&["savepoint", "import", "in.jsonl"]))),
    (Code::ServerUnreachable, With(|_| wasmill(&["list", "--server", "http://127.0.0.1:1"]))),
    (Code::ServerUnreachable, With(|_| wasmill(&["plugin", "inspect", "a@1", "--server", "http://127.0.0.1:1"]))),
    (Code::ClientConfig, With(|_| shell("WASMILL_CONFIG=none.toml exec \"$0\" list --context lab"))),
    (Code::ClientConfig, With(|_| shell("WASMILL_CONFIG=job.toml exec \"$0\" config view"))),
    (
        Code::ClientCredentials,
        With(|_| shell("chmod 644 in.jsonl; exec \"$0\" list --server http://127.0.0.1:1 --token-file in.jsonl")),
    ),
    (Code::ClientCredentials, With(|_| wasmill(&["list", "--server", "https://127.0.0.1:1", "--ca", "in.jsonl"]))),
    (Code::CommandLine, With(|_| wasmill(&["list", "--server", "127.0.0.1:7420"]))),
    (Code::ProjectNotBegun, With(|_| wasmill(&["new", "in.jsonl"]))),
    (Code::ProjectNotBegun, With(|_| wasmill(&["new", "Shop"]))),
    (Code::ProjectNotBegun, With(|_| wasmill(&["new", "shop", "--lang", "cobol"]))),
    (Code::ProjectNotBuilt, With(|_| wasmill(&["build"]))),
    (Code::SnapshotUnreadable, With(|_| wasmill(&["state", "inspect", "in.jsonl"]))),
    (Code::SnapshotUnreadable, With(|_| wasmill(&["state", "scan", "none.redb"]))),
    (Code::SnapshotUnreadable, With(|_| wasmill(&["state", "export", "."]))),
    (Code::CheckpointDamaged, With(damaged_snapshot)),
    (Code::CommandLine, With(|_| wasmill(&["state", "scan", "a.redb", "--key-groups", "3"]))),
    (Code::FixtureNotFound, With(|_| test_words(&["--fixtures", "fixtures"]))),
    (Code::FixtureFiles, With(|bench| fixture(bench, None))),
    (Code::FixtureBadLine, With(|bench| fixture(bench, Some("{\"word\":\"a\"}\n{\"@watermark\":\"soon\"}\n")))),
];

pub(super) const JOB_FILE: &[Case] = &[
    (Code::JobFileUnreadable, With(|_| wasmill(&["run", "jop.toml"]))),
    (Code::JobFileUnreadable, With(|_| wasmill(&["run", "."]))),
    (Code::JobFileNotUtf8, Text(b"[job]\nname = \"caf\xe9\"\n")),
    (Code::JobFileSyntax, Swap(&[("name = \"errors\"", "name = \"errors")])),
    (Code::JobFileSyntax, Text(b"\0\0\0\0")),
    (Code::JobFileUnknownKey, Swap(&[(PATH, "pth = \"in.jsonl\"")])),
    (Code::JobFileUnknownKey, Swap(&[("[source.s]", "[sorce.s]")])),
    (Code::JobFileMissingKey, Swap(&[("format = \"json\"\nschema", "schema")])),
    (Code::JobFileMissingKey, Text(b"")),
    (Code::JobFileWrongType, Swap(&[(PATH, "path = 7")])),
    (Code::JobFileWrongType, Swap(&[("[operator.o]", "[[operator.o]]")])),
    (Code::JobFileUnknownChoice, Swap(&[("format = \"json\"", "format = \"jsno\"")])),
    (Code::JobFileOutOfRange, Swap(&[("\"errors\"", "\"errors\"\nparallelism = 0")])),
    (Code::JobFileOutOfRange, Swap(&[("\"errors\"", "\"errors\"\nparallelism = 99999999999999999999")])),
    (Code::JobFileOutOfRange, Sets(&["operator.o.limits.memory=3GiB"])),
    (Code::JobFileBadDuration, Swap(&[(MODE, MODE), ("[sink", "limits = { call_deadline = \"5 s.\" }\n[sink")])),
    (Code::JobFileBadDuration, Swap(&[("[sink", "limits = { call_deadline = 5 }\n[sink")])),
    (Code::JobFileBadSize, Swap(&[("[sink", "limits = { memory = \"64MB\" }\n[sink")])),
    (Code::JobFileBadSize, Swap(&[("[sink", "limits = { memory = true }\n[sink")])),
    (Code::JobFileBadValue, Swap(&[(PATH, "path = \"\"")])),
    (Code::JobFileBadValue, Swap(&[(PATH, "path = \"a[.jsonl\"")])),
    (Code::JobFileBadName, Swap(&[("\"errors\"", "\"my job\"")])),
    (Code::JobFileNameTaken, Swap(&[("[sink.out]", "[sink.o]")])),
    (Code::JobFileUnknownType, Swap(&[("\"utf8\"", "\"string\"")])),
    (Code::JobFileConflict, Swap(&[(INPUT, "input = \"s\"\nexchange = \"hash\"")])),
    (Code::JobFileConflict, Swap(&[(INPUT, "input = \"s\"\ninputs = []")])),
    (Code::JobFileConflict, Swap(&[("[sink", "[dead_letter]\nconnector = \"blackhole\"\n[sink")])),
    (Code::JobFileIncomplete, Text(b"[job]\nname = \"errors\"\n")),
];

pub(super) const WIRING: &[Case] = &[
    (Code::UnknownVertex, Swap(&[(INPUT, "input = \"source\"")])),
    (Code::UnknownPort, Swap(&[("input = \"o\"", "input = \"o.ouy\"")])),
    (
        Code::AmbiguousPort,
        Swap(&[
            ("connector = \"file\"\npath = \"in.jsonl\"\nformat = \"json\"", "connector = \"nexmark\""),
            (SCHEMA, ""),
        ]),
    ),
    (Code::SinkAsInput, Swap(&[(INPUT, "input = \"out\"")])),
    (Code::Circle, Swap(&[(INPUT, "input = \"o\"")])),
    (Code::UnknownColumn, Swap(&[(INPUT, "input = \"s\"\nkey_by = [\"kk\"]")])),
    (Code::UnknownColumn, Swap(&[(SCHEMA, "schema = { a = \"int64\" }\nevent_time = { column = \"at\" }")])),
    (Code::DuplicateColumn, Swap(&[(INPUT, "input = \"s\"\nkey_by = [\"k\", \"k\"]")])),
    (
        Code::OperatorColumnMissing,
        Swap(&[(SCHEMA, "schema = { aa = \"int64\", k = \"utf8\" }"), (MODE, "mode = \"keep\"")]),
    ),
    (Code::OperatorInputCount, Swap(&[(MODE, "mode = \"describe:inputs\""), (INPUT, KEYED)])),
    (Code::OperatorNeedsEventTimes, Swap(&[(MODE, "mode = \"describe:event-times\""), (INPUT, TWO)])),
    (Code::OperatorNotKeyed, Swap(&[(MODE, "mode = \"count\"")])),
    (Code::OperatorNotBroadcast, Swap(&[(MODE, "mode = \"broadcast\"")])),
    (
        Code::KeyTypesDiffer,
        Swap(&[
            (MODE, "mode = \"count-both\""),
            (INPUT, "inputs = [{ from = \"s\", key_by = [\"k\"] }, { from = \"s\", key_by = [\"a\"] }]"),
        ]),
    ),
    (Code::KeyOnFloat, Swap(&[("\"int64\"", "\"float64\""), (INPUT, "input = \"s\"\nkey_by = [\"a\"]")])),
    (
        Code::EventTimeType,
        Swap(&[(SCHEMA, "schema = { a = \"int64\", k = \"utf8\" }\nevent_time = { column = \"a\" }")]),
    ),
    (Code::ForwardParallelism, Swap(&[(INPUT, "input = \"s\"\nexchange = \"forward\"\nparallelism = 2")])),
    (Code::FormatColumnType, Swap(&[("\"utf8\"", "\"binary\"")])),
    (Code::FormatColumnType, Sets(&["sink.out.format=lines", "sink.out.column=a"])),
    (Code::FormatColumnType, Sets(&["sink.out.format=lines", "sink.out.column=text"])),
    (
        Code::SinkPathShared,
        Swap(&[(
            "[sink.out]",
            "[sink.copy]\ninput = \"o\"\nconnector = \"file\"\npath = \"out.jsonl\"\nformat = \"json\"\n\n[sink.out]",
        )]),
    ),
];

pub(super) const PLUGINS: &[Case] = &[
    (Code::PluginUnreadable, Swap(&[("PLUGINS/rust-plain.wasm", "./rust-plan.wasm")])),
    (Code::PluginNotAPath, Swap(&[("PLUGINS/rust-plain.wasm", "rust-plain")])),
    (Code::RefusedByOperator, Swap(&[(MODE, "mode = \"zebra\"")])),
    (Code::NotDescribed, Swap(&[(MODE, "mode = \"hostile:describe-trap\"")])),
    (Code::BadDescriptor, Swap(&[(MODE, "mode = \"describe:port-name\""), (INPUT, TWO)])),
    (Code::UnsupportedState, Swap(&[(MODE, "mode = \"describe:cell-kind\""), (INPUT, TWO)])),
    (Code::Size, Plugin(|| vec![0; (64 << 20) + 1])),
    (Code::NotAComponent, Plugin(|| b"<!doctype html><title>Sign in</title>".to_vec())),
    (Code::NotAComponent, Plugin(Vec::new)),
    (Code::CoreModule, Plugin(|| MODULE.to_vec())),
    (Code::Precompiled, Plugin(|| b"\x7fELF\x02\x01\x01\xc8\x00\x00\x00\x00\x00\x00\x00\x00".to_vec())),
    (Code::Malformed, Plugin(|| whole()[..1_000].to_vec())),
    (Code::Feature, Plugin(|| component(1, &[MODULE, &[5, 3, 1, 4, 1]].concat()))),
    (Code::Structure, Plugin(|| component(4, &component(1, MODULE)))),
    (Code::Interface, Plugin(|| COMPONENT.to_vec())),
    (Code::ImportNotGranted, Plugin(importing_sockets)),
    (Code::Manifest, Plugin(|| [whole(), MANIFEST.to_vec()].concat())),
];

pub(super) const RUNNING: &[Case] = &[
    (Code::SourceFileNotFound, Swap(&[(PATH, "path = \"int.jsonl\"")])),
    (Code::SourceFileIsFolder, Swap(&[(PATH, "path = \".\"")])),
    (Code::SourceUnreadable, With(broken_gzip)),
    (Code::BadRow, Rows(&[], || b"{\"a\":1,\"k\":\"x\"}\n{\"a\":1.5,\"k\":\"y\"}\n".to_vec())),
    (Code::BadRow, Rows(&[], || b"{\"a\":1,\"k\":null}\n".to_vec())),
    (Code::RowNotUtf8, Rows(&[], || b"{\"a\":1,\"k\":\"caf\xe9\"}\n".to_vec())),
    (
        Code::RowTooLong,
        Rows(&[(SCHEMA, "schema = { a = \"int64\", k = \"utf8\" }\nline_bytes_max = 10")], || {
            b"{\"a\":1,\"k\":\"x\"}\n".to_vec()
        }),
    ),
    (Code::CsvHeader, Rows(&[("format = \"json\"", "format = \"csv\"")], || b"a;k\n1;x\n".to_vec())),
    (Code::SourceFileDamaged, Sets(&["source.s.format=parquet"])),
    (Code::SourceColumns, With(other_columns)),
    (
        Code::StdoutNotLines,
        Swap(&[(
            "connector = \"file\"\npath = \"out.jsonl\"\nformat = \"json\"",
            "connector = \"stdout\"\nformat = \"parquet\"\nparallelism = 2",
        )]),
    ),
    (Code::SinkUnwritable, Swap(&[("path = \"out.jsonl\"", "path = \"in.jsonl/out.jsonl\"")])),
    (Code::OperatorNotOpened, Swap(&[(MODE, "mode = \"hostile:open-error\"")])),
    (Code::OperatorTrapped, Swap(&[(MODE, "mode = \"hostile:panic\"")])),
    (Code::OperatorTrapped, Swap(&[(MODE, "mode = \"hostile:exit\"")])),
    (Code::OperatorFailed, Swap(&[(MODE, "mode = \"fail\"")])),
    (
        Code::CallDeadline,
        Swap(&[(MODE, "mode = \"hostile:loop\""), ("[sink", "limits = { call_deadline = \"100ms\" }\n[sink")]),
    ),
    (Code::MemoryLimit, Swap(&[(MODE, "mode = \"hostile:memory\"")])),
    (Code::OutputLimit, Swap(&[(MODE, "mode = \"hostile:rows\"")])),
    (Code::BadReply, Swap(&[(MODE, "mode = \"bad:take-row\""), (INPUT, TWO), ("input = \"o\"", "input = \"o.pass\"")])),
    (
        Code::StateLimit,
        Swap(&[(MODE, "mode = \"count\""), (INPUT, KEYED), ("[sink", "limits = { state = \"10B\" }\n[sink")]),
    ),
    (
        Code::TimerLimit,
        Swap(&[(MODE, "mode = \"count\""), (INPUT, KEYED), ("[sink", "limits = { timers = 1 }\n[sink")]),
    ),
    (
        Code::KeyTooLong,
        Rows(&[(INPUT, KEYED), (MODE, "mode = \"count\"")], || {
            format!("{{\"a\":1,\"k\":\"{}\"}}\n", "x".repeat(600 << 10)).into()
        }),
    ),
    (
        Code::TooManyBadRows,
        Rows(&[(MODE, "mode = \"fail\""), ("[sink", "on_error = \"skip\"\n[sink")], || {
            b"{\"a\":-7,\"k\":\"x\"}\n".repeat(2_000)
        }),
    ),
];

/// Codes without a case, and where they arise instead.
pub(super) const BESIDE: &[(Code, &str)] = &[
    (Code::CompileBudget, "takes its time: tests of hostile uploads"),
    (Code::CompilerCrash, "no component is known that does it: tests of the worker"),
    (Code::PluginWorker, "the binary is its own worker: tests of the worker"),
    (Code::OutputClosed, "needs a reader that goes away: tests of a run's life, where it is no error"),
    (Code::InstanceNotStarted, "what does not start does not describe itself either: tests of hostile instances"),
    (Code::NoRoomForInstance, "needs thousands of instances: tests of hostile instances"),
    (Code::StateRecordTooLong, "needs a guest that keeps a megabyte for one key: tests of the state"),
    (Code::BatchTooLarge, "needs 4 GiB of text in one batch: nowhere"),
    (Code::BadRowsNotFound, "depends on how fast the machine is: nowhere"),
    (Code::EndlessTimers, "needs a hostile guest: tests of hostile jobs"),
    (Code::UnsafeListen, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::PathNotAllowed, "needs a JobManager that serves: tests of clusters"),
    (Code::TokensFile, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::TlsFile, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::ListenFailed, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::RequestMalformed, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::Unauthenticated, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::Forbidden, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::ForeignRequest, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::UnknownRoute, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::MethodNotAllowed, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::NotFound, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::RequestTooSlow, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::PluginVersionTaken, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::PluginInUse, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::IdempotencyKeyReused, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::RequestTooLarge, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::WrongContentType, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::DigestMismatch, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::RateLimited, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::ServerBusy, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::NotReady, "needs a JobManager that serves: tests of the HTTP server"),
    (Code::TaskManagerLost, "a run has one, in its own process: tests of the JobManager"),
    (Code::DataFolderInUse, "needs a JobManager that runs: tests of the cluster"),
    (Code::CatalogueUnusable, "needs a disk that fails: nowhere"),
    (Code::TaskManagerRefused, "needs a JobManager that runs: tests of the cluster"),
    (Code::DeploymentFailed, "needs a JobManager that goes away at the wrong moment: nowhere"),
    (Code::SnapshotUnwritable, "needs a disk that is full: tests of snapshot files"),
    (Code::CheckpointVersion, "needs a file of a later version: tests of snapshot files"),
    (Code::CheckpointStore, "needs a folder of several hosts: tests of the checkpoint store"),
    (Code::SavepointExists, "needs a JobManager that runs: tests of savepoints in a cluster"),
    (Code::TransactionLost, "needs a JobManager that runs: tests of recovery in a cluster"),
    (Code::NothingToDecide, "needs a JobManager that runs: tests of recovery in a cluster"),
    (Code::ChoiceNotOffered, "needs a JobManager that runs: tests of recovery in a cluster"),
    (Code::SavepointFailed, "needs a JobManager that runs: tests of savepoints in a cluster"),
    (Code::CheckpointsOff, "needs a JobManager that runs: tests of savepoints in a cluster"),
    (Code::StateIncompatible, "needs a JobManager that runs: tests of savepoints in a cluster"),
    (Code::ReplaceFailed, "needs a JobManager that runs: tests of savepoints in a cluster"),
    (Code::ExchangeLost, "needs two TaskManagers: tests of the data plane"),
    (Code::ExchangeUnreachable, "needs two TaskManagers: tests of the data plane"),
    (Code::FixtureUnwritable, "needs a folder that even root cannot write to: nowhere"),
    (Code::ServerUntrusted, "needs a server with TLS: tests of the cluster"),
    (Code::ServerAnswer, "needs a server that is none of ours: tests of the client"),
    (Code::WaitTimeout, "needs a cluster: tests of the client"),
    (Code::Internal, "cannot happen"),
];

const MODULE: &[u8] = b"\0asm\x01\0\0\0";
/// A section `wasmill:manifest` that holds `[]`.
const MANIFEST: &[u8] = b"\0\x13\x10wasmill:manifest[]";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// A component with one section.
fn component(section: u8, content: &[u8]) -> Vec<u8> {
    let size = u8::try_from(content.len()).ok().filter(|size| *size < 128).expect("the section is short");
    [COMPONENT, &[section, size], content].concat()
}

fn whole() -> Vec<u8> {
    std::fs::read(plugin("rust-plain")).expect("it is there")
}

/// A good operator, but for one import.
fn importing_sockets() -> Vec<u8> {
    let mut bytes = whole();
    let (old, new) = (b"wasi:cli/environment@0.2.6", b"wasi:sockets/network@0.2.6");
    while let Some(place) = bytes.windows(old.len()).position(|part| part == old) {
        bytes[place..place + old.len()].copy_from_slice(new);
    }
    bytes
}

/// A snapshot file in which one bit has changed.
fn damaged_snapshot(bench: &Bench) -> Command {
    let path = bench.path("count-0.redb");
    crate::state_files::write(&path);
    let mut bytes = std::fs::read(&path).expect("it was just written");
    let place = bytes.windows(5).position(|part| part == b"apple").expect("it is a key");
    bytes[place] ^= 1;
    bench.put("count-0.redb", bytes);
    wasmill(&["state", "inspect", "count-0.redb"])
}

/// A script whose `$0` is the binary.
fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_wasmill")]);
    command
}

/// Changes the job file.
pub(super) fn swap(bench: &Bench, parts: &[(&str, &str)]) {
    let mut text = JOB.to_owned();
    for (old, new) in parts {
        assert!(text.contains(old), "{old}");
        text = text.replacen(old, new, 1);
    }
    bench.put_job(&text);
}

fn broken_gzip(bench: &Bench) -> Command {
    bench.put("in.jsonl.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab");
    swap(bench, &[(PATH, "path = \"in.jsonl.gz\"")]);
    run(bench, &[])
}

fn replay_of_another(bench: &Bench) -> Command {
    swap(bench, &[(MODE, "mode = \"hostile:panic\"")]);
    let saved = Running::start(run(bench, &["--capsule", "calls"])).end();
    assert_eq!(saved.code, Some(1), "{}", saved.stderr);
    wasmill(&["replay", "calls/o.1.capsule", "--plugin", &plugin("tokenizer")])
}

fn redirected_with_two_sinks(bench: &Bench) -> Command {
    let copy = "[sink.copy]\ninput = \"o\"\nconnector = \"blackhole\"\n\n[sink.out]";
    swap(bench, &[("[sink.out]", copy)]);
    run(bench, &["--output", "all.jsonl"])
}

/// Reads a Parquet file as if it had another column.
fn other_columns(bench: &Bench) -> Command {
    let to_parquet = ["--set", "sink.out.path=rows.parquet", "--set", "sink.out.format=parquet"];
    let ended = Running::start(run(bench, &to_parquet)).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let parts =
        [(PATH, "path = \"rows.parquet\""), ("\"json\"", "\"parquet\""), (SCHEMA, "schema = { b = \"int64\" }")];
    swap(bench, &parts);
    run(bench, &[])
}

fn test_words(arguments: &[&str]) -> Command {
    let mut command = wasmill(&["test"]);
    command.arg(plugin("keyed-counter")).arg("--cache").arg(cache()).args(arguments);
    command
}

/// Tests with one fixture, of these rows.
fn fixture(bench: &Bench, rows: Option<&str>) -> Command {
    std::fs::create_dir_all(bench.path("fixtures/words")).expect("folders can be made");
    bench.put("fixtures/words/fixture.toml", "schema = { word = \"utf8\" }\nkey_by = [\"word\"]\n");
    if let Some(rows) = rows {
        bench.put("fixtures/words/input.jsonl", rows);
    }
    test_words(&["--fixtures", "fixtures"])
}
