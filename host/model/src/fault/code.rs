//! The names of all errors: one closed list, which users, programs and pages of the documentation share.
//!
//! A code stands for what is to be done now, not for a place in the sources: errors with the same remedy share one. A code
//! that users have seen keeps its name and its meaning. Each has a page, `docs/errors/CODE.md`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Gives the list of all codes to a macro: for each its summary, its variant and its name.
#[macro_export]
macro_rules! codes {
    ($to:ident) => {
        $to! {
            // Why a component cannot be an operator, in the order in which it is looked for.
            /// a component is larger than is taken
            Size = "size",
            /// a file is no WebAssembly component at all
            NotAComponent = "not-a-component",
            /// a core module was given in place of a component
            CoreModule = "core-module",
            /// compiled code was given in place of a component
            Precompiled = "precompiled",
            /// a component is not well-formed
            Malformed = "malformed",
            /// a component needs a part of WebAssembly that the engine does not run
            Feature = "feature",
            /// a component has more or deeper parts than is taken
            Structure = "structure",
            /// a component's exports are not those of the operator contract
            Interface = "interface",
            /// a component imports what an operator cannot have
            ImportNotGranted = "import-not-granted",
            /// a component's manifest is wrong, or wants more than it can have
            Manifest = "manifest",
            /// a component takes too long or too much memory to compile
            CompileBudget = "compile-budget",
            /// the compiler crashed on a component
            CompilerCrash = "compiler-crash",

            // The command line, and what surrounds a job.
            /// the command line cannot be understood
            CommandLine = "command-line",
            /// a `--set` is not of the form key=value, or its key leads through no table
            SetArgument = "set-argument",
            /// an `--input` or `--output` does not fit the job
            Redirect = "redirect",
            /// there is no error of this code
            UnknownErrorCode = "unknown-error-code",
            /// a file named on the command line cannot be read
            FileUnreadable = "file-unreadable",
            /// what the command says cannot be written to standard output
            OutputUnwritable = "output-unwritable",
            /// a project cannot be begun under this name or in this language
            ProjectNotBegun = "project-not-begun",
            /// a project cannot be built to a component
            ProjectNotBuilt = "project-not-built",
            /// the folder of compiled plugins cannot be used
            PluginCache = "plugin-cache",
            /// the process that inspects and compiles plugins cannot do its work
            PluginWorker = "plugin-worker",
            /// the system refuses threads, memory or signals that the run needs
            SystemResources = "system-resources",
            /// a capsule cannot be read
            CapsuleUnreadable = "capsule-unreadable",
            /// a failed call cannot be saved as a capsule
            CapsuleUnwritable = "capsule-unwritable",
            /// a capsule and the plugin it is replayed with do not belong together
            CapsulePlugin = "capsule-plugin",
            /// there is no fixture to run
            FixtureNotFound = "fixture-not-found",
            /// the files of a fixture do not make a whole
            FixtureFiles = "fixture-files",
            /// a line of a fixture is none of what may stand there
            FixtureBadLine = "fixture-bad-line",
            /// what was found cannot be written to a fixture
            FixtureUnwritable = "fixture-unwritable",

            // The text of the job file.
            /// the job file cannot be read
            JobFileUnreadable = "job-file-unreadable",
            /// the job file is not UTF-8
            JobFileNotUtf8 = "job-file-not-utf8",
            /// the job file is not well-formed TOML
            JobFileSyntax = "job-file-syntax",
            /// a key of the job file is not known where it stands
            JobFileUnknownKey = "job-file-unknown-key",
            /// the job file lacks a key that is needed
            JobFileMissingKey = "job-file-missing-key",
            /// a value of the job file has another type than its key
            JobFileWrongType = "job-file-wrong-type",
            /// a value of the job file is not one of the words its key takes
            JobFileUnknownChoice = "job-file-unknown-choice",
            /// a number of the job file is outside of its bounds
            JobFileOutOfRange = "job-file-out-of-range",
            /// a duration of the job file cannot be read
            JobFileBadDuration = "job-file-bad-duration",
            /// a size of the job file cannot be read
            JobFileBadSize = "job-file-bad-size",
            /// a text of the job file does not have the form its key asks for
            JobFileBadValue = "job-file-bad-value",
            /// a name of the job file has characters that names do not have
            JobFileBadName = "job-file-bad-name",
            /// two parts of a job have one name
            JobFileNameTaken = "job-file-name-taken",
            /// a schema names a type that does not exist
            JobFileUnknownType = "job-file-unknown-type",
            /// keys of the job file exclude each other
            JobFileConflict = "job-file-conflict",
            /// a job has no source or no sink
            JobFileIncomplete = "job-file-incomplete",

            // How the parts of a job are wired.
            /// an input names a source or operator that does not exist
            UnknownVertex = "unknown-vertex",
            /// an input names a port that does not exist
            UnknownPort = "unknown-port",
            /// an input must say which of several ports it reads
            AmbiguousPort = "ambiguous-port",
            /// an input names a sink
            SinkAsInput = "sink-as-input",
            /// operators read from each other in a circle
            Circle = "circle",
            /// the job file names a column that the rows do not have
            UnknownColumn = "unknown-column",
            /// a column is named twice
            DuplicateColumn = "duplicate-column",
            /// an operator reads a column that its input does not have
            OperatorColumnMissing = "operator-column-missing",
            /// an operator takes more or fewer inputs than the job file gives it
            OperatorInputCount = "operator-input-count",
            /// an operator keeps something for each key and its input has no `key_by`
            OperatorNotKeyed = "operator-not-keyed",
            /// an operator keeps a broadcast cell and its input is not broadcast
            OperatorNotBroadcast = "operator-not-broadcast",
            /// an operator reads event times, which its input does not have
            OperatorNeedsEventTimes = "operator-needs-event-times",
            /// the keyed inputs of an operator have keys of different types
            KeyTypesDiffer = "key-types-differ",
            /// a float64 column cannot be a key
            KeyOnFloat = "key-on-float",
            /// the column of event times is no timestamp, or may be null
            EventTimeType = "event-time-type",
            /// a forward exchange joins vertices of different parallelism
            ForwardParallelism = "forward-parallelism",
            /// a format cannot hold a column of this type
            FormatColumnType = "format-column-type",
            /// two sinks write to one file
            SinkPathShared = "sink-path-shared",
            /// a format that is no lines cannot go to standard output as it is
            StdoutNotLines = "stdout-not-lines",

            // Plugins, before the job runs.
            /// a plugin's file cannot be read
            PluginUnreadable = "plugin-unreadable",
            /// a plugin is named by something that is no path
            PluginNotAPath = "plugin-not-a-path",
            /// an operator refuses its configuration or its inputs
            RefusedByOperator = "refused-by-operator",
            /// an operator failed while it was asked what it is
            NotDescribed = "not-described",
            /// an operator describes itself as something that cannot be
            BadDescriptor = "bad-descriptor",
            /// an operator asks for a kind of state that this version does not have
            UnsupportedState = "unsupported-state",

            // Sources and sinks of a running job.
            /// a source finds no file
            SourceFileNotFound = "source-file-not-found",
            /// the path of a source is a folder
            SourceFileIsFolder = "source-file-is-folder",
            /// a source cannot open or read its data
            SourceUnreadable = "source-unreadable",
            /// a row does not fit its source's schema or format
            BadRow = "bad-row",
            /// a line is not UTF-8
            RowNotUtf8 = "row-not-utf8",
            /// a line is longer than its source takes
            RowTooLong = "row-too-long",
            /// the header of a CSV file lacks a column of the schema
            CsvHeader = "csv-header",
            /// a file is not in the format it is read in, or is damaged
            SourceFileDamaged = "source-file-damaged",
            /// a file does not have the columns of its source's schema
            SourceColumns = "source-columns",
            /// a sink cannot create or write its output
            SinkUnwritable = "sink-unwritable",
            /// whoever read the output has gone
            OutputClosed = "output-closed",

            // Operators of a running job.
            /// an operator's `open` says that it cannot start
            OperatorNotOpened = "operator-not-opened",
            /// an instance of an operator cannot be made
            InstanceNotStarted = "instance-not-started",
            /// there is no room for one more instance
            NoRoomForInstance = "no-room-for-instance",
            /// an operator trapped
            OperatorTrapped = "operator-trapped",
            /// an operator says that it cannot handle its rows
            OperatorFailed = "operator-failed",
            /// a call of an operator took longer than it may
            CallDeadline = "call-deadline",
            /// an operator wants more memory than it may have
            MemoryLimit = "memory-limit",
            /// an operator answers a call with more than it may
            OutputLimit = "output-limit",
            /// an operator's answer is not what the contract allows
            BadReply = "bad-reply",
            /// an operator keeps more state than it may
            StateLimit = "state-limit",
            /// an operator has more timers than it may
            TimerLimit = "timer-limit",
            /// the state of one key is longer than a record can be
            StateRecordTooLong = "state-record-too-long",
            /// a key is longer than a key can be
            KeyTooLong = "key-too-long",
            /// the rows of one call hold more text than a column can
            BatchTooLarge = "batch-too-large",
            /// an operator's timers set each other again for ever
            EndlessTimers = "endless-timers",
            /// too many rows cannot be read or handled for `on_error` to go on
            TooManyBadRows = "too-many-bad-rows",
            /// it could not be found in time which rows an operator fails on
            BadRowsNotFound = "bad-rows-not-found",

            // Between the processes of a cluster.
            /// a certificate or key cannot be used
            TlsFile = "tls-file",
            /// the address cannot be listened on
            ListenFailed = "listen-failed",
            /// the connection to another TaskManager was lost
            ExchangeLost = "exchange-lost",
            /// another TaskManager cannot be reached
            ExchangeUnreachable = "exchange-unreachable",

            // The JobManager, over HTTP.
            /// an address that others reach would be served without token and TLS
            UnsafeListen = "unsafe-listen",
            /// the file of tokens cannot be used
            TokensFile = "tokens-file",
            /// a job may not use the file that it names
            PathNotAllowed = "path-not-allowed",
            /// a request is not what its route takes
            RequestMalformed = "request-malformed",
            /// a request shows no valid token
            Unauthenticated = "unauthenticated",
            /// the role of the token does not allow the request
            Forbidden = "forbidden",
            /// a request comes by another name or from another site
            ForeignRequest = "foreign-request",
            /// there is nothing at this path
            UnknownRoute = "unknown-route",
            /// the path does not know this method
            MethodNotAllowed = "method-not-allowed",
            /// there is no job, plugin, worker or edge of this name
            NotFound = "not-found",
            /// a request took too long to arrive
            RequestTooSlow = "request-too-slow",
            /// this version of the plugin has other bytes already
            PluginVersionTaken = "plugin-version-taken",
            /// jobs that have not ended run the plugin
            PluginInUse = "plugin-in-use",
            /// an idempotency key came again with another request
            IdempotencyKeyReused = "idempotency-key-reused",
            /// a request is larger than its route takes
            RequestTooLarge = "request-too-large",
            /// a body is not of a type that the route takes
            WrongContentType = "wrong-content-type",
            /// what arrived is not what its digest says
            DigestMismatch = "digest-mismatch",
            /// requests came faster than they are taken
            RateLimited = "rate-limited",
            /// the server has no room or time for the request now
            ServerBusy = "server-busy",
            /// the JobManager cannot carry out requests yet
            NotReady = "not-ready",
            // What the processes of a cluster keep and make.
            /// another process uses the data folder
            DataFolderInUse = "data-folder-in-use",
            /// what a cluster keeps on disk cannot be read or written
            CatalogueUnusable = "catalogue-unusable",
            /// a TaskManager does not fit the cluster
            TaskManagerRefused = "taskmanager-refused",
            /// a TaskManager cannot get what it is to run
            DeploymentFailed = "deployment-failed",
            /// a snapshot file cannot be read, or is none
            SnapshotUnreadable = "snapshot-unreadable",
            /// a snapshot file cannot be written
            SnapshotUnwritable = "snapshot-unwritable",
            /// a part of a checkpoint is not what was written
            CheckpointDamaged = "checkpoint-damaged",
            /// what a sink had prepared cannot be made visible any more
            TransactionLost = "transaction-lost",
            /// a choice was made about a job of which nothing is to be decided
            NothingToDecide = "nothing-to-decide",
            /// a choice was made that is none of those there are
            ChoiceNotOffered = "choice-not-offered",
            /// a snapshot file or manifest is of a version that is not known
            CheckpointVersion = "checkpoint-version",
            /// the checkpoint store cannot be read or written
            CheckpointStore = "checkpoint-store",
            /// a savepoint of this name is there already
            SavepointExists = "savepoint-exists",
            /// a file is no exported savepoint, or not a whole one
            SavepointFileDamaged = "savepoint-file-damaged",
            /// a savepoint could not be taken
            SavepointFailed = "savepoint-failed",
            /// a job takes no checkpoints, and something was asked for that needs them
            CheckpointsOff = "checkpoints-off",
            /// a job cannot go on from a checkpoint of another form of it
            StateIncompatible = "state-incompatible",
            /// a running job could not be replaced by another form of itself
            ReplaceFailed = "replace-failed",
            // The client of a cluster.
            /// no JobManager can be reached where one is looked for
            ServerUnreachable = "server-unreachable",
            /// it cannot be proved that a server is the one that is meant
            ServerUntrusted = "server-untrusted",
            /// what answers is no JobManager, or one that is not understood
            ServerAnswer = "server-answer",
            /// the client's file of clusters cannot be used
            ClientConfig = "client-config",
            /// the client's token, certificate or key cannot be used
            ClientCredentials = "client-credentials",
            /// a job did not come as far in time as was waited for
            WaitTimeout = "wait-timeout",

            // Wasmill's own.
            /// a TaskManager was lost
            TaskManagerLost = "taskmanager-lost",
            /// a fault of Wasmill itself
            Internal = "internal",
        }
    };
}

