//! What the checker refuses, and which exchange an edge gets.

use std::{collections::BTreeMap, path::Path};

use super::*;
use crate::{
    descriptor::{Cell, CellKind, Port, Reads, Shape},
    plan::Plan,
    settings::Settings,
};

/// Sources and operators by name; every sink takes everything.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    sources: BTreeMap<&'static str, Vec<(&'static str, Schema)>>,
    operators: BTreeMap<&'static str, Descriptor>,
    /// Told to the catalogue, in order.
    asked: Vec<String>,
}

impl Catalogue for Fake {
    fn source(&mut self, vertex: &VertexSpec) -> Result<Vec<(String, Schema)>, Error> {
        self.asked.push(vertex.name.clone());
        vertex.settings.get("connector");
        vertex.settings.finish()?;
        let ports = self.sources[vertex.name.as_str()].iter();
        Ok(ports.map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect())
    }

    fn sink(&mut self, vertex: &VertexSpec, _: &Schema) -> Result<(), Error> {
        self.asked.push(vertex.name.clone());
        vertex.settings.finish()
    }

    fn operator(
        &mut self,
        vertex: &VertexSpec,
        operator: &OperatorSpec,
        _: &[Input],
    ) -> Result<(Descriptor, LimitsSpec), Error> {
        self.asked.push(vertex.name.clone());
        Ok((self.operators[vertex.name.as_str()].clone(), operator.limits.clone()))
    }
}

/// Columns written as in a job file: `a:int64 note:utf8?`.
fn fields(text: &str) -> Vec<Field> {
    let field = |word: &str| {
        let (name, data_type) = word.split_once(':').expect("NAME:TYPE");
        let (data_type, nullable) = data_type.strip_suffix('?').map_or((data_type, false), |t| (t, true));
        Field { name: name.into(), data_type: DataType::from_name(data_type).expect("a type"), nullable }
    };
    text.split_whitespace().map(field).collect()
}

fn schema(text: &str) -> Schema {
    Schema::new(fields(text)).expect("the names differ")
}

fn reads(columns: &str) -> Reads {
    Reads { columns: columns.split_whitespace().map(str::to_owned).collect(), keyed: false, event_times: false }
}

fn keyed(columns: &str) -> Reads {
    Reads { keyed: true, ..reads(columns) }
}

fn port(name: &str, shape: Shape) -> Port {
    Port { name: name.into(), shape, event_times: false }
}

fn pass(input: u32) -> Shape {
    Shape::Pass { input }
}

fn extend(input: u32, columns: &str) -> Shape {
    Shape::Extend { input, columns: fields(columns) }
}

fn key(columns: &str) -> Shape {
    Shape::Key { columns: fields(columns) }
}

fn new(columns: &str) -> Shape {
    Shape::New { schema: schema(columns) }
}

/// An operator with these inputs and ports; the first port is called `out`, the others `p1`, `p2` ...
fn operator(inputs: Vec<Reads>, shapes: Vec<Shape>) -> Descriptor {
    let name = |place: usize| if place == 0 { "out".to_owned() } else { format!("p{place}") };
    Descriptor {
        inputs,
        ports: shapes.into_iter().enumerate().map(|(place, shape)| port(&name(place), shape)).collect(),
        cells: Vec::new(),
        timers: false,
        notice_watermark: false,
        notice_end_of_input: false,
        extra: Vec::new(),
    }
}

fn cell(name: &str) -> Cell {
    Cell::value(name, DataType::Int64)
}

/// Two sources, `s` with one port and `m` with two, and `o` as given.
fn fake(o: Descriptor) -> Fake {
    let rows = || schema("a:int64 b:int64 f:float64 k:utf8 at:timestamp late:timestamp?");
    let sources =
        [("s", vec![("out", rows())]), ("m", vec![("left", rows()), ("right", schema("x:utf8 y:int64 a:int64"))])];
    Fake { sources: sources.into(), operators: [("o", o)].into(), asked: Vec::new() }
}

