//! The documentation of the job file's keys, a list a table. A test holds them against what the readers ask for.

use crate::settings::Key;

/// `[job]`.
pub const JOB: &[Key] = &[
    Key::new("name", "required", "for logs and tables"),
    Key::new("parallelism", "1", "subtasks of every vertex that does not say"),
    Key::new("key_groups", "1,024", "the number keys are hashed to, 1 to 32,768; parallelism cannot exceed it"),
    Key::new("mode", "`\"stream\"`", "`\"stream\"`"),
    Key::new(
        "checkpoints",
        "on",
        "when a cluster notes down how far the job is, so that it goes on from there: `true`, `false`, or a table with the keys below",
    ),
];

/// `checkpoints` of `[job]`.
pub const CHECKPOINTS: &[Key] = &[
    Key::new("interval", "`\"10s\"`", "from the start of one to the start of the next; at least `\"10ms\"`"),
    Key::new("timeout", "`\"10m\"`", "one that takes longer is given up; the next has what it would have had"),
    Key::new("min_pause", "`\"0s\"`", "from the end of one to the start of the next, at least"),
    Key::new("retained", "3", "how many are kept, the newest; 1 to 1,000"),
];

/// `[source.NAME]`, but for the keys of connectors.
pub const SOURCE: &[Key] = &[
    Key::new("connector", "required", "which one: see [connectors](connectors.md), also for the keys of each"),
    Key::new("parallelism", "the job's", "subtasks"),
    Key::new(
        "on_error",
        "`\"fail\"`",
        "what becomes of rows the source cannot read. `\"fail\"`: the job fails; `\"skip\"`: they are counted and left out; \
         `\"dead_letter\"`: they go to the [dead letters](dead-letters.md)",
    ),
    Key::new(
        "bad_rows_percent_max",
        "1",
        "with `skip` and `dead_letter`: how many of a hundred rows may be bad, from 0 to 100, counted over 10,000 rows of a \
         subtask. More fail the job: the schema is more likely wrong than the rows. 100: no limit",
    ),
    Key::new("event_time", "none", "where the event time of a row stands, a table with the keys below"),
];

/// `event_time` of a source.
pub const EVENT_TIME: &[Key] = &[
    Key::new("column", "required", "the column that holds it, of type `timestamp`, without nulls"),
    Key::new("out_of_order", "`\"0s\"`", "how far behind the latest row a row may be without being late"),
    Key::new(
        "idle_after",
        "`\"5s\"`",
        "after how long without rows a source that does not end stops holding back the watermark",
    ),
    Key::new(
        "max_drift",
        "none",
        "how far the source may run ahead of the slowest subtask of all sources whose rows meet its own in an operator: then it \
         waits for that one. See [time](../concepts/time.md#sources-of-different-speed)",
    ),
];

/// `[operator.NAME]`.
pub const OPERATOR: &[Key] = &[
    Key::new("plugin", "required", "the component's file: a path with a slash, relative to the job file"),
    Key::new(
        "input",
        "this or `inputs`",
        "where rows come from: `\"vertex\"` or `\"vertex.port\"`. Without a port, the port `out` or the only one",
    ),
    Key::new(
        "inputs",
        "",
        "several inputs: an array of `{ from = \"vertex.port\", key_by = [...], exchange = \"...\" }`, in the order the operator \
         expects",
    ),
    Key::new("key_by", "none", "the columns rows are grouped by. Not `float64`"),
    Key::new(
        "exchange",
        "`hash` with `key_by`; else `forward` if both sides have the same parallelism, else `rebalance`",
        "`\"forward\"`, `\"rebalance\"`, `\"broadcast\"`, `\"hash\"`",
    ),
    Key::new("config", "`{}`", "a table, handed to the operator as JSON"),
    Key::new("parallelism", "the job's", "subtasks"),
    Key::new(
        "on_error",
        "`\"fail\"`",
        "what becomes of rows the operator fails on. `\"fail\"`: the job fails; `\"skip\"`: they are counted and left out; \
         `\"dead_letter\"`: they go to the [dead letters](dead-letters.md). See rule 39 of [the contract](operator-contract.md)",
    ),
    Key::new("limits", "below", "what one instance may use, a table with the keys below"),
];

/// `limits` of an operator.
pub const LIMITS: &[Key] = &[
    Key::new("memory", "`\"64MiB\"`", "linear memory, summed over all its memories; at most `\"2GiB\"`"),
    Key::new("call_deadline", "`\"5s\"`", "time one call may take; at most `\"1h\"`"),
    Key::new("output", "`\"16MiB\"`", "bytes one call may hand over; at most `\"1GiB\"`"),
    Key::new("output_rows", "1,048,576", "rows one call may emit beyond those it was given; at most 268,435,456"),
    Key::new("table_elements", "20,000", "elements of its tables, summed; at most 100,000"),
    Key::new("handles", "10,000", "handles of WASI's streams and the like, open at one time; at most 100,000"),
    Key::new("log_lines_per_second", "100", "lines it may log, or at once after a silence; at most 10,000"),
    Key::new("metric_names", "100", "names of counters and gauges; at most 1,000"),
    Key::new("state", "`\"1GiB\"`", "bytes of keyed state; at most `\"64GiB\"`"),
    Key::new("timers", "4,194,304", "timers that are set; at most 4,294,967,296"),
];

/// `[sink.NAME]`, but for the keys of connectors.
pub const SINK: &[Key] = &[
    Key::new("input", "required", "where rows come from, as for operators"),
    Key::new("key_by", "none", "as for operators: rows of one key are written by one subtask"),
    Key::new("exchange", "as for operators", "as for operators"),
    Key::new("parallelism", "the job's", "subtasks"),
    Key::new("connector", "required", "which one: see [connectors](connectors.md)"),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{settings::Settings, spec::JobSpec};

    const JOB_FILE: &str = "[job]\nname = \"j\"\n\
        [source.s]\nevent_time = { column = \"at\" }\n\
        [operator.o]\nplugin = \"./o.wasm\"\ninput = \"s\"\nlimits = {}\n\
        [sink.t]\ninput = \"o\"\n";

    #[test]
    fn what_is_documented_is_what_is_read() {
        let settings = Settings::parse(Path::new("job.toml"), JOB_FILE).expect("it is TOML");
        JobSpec::read(&settings).expect("it is a job");
        for (path, documented, of_connectors) in [
            ("job", JOB, false),
            ("source.s", SOURCE, true),
            ("source.s.event_time", EVENT_TIME, false),
            ("operator.o", OPERATOR, false),
            ("operator.o.limits", LIMITS, false),
            ("sink.t", SINK, true),
        ] {
            let table = path.split('.').try_fold(settings.clone(), |table, name| {
                let (_, setting) = table.iter().find(|(key, _)| *key == name)?;
                setting.table().ok().cloned()
            });
            let mut read = table.expect(path).known();
            if of_connectors {
                read.push("connector");
            }
            read.sort_unstable();
            let mut names: Vec<&str> = documented.iter().map(|key| key.name).collect();
            names.sort_unstable();
            assert_eq!(names, read, "{path}");
        }
    }
}
