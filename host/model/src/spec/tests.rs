//! What a job file's tables become, and what is refused before anything is wired.

use std::path::Path;

use super::*;

fn read(text: &str) -> Result<JobSpec, Error> {
    JobSpec::read(&Settings::parse(Path::new("job.toml"), text).expect("the test's TOML is valid"))
}

const REST: &str = "[source.s]\nconnector = \"x\"\n[sink.t]\ninput = \"s\"\n";

#[track_caller]
fn refused(text: &str, expect: &str) {
    assert_eq!(read(text).expect_err(expect).to_string(), format!("job.toml:{expect}"), "{text}");
}

#[test]
fn defaults() {
    let spec = read(&format!("[job]\nname = \"j\"\n{REST}[operator.o]\nplugin = \"./o.wasm\"\ninput = \"s.p\"\n"))
        .expect("it is a job");
    assert_eq!((spec.name.as_str(), spec.parallelism, spec.key_groups), ("j", 1, KEY_GROUPS_DEFAULT));
    let names: Vec<&str> = spec.vertices.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["s", "o", "t"], "sources, operators, sinks");
    let RoleSpec::Operator(operator) = &spec.vertices[1].role else { panic!("{:?}", spec.vertices[1]) };
    assert_eq!((operator.config.as_str(), &operator.limits), ("{}", &LimitsSpec::default()));
    assert_eq!(operator.inputs[0].source(), Ok(("s", Some("p"))));
    assert_eq!(spec.vertices[2].inputs()[0].source(), Ok(("s", None)));
    assert!(spec.vertices[0].inputs().is_empty());
}