fn check(fake: &mut Fake, text: &str) -> Result<JobGraph, Error> {
    let settings = Settings::parse(Path::new("job.toml"), text).expect("the test's TOML is valid");
    JobGraph::check(&JobSpec::read(&settings)?, fake)
}

const HEAD: &str = "[job]\nname = \"j\"\n[source.s]\nconnector = \"x\"\n[source.m]\nconnector = \"x\"\n";

/// A job with `o` wired by these lines, and a sink that reads it. The first of them is line 9.
fn wired(lines: &str) -> String {
    format!("{HEAD}[operator.o]\nplugin = \"./o.wasm\"\n{lines}\n[sink.out]\ninput = \"o.out\"\n")
}

#[track_caller]
fn refused(o: Descriptor, lines: &str, expect: &str) {
    let error = check(&mut fake(o), &wired(lines)).expect_err(expect).to_string();
    assert_eq!(error, format!("job.toml:{expect}"));
}

const ROWS: &str = "{ a: int64, b: int64, f: float64, k: utf8, at: timestamp, late: timestamp? }";

#[test]
fn what_an_operator_says_must_fit_its_inputs() {
    let plain = "input = \"s\"";
    let by_a = "input = \"s\"\nkey_by = [\"a\"]";
    refused(
        operator(vec![reads(""), reads("")], vec![pass(0)]),
        plain,
        "8: operator.o.plugin: operator `o` takes 2 inputs, the job file gives it 1",
    );
    refused(
        operator(vec![reads("a bb")], vec![pass(0)]),
        plain,
        &format!(
            "9: operator.o.input: operator `o` reads a column `bb` that is not there\n  \
             hint: it reads a, bb; the rows are {ROWS}; did you mean `b`?"
        ),
    );
    refused(
        operator(vec![reads("a a")], vec![pass(0)]),
        plain,
        "8: operator.o.plugin: operator `o` names the column `a` of input 0 twice",
    );
    refused(
        operator(vec![keyed("")], vec![pass(0)]),
        plain,
        "9: operator.o.input: operator `o` keeps something for each key: its input must be keyed\n  \
         hint: add `key_by = [\"COLUMN\"]`",
    );
    refused(
        operator(vec![keyed(""), keyed("")], vec![pass(0)]),
        "inputs = [{ from = \"s\", key_by = [\"a\"] }, { from = \"m.right\", key_by = [\"x\"] }]",
        "8: operator.o.plugin: operator `o` has keyed inputs whose keys differ in type, or in whether they may be null",
    );
    refused(
        Descriptor { timers: true, ..operator(vec![reads("")], vec![pass(0)]) },
        by_a,
        "8: operator.o.plugin: operator `o` wants state or timers, but none of its inputs is keyed",
    );
    refused(
        Descriptor { cells: vec![cell("n")], ..operator(vec![reads("")], vec![pass(0)]) },
        by_a,
        "8: operator.o.plugin: operator `o` wants state or timers, but none of its inputs is keyed",
    );
}