macro_rules! define {
    ($(#[doc = $summary:literal] $code:ident = $name:literal,)+) => {
        /// What kind of error it is: a stable name, whose page says what to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $summary] $code,)+
        }

        impl Code {
            /// All codes, in the order of the list.
            pub const ALL: &[Self] = &[$(Self::$code,)+];

            /// The name, as in `error[job-file-unknown-key]`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)+
                }
            }

            /// What has happened, in one line.
            pub const fn summary(self) -> &'static str {
                match self {
                    $(Self::$code => $summary.trim_ascii(),)+
                }
            }
        }
    };
}

codes!(define);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// No error has this code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no error `{0}`")]
pub struct Unknown(pub String);

impl FromStr for Code {
    type Err = Unknown;

    fn from_str(name: &str) -> Result<Self, Unknown> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name).ok_or_else(|| Unknown(name.to_owned()))
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_kebab_case_and_unique_and_can_be_read_back() {
        let mut names = BTreeSet::new();
        for &code in Code::ALL {
            let name = code.as_str();
            let word =
                |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            assert!(name.split('-').all(word), "{name}");
            assert!(names.insert(name), "{name} stands twice");
            assert_eq!(name.parse(), Ok(code));
            let json = serde_json::to_string(&code).expect("it is a string");
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Code>(&json).expect("it was just written"), code);
        }
        assert_eq!("job-file-unknown-kye".parse::<Code>(), Err(Unknown("job-file-unknown-kye".to_owned())));
    }

    #[test]
    fn summaries_are_lines_without_a_full_stop() {
        for code in Code::ALL {
            let summary = code.summary();
            let good = (10..=80).contains(&summary.len()) && !summary.ends_with('.') && !summary.contains('\n');
            assert!(good, "{code}: {summary}");
        }
    }
}