#[test]
fn all_there_is() {
    let spec = read(
        "[job]\nname = \"j-1_x\"\nparallelism = 3\nkey_groups = 32768\nmode = \"stream\"\n\
         [source.s]\nconnector = \"x\"\nparallelism = 1\nevent_time = { column = \"at\", out_of_order = \"2s\", idle_after = \"1m\", \
         max_drift = \"30s\" }\n\
         [operator.o]\nplugin = \"./o.wasm\"\non_error = \"fail\"\nconfig = { a = [1, 2.5], b = { c = \"d\" } }\n\
         inputs = [{ from = \"s\", key_by = [\"k\"], exchange = \"hash\" }, { from = \"s\", exchange = \"broadcast\" }]\n\
         limits = { memory = \"1MiB\", call_deadline = \"2s\", output = 7, output_rows = 8, table_elements = 10, \
         handles = 11, log_lines_per_second = 12, metric_names = 13, state = \"1GiB\", timers = 9 }\n\
         [sink.t]\ninput = \"o\"\nexchange = \"rebalance\"\n",
    );
    let spec = spec.expect("it is a job");
    assert_eq!(spec.vertices.iter().map(|v| v.parallelism).collect::<Vec<_>>(), [1, 3, 3]);
    let RoleSpec::Source { event_time: Some(time), .. } = &spec.vertices[0].role else {
        panic!("{:?}", spec.vertices[0])
    };
    assert_eq!((time.out_of_order, time.idle_after), (Duration::from_secs(2), Duration::from_secs(60)));
    assert_eq!(time.max_drift, Some(Duration::from_secs(30)));
    let RoleSpec::Operator(operator) = &spec.vertices[1].role else { panic!("{:?}", spec.vertices[1]) };
    assert_eq!(operator.config, r#"{"a":[1,2.5],"b":{"c":"d"}}"#);
    let limits = LimitsSpec {
        memory_bytes: Some(1 << 20),
        call_deadline: Some(Duration::from_secs(2)),
        output_bytes: Some(7),
        output_rows: Some(8),
        table_elements: Some(10),
        handles: Some(11),
        log_lines_per_second: Some(12),
        metric_names: Some(13),
        state_bytes: Some(1 << 30),
        timers: Some(9),
    };
    assert_eq!(operator.limits, limits);
    let exchanges: Vec<_> = operator.inputs.iter().map(|input| input.exchange).collect();
    assert_eq!(exchanges, [Some(ExchangeSpec::Hash), Some(ExchangeSpec::Broadcast)]);
    assert_eq!(spec.vertices[2].inputs()[0].exchange, Some(ExchangeSpec::Rebalance));
}

#[test]
fn jobs_that_are_refused() {
    refused("", "1: `job` is missing");
    refused("[job]\n", "1: job: `name` is missing");
    refused(
        "[job]\nname = \"\"\n",
        "2: job.name: \"\" cannot name the job\n  hint: use letters, digits, `-` and `_`, at most 63",
    );
    refused(
        &format!("[job]\nname = \"j\"\n[source]\n{REST}[sorce]\n"),
        "8: sorce: unknown key `sorce`\n  hint: did you mean `source`?",
    );
    refused("[job]\nname = \"j\"\n", "1: the job has no [source.NAME]: nothing would ever flow");
    refused("[job]\nname = \"j\"\n[source.s]\n", "1: the job has no [sink.NAME]: nothing would ever come out");
    refused(
        &format!("[job]\nname = \"j\"\nmode = \"batch\"\n{REST}"),
        "3: job.mode: expected one of \"stream\", found \"batch\"",
    );
    refused(
        &format!("[job]\nname = \"j\"\nkey_groups = 2\nparallelism = 3\n{REST}"),
        "5: source.s: parallelism 3 is more than the job's 2 key groups",
    );
    refused(
        &format!("[job]\nname = \"j\"\n{REST}[operator.t]\nplugin = \"./o.wasm\"\ninput = \"s\"\n"),
        "5: sink.t: the name `t` is taken by [operator.t]\n  hint: sources, operators and sinks share one namespace",
    );
}

#[test]
fn operators_that_are_refused() {
    for (lines, expect) in [
        ("input = \"s\"", "7: operator.o: `plugin` is missing"),
        ("plugin = \"\"\ninput = \"s\"", "8: operator.o.plugin: the plugin's path is empty"),
        ("plugin = \"x\"", "7: operator.o: `input` is missing"),
        (
            "plugin = \"x\"\ninput = \"s\"\ninputs = []",
            "10: operator.o.inputs: `input` and `inputs` are both written: keep one",
        ),
        ("plugin = \"x\"\ninputs = []", "7: operator.o: an operator needs at least one input"),
        ("plugin = \"x\"\ninputs = [3]", "9: operator.o.inputs[0]: expected a table, found an integer"),
        (
            "plugin = \"x\"\ninputs = [{ from = \"s\", key = 1 }]",
            "9: operator.o.inputs[0].key: unknown key `key`\n  hint: known keys: exchange, from, key_by",
        ),
        ("plugin = \"x\"\ninput = \"s\"\nkey_by = []", "10: operator.o.key_by: `key_by` names no column"),
        (
            "plugin = \"x\"\ninput = \"s\"\nkey_by = \"k\"",
            "10: operator.o.key_by: expected an array of strings, found a string",
        ),
        (
            "plugin = \"x\"\ninput = \"s\"\nexchange = \"hash\"",
            "10: operator.o.exchange: a hash exchange needs `key_by`",
        ),
        (
            "plugin = \"x\"\ninput = \"s\"\nexchange = \"hash\"\nkey_yb = [\"k\"]",
            "11: operator.o.key_yb: unknown key `key_yb`\n  hint: did you mean `key_by`?",
        ),
        (
            "plugin = \"x\"\ninput = \"s\"\nkey_by = [\"k\"]\nexchange = \"forward\"",
            "11: operator.o.exchange: with `key_by` the exchange is always hash: leave `exchange` out",
        ),
        (
            "plugin = \"x\"\ninput = \"s\"\nparallelism = 32769",
            "10: operator.o.parallelism: expected a number from 1 to 32768, found 32769",
        ),
        (
            "plugin = \"x\"\ninput = \"s\"\nlimits = { timers = 0 }",
            "10: operator.o.limits.timers: expected a number from 1 to 4294967296, found 0",
        ),
        (
            "plugin = \"x\"\ninput = \"s\"\nlimits = { memroy = 0 }",
            "10: operator.o.limits.memroy: unknown key `memroy`\n  hint: did you mean `memory`?",
        ),
        (
            "plugin = \"x\"\ninput = \"s\"\nlimit = {}",
            "10: operator.o.limit: unknown key `limit`\n  hint: did you mean `limits`?",
        ),
        ("plugin = \"x\"\ninput = \"s\"\nconfig = 3", "10: operator.o.config: expected a table, found an integer"),
    ] {
        refused(&format!("[job]\nname = \"j\"\n{REST}[operator.o]\n{lines}\n"), expect);
    }
}