#[test]
fn what_an_operator_says_must_be_right_in_itself() {
    let by_a = "input = \"s\"\nkey_by = [\"a\"]";
    let start = "8: operator.o.plugin: operator `o` ";
    let ports = |ports: Vec<Port>| Descriptor { ports, ..operator(vec![keyed("")], vec![]) };
    let cells = |cells: Vec<Cell>| Descriptor { cells, ..operator(vec![keyed("")], vec![pass(0)]) };
    let names = "use lower case letters, digits and `_`";
    let many = |n: usize| (0..n).map(|i| port(&format!("p{i}"), pass(0))).collect::<Vec<_>>();
    for (descriptor, expect) in [
        (ports(vec![]), "has 0 ports; it needs at least 1 and at most 64".to_owned()),
        (ports(many(65)), "has 65 ports; it needs at least 1 and at most 64".to_owned()),
        (ports(vec![port("Out", pass(0))]), format!("names a port \"Out\": {names}")),
        (ports(vec![port("", pass(0))]), format!("names a port \"\": {names}")),
        (ports(vec![port(&"x".repeat(64), pass(0))]), format!("names a port \"{}\": {names}", "x".repeat(64))),
        (ports(vec![port("a", pass(0)), port("a", pass(0))]), "names the port `a` twice".to_owned()),
        (ports(vec![port("a", pass(1))]), "has a port `a` of input 1, which it does not have".to_owned()),
        (ports(vec![port("a", extend(1, ""))]), "has a port `a` of input 1, which it does not have".to_owned()),
        (
            ports(vec![port("a", extend(0, "x:utf8 x:utf8"))]),
            "has a port `a` where column `x` is named twice".to_owned(),
        ),
        (ports(vec![port("a", key("a:utf8"))]), "has a port `a` where column `a` is named twice".to_owned()),
        (
            ports(vec![port("a", extend(0, ":utf8?"))]),
            "has a port `a` with a column without a name (`: utf8?`)".to_owned(),
        ),
        (cells((0..65).map(|i| cell(&format!("c{i}"))).collect()), "has 65 cells; at most 64 are allowed".to_owned()),
        (cells(vec![cell("x y")]), format!("names a cell \"x y\": {names}")),
        (cells(vec![cell("x"), cell("x")]), "names the cell `x` twice".to_owned()),
    ] {
        refused(descriptor, by_a, &format!("{start}{expect}"));
    }
    refused(
        operator(vec![reads("")], vec![key("n:int64")]),
        by_a,
        &format!("{start}has a port `out` of its keys, but none of its inputs is keyed"),
    );
    let broadcast = Cell { kind: CellKind::Broadcast, sub_key: Some(DataType::Int64), ..cell("all") };
    refused(
        Descriptor { cells: vec![broadcast.clone()], ..operator(vec![reads("")], vec![pass(0)]) },
        "input = \"s\"",
        "9: operator.o.input: operator `o` keeps `all` in all its instances: they must be given the same rows\n  \
         hint: add `exchange = \"broadcast\"` to this input",
    );
    let shared = Descriptor { cells: vec![broadcast], ..operator(vec![reads("")], vec![pass(0)]) };
    check(&mut fake(shared), &wired("input = \"s\"\nexchange = \"broadcast\"")).expect("all are given the same");
    let most =
        Descriptor { ports: many(63), cells: (0..64).map(|i| cell(&format!("c{i}"))).collect(), ..ports(vec![]) };
    let most = Descriptor { ports: most.ports.into_iter().chain([port("out", pass(0))]).collect(), ..most };
    check(&mut fake(most), &wired(by_a)).expect("64 of each are allowed");
}

#[test]
fn wiring_that_leads_nowhere() {
    let o = || operator(vec![reads("")], vec![pass(0)]);
    for (lines, expect) in [
        (
            "input = \"o\"",
            "7: operator.o: `o` is part of a circle: it reads, through others, from itself\n  hint: the circle: o reads from o",
        ),
        ("input = \"sx\"", "9: operator.o.input: there is no source or operator `sx`\n  hint: did you mean `s`?"),
        (
            "input = \"zebra\"",
            "9: operator.o.input: there is no source or operator `zebra`\n  hint: there are: s, m, o",
        ),
        ("input = \"out\"", "9: operator.o.input: `out` is a sink: nothing comes out of it"),
        ("input = \"s.outt\"", "9: operator.o.input: `s` has no port `outt`\n  hint: did you mean `out`?"),
        ("input = \"m.zebra\"", "9: operator.o.input: `m` has no port `zebra`\n  hint: its ports are: left, right"),
        (
            "input = \"m\"",
            "9: operator.o.input: `m` has several ports\n  hint: write `m.PORT`; its ports are: left, right",
        ),
        (
            "input = \"s\"\nkey_by = [\"kk\"]",
            "10: operator.o.key_by: there is no column `kk` to key by\n  hint: did you mean `k`?",
        ),
        ("input = \"s\"\nkey_by = [\"a\", \"a\"]", "10: operator.o.key_by: column `a` is named twice"),
        (
            "input = \"s\"\nparallelism = 2\nexchange = \"forward\"",
            "9: operator.o.input: a forward exchange needs equal parallelism: `s` has 1, `o` has 2",
        ),
    ] {
        refused(o(), lines, expect);
    }
    let error =
        check(&mut fake(o()), &wired("input = \"s\"\nkey_by = [\"f\"]")).expect_err("floats are no keys").to_string();
    assert!(error.starts_with("job.toml:10: operator.o.key_by: ") && error.contains('f'), "{error}");
}

#[test]
fn a_circle_is_blamed_on_those_in_it() {
    let text = format!(
        "{HEAD}[operator.first]\nplugin = \"./o.wasm\"\ninput = \"o\"\n[operator.o]\nplugin = \"./o.wasm\"\ninput = \"p\"\n\
         [operator.p]\nplugin = \"./o.wasm\"\ninputs = [{{ from = \"s\" }}, {{ from = \"o\" }}]\n[sink.out]\ninput = \"first\"\n"
    );
    let error = check(&mut Fake::default(), &text).expect_err("it is a circle").to_string();
    assert_eq!(
        error,
        "job.toml:10: operator.o: `o` is part of a circle: it reads, through others, from itself\n  \
         hint: the circle: o reads from p reads from o"
    );
}

#[test]
fn event_times_come_from_a_timestamp_that_is_never_null() {
    let with = |column: &str| {
        let o = operator(vec![reads("")], vec![pass(0)]);
        let text = wired("input = \"s\"")
            .replace("[source.m]", &format!("event_time = {{ column = \"{column}\" }}\n[source.m]"));
        check(&mut fake(o), &text)
    };
    for (column, expect) in [
        (
            "late",
            "an event time is a `timestamp` that is never null; the column is `late: timestamp?`\n  hint: with \
          `late = \"timestamp\"` in `schema`, a null is a bad row",
        ),
        ("a", "an event time is a `timestamp` that is never null; the column is `a: int64`"),
        ("att", "there is no column `att`\n  hint: did you mean `at`?"),
        ("zebra", "there is no column `zebra`\n  hint: there are: a, b, f, k, at, late"),
    ] {
        let error = with(column).expect_err(expect).to_string();
        assert_eq!(error, format!("job.toml:5: source.s.event_time.column: {expect}"));
    }
    let graph = with("at").expect("it is a timestamp");
    assert!(
        graph.vertices.iter().flat_map(|v| &v.ports).filter(|p| p.event_times).count() == 2,
        "{:?}",
        graph.vertices
    );
}

#[test]
fn producers_are_asked_before_consumers() {
    let mut fake = fake(operator(vec![reads("")], vec![pass(0)]));
    check(&mut fake, &wired("input = \"s\"")).expect("it fits");
    assert_eq!(fake.asked, ["s", "m", "o", "out"]);
}

#[test]
fn ports_that_nobody_reads_are_odd() {
    let graph =
        check(&mut fake(operator(vec![reads("")], vec![pass(0), new("n:int64")])), &wired("input = \"m.left\""));
    assert_eq!(graph.expect("it fits").warnings, ["nobody reads port `out` of `s`"], "`p1` of `o` is an offer");
    let unread = wired("input = \"m.left\"").replace("\"o.out\"", "\"s\"");
    let graph = check(&mut fake(operator(vec![reads("")], vec![pass(0), new("n:int64")])), &unread);
    assert_eq!(graph.expect("it fits").warnings, ["nobody reads any port of `o`"]);
}

/// The exchange between `o` and a consumer `c` with these lines.
#[track_caller]
fn exchange_behind(o: Descriptor, lines: &str, consumer: &str) -> Exchange {
    let mut fake = fake(o);
    fake.operators.insert("c", operator(vec![reads("")], vec![pass(0)]));
    let text = format!(
        "{}[operator.c]\nplugin = \"./c.wasm\"\n{consumer}\n[sink.last]\ninput = \"c\"\n",
        wired(&format!("{lines}\nparallelism = 2"))
    );
    let graph = check(&mut fake, &text).expect("it fits");
    let place = |name: &str| graph.vertices.iter().position(|v| v.name == name).expect("it is there");
    graph.edges.iter().find(|e| e.from == place("o") && e.to == place("c")).expect("they are joined").exchange.clone()
}

#[test]
fn rows_that_stand_by_their_key_already_stay_where_they_are() {
    let by = |columns: &str| format!("input = \"s\"\nkey_by = [{columns}]");
    let then = |port: &str, parallelism: u32, columns: &str| {
        format!("input = \"o.{port}\"\nkey_by = [{columns}]\nparallelism = {parallelism}")
    };
    let o = || {
        operator(
            vec![keyed("")],
            vec![pass(0), extend(0, "n:int64"), extend(0, "a:int64"), key("n:int64"), new("a:int64 k:utf8")],
        )
    };
    let hash = |key: &[usize]| Exchange::Hash { key: key.to_vec() };
    for (own, port, parallelism, columns, expect) in [
        ("\"a\"", "out", 2, "\"a\"", Exchange::Forward),
        ("\"a\", \"k\"", "out", 2, "\"a\", \"k\"", Exchange::Forward),
        ("\"a\"", "p1", 2, "\"a\"", Exchange::Forward),
        ("\"a\"", "p3", 2, "\"a\"", Exchange::Forward),
        // Other subtasks, other keys, another order, another value in the column, rows of the operator's own.
        ("\"a\"", "out", 3, "\"a\"", hash(&[0])),
        ("\"a\"", "out", 2, "\"b\"", hash(&[1])),
        ("\"a\"", "out", 2, "\"a\", \"k\"", hash(&[0, 3])),
        ("\"a\", \"k\"", "out", 2, "\"k\", \"a\"", hash(&[3, 0])),
        ("\"a\", \"k\"", "out", 2, "\"a\"", hash(&[0])),
        ("\"a\"", "p2", 2, "\"a\"", hash(&[0])),
        ("\"b\"", "p3", 2, "\"n\"", hash(&[1])),
        ("\"a\"", "p4", 2, "\"a\"", hash(&[0])),
    ] {
        let found = exchange_behind(o(), &by(own), &then(port, parallelism, columns));
        assert_eq!(found, expect, "{own} {port} {parallelism} {columns}");
    }
    // An operator that takes no notice of keys may be fed any way.
    let found = exchange_behind(operator(vec![reads("")], vec![pass(0)]), &by("\"a\""), &then("out", 2, "\"a\""));
    assert_eq!(found, hash(&[0]));
}

/// Two inputs with keys of different names, both with a column `a`: the rows of the second stand by `y`, not by `a`.
#[test]
fn the_key_that_rows_stand_by_is_that_of_their_own_input() {
    let inputs = "inputs = [{ from = \"s\", key_by = [\"a\"] }, { from = \"m.right\", key_by = [\"y\"] }]";
    let o = || operator(vec![keyed(""), keyed("")], vec![pass(0), pass(1), key("")]);
    let then = |port: &str, column: &str| format!("input = \"o.{port}\"\nkey_by = [\"{column}\"]\nparallelism = 2");
    assert_eq!(exchange_behind(o(), inputs, &then("out", "a")), Exchange::Forward);
    assert_eq!(exchange_behind(o(), inputs, &then("p1", "a")), Exchange::Hash { key: vec![2] });
    assert_eq!(exchange_behind(o(), inputs, &then("p1", "y")), Exchange::Forward);
}

#[test]
fn rows_without_a_key_go_as_the_job_file_says() {
    let o = || operator(vec![reads("")], vec![pass(0)]);
    for (parallelism, exchange, expect) in [
        (2, "", Exchange::Forward),
        (3, "", Exchange::Rebalance),
        (2, "exchange = \"forward\"", Exchange::Forward),
        (2, "exchange = \"rebalance\"", Exchange::Rebalance),
        (2, "exchange = \"broadcast\"", Exchange::Broadcast),
        (1, "exchange = \"broadcast\"", Exchange::Broadcast),
    ] {
        let consumer = format!("input = \"o\"\nparallelism = {parallelism}\n{exchange}");
        assert_eq!(exchange_behind(o(), "input = \"s\"", &consumer), expect, "{parallelism} {exchange}");
    }
}

/// The columns that are wanted of each port, by vertex.
#[track_caller]
fn wanted(fake: &mut Fake, text: &str) -> Vec<(String, String)> {
    let graph = check(fake, text).expect("it fits");
    let plan = Plan::new(&graph);
    let mut all = Vec::new();
    for (vertex, wanted) in graph.vertices.iter().zip(&plan.wanted) {
        for (port, wanted) in vertex.ports.iter().zip(wanted) {
            let names = port.schema.names().zip(wanted).filter(|(_, wanted)| **wanted).map(|(name, _)| name);
            all.push((format!("{}.{}", vertex.name, port.name), names.collect::<Vec<_>>().join(" ")));
        }
    }
    all
}

#[track_caller]
fn check_wanted(o: Descriptor, lines: &str, behind: Descriptor, behind_lines: &str, expect: &[(&str, &str)]) {
    let mut fake = fake(o);
    fake.operators.insert("c", behind);
    let text = format!(
        "{HEAD}[operator.o]\nplugin = \"./o.wasm\"\n{lines}\n[operator.c]\nplugin = \"./c.wasm\"\n{behind_lines}\n[sink.out]\ninput = \"c\"\n"
    );
    let found = wanted(&mut fake, &text);
    let found: Vec<(&str, &str)> = found.iter().map(|(port, names)| (port.as_str(), names.as_str())).collect();
    assert_eq!(found, expect);
}

#[test]
fn only_columns_that_somebody_reads_are_wanted() {
    let all = "a b f k at late";
    let count = || operator(vec![keyed("")], vec![key("n:int64")]);
    // Counting reads no column but its key; `o` reads one of its own.
    check_wanted(
        operator(vec![reads("f")], vec![pass(0)]),
        "input = \"s\"",
        count(),
        "input = \"o\"\nkey_by = [\"k\"]",
        &[("s.out", "f k"), ("m.left", ""), ("m.right", ""), ("o.out", "k"), ("c.out", "k n")],
    );
    // A column that is replaced is not wanted of those before, unless the operator reads it.
    check_wanted(
        operator(vec![reads("b")], vec![extend(0, "a:int64 new:utf8")]),
        "input = \"s\"",
        operator(vec![reads("a")], vec![new("x:int64")]),
        "input = \"o\"",
        &[("s.out", "b"), ("m.left", ""), ("m.right", ""), ("o.out", "a"), ("c.out", "x")],
    );
    // What a sink reads goes all the way back, but not what is replaced.
    check_wanted(
        operator(vec![reads("")], vec![extend(0, "a:int64 new:utf8"), new("never:utf8")]),
        "input = \"s\"",
        operator(vec![reads("")], vec![pass(0)]),
        "input = \"o\"",
        &[
            ("s.out", "b f k at late"),
            ("m.left", ""),
            ("m.right", ""),
            ("o.out", "a b f k at late new"),
            ("o.p1", ""),
            ("c.out", "a b f k at late new"),
        ],
    );
    // Two inputs: each row's columns come from the input its port is of; a key is always needed.
    check_wanted(
        operator(vec![keyed(""), keyed("x")], vec![pass(0)]),
        "inputs = [{ from = \"s\", key_by = [\"a\"] }, { from = \"m.right\", key_by = [\"y\"] }]",
        count(),
        "input = \"o\"\nkey_by = [\"b\"]",
        &[("s.out", "a b"), ("m.left", ""), ("m.right", "x y"), ("o.out", "b"), ("c.out", "b n")],
    );
    // A key of an edge whose consumer takes no notice of keys is needed for the exchange.
    check_wanted(
        operator(vec![reads("")], vec![new("n:int64")]),
        "input = \"s\"\nkey_by = [\"k\"]",
        operator(vec![reads("")], vec![pass(0)]),
        "input = \"m.left\"",
        &[("s.out", "k"), ("m.left", all), ("m.right", ""), ("o.out", ""), ("c.out", all)],
    );
}

#[test]
fn vertices_joined_by_forward_edges_run_as_one_chain() {
    let chains = |lines: &str, job: &str| {
        let text = wired(lines).replace("name = \"j\"", &format!("name = \"j\"\n{job}"));
        let descriptor = operator(
            if lines.contains("inputs") { vec![reads(""), reads("")] } else { vec![reads("")] },
            vec![pass(0)],
        );
        let graph = check(&mut fake(descriptor), &text).expect("it fits");
        let plan = Plan::new(&graph);
        let names = |chain: &crate::plan::Chain| {
            let names: Vec<&str> = chain.vertices.iter().map(|&v| graph.vertices[v].name.as_str()).collect();
            format!("{} x{}", names.join("+"), chain.parallelism)
        };
        for edge in &graph.edges {
            assert_eq!(plan.is_inside(edge), plan.chain_of(edge.from) == plan.chain_of(edge.to));
        }
        plan.chains.iter().map(names).collect::<Vec<_>>()
    };
    assert_eq!(chains("input = \"s\"", ""), ["s+o+out x1", "m x1"]);
    assert_eq!(chains("input = \"s\"", "parallelism = 3"), ["s+o+out x3", "m x3"]);
    assert_eq!(chains("input = \"s\"\nparallelism = 2", ""), ["s x1", "m x1", "o x2", "out x1"]);
    assert_eq!(chains("input = \"s\"\nexchange = \"rebalance\"", ""), ["s x1", "m x1", "o+out x1"]);
    assert_eq!(chains("input = \"s\"\nkey_by = [\"a\"]", ""), ["s x1", "m x1", "o+out x1"]);
    // Two inputs, though both forward, come by exchanges: a chain has one head.
    assert_eq!(chains("inputs = [{ from = \"s\" }, { from = \"m.left\" }]", ""), ["s x1", "m x1", "o+out x1"]);
    assert_eq!(chains("inputs = [{ from = \"s\" }, { from = \"s\" }]", ""), ["s x1", "m x1", "o+out x1"]);
}

#[test]
fn a_job_needs_as_many_slots_as_its_widest_vertex() {
    let graph = check(&mut fake(operator(vec![reads("")], vec![pass(0)])), &wired("input = \"s\"\nparallelism = 7"));
    assert_eq!(graph.expect("it fits").slots(), 7);
}

#[test]
fn sources_keep_in_step_whose_rows_meet_in_an_operator() {
    let check = |lines: &str, s: &str, m: &str, expect: &[(&str, bool)]| {
        let event_time = |more: &str| format!("event_time = {{ column = \"at\"{more} }}");
        let text = wired(lines).replace("[source.m]\n", &format!("{}\n[source.m]\n{}\n", event_time(s), event_time(m)));
        let inputs = if lines.contains("inputs") { vec![reads(""), reads("")] } else { vec![reads("")] };
        let graph = super::tests::check(&mut fake(operator(inputs, vec![pass(0)])), &text).expect("it fits");
        let plan = Plan::new(&graph);
        let in_step = plan.in_step(&graph);
        assert!(in_step.windows(2).all(|two| two[0].group == two[1].group), "one group at most: {in_step:?}");
        let name = |chain: usize| graph.vertices[plan.chains[chain].vertices[0]].name.as_str();
        let found: Vec<(&str, bool)> = in_step.iter().map(|s| (name(s.chain), s.max_drift.is_some())).collect();
        assert_eq!(found, expect, "{lines}");
    };
    let (both, drift) = ("inputs = [{ from = \"s\" }, { from = \"m.left\" }]", ", max_drift = \"30s\"");
    check(both, "", "", &[]);
    check(both, drift, drift, &[("s", true), ("m", true)]);
    // The one waits for the other, but not the other way round.
    check(both, drift, "", &[("s", true), ("m", false)]);
    // Their rows do not meet, and nobody is to wait for a source that has no times.
    check("input = \"s\"", drift, "", &[("s", true)]);
    check("inputs = [{ from = \"s\" }, { from = \"m.right\" }]", drift, drift, &[("s", true)]);
}
