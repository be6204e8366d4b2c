//! What each mode declares.

use crate::{
    every_type,
    exports::wasmill::operator::guest::{Descriptor, Input},
    wasmill::operator::{
        data::{Field, TimeDomain},
        description::{Cell, Extended, Notices, Port, Reads, Shape},
    },
};

fn field(name: &str, data_type: &str) -> Field {
    Field { name: name.into(), data_type: data_type.into(), nullable: false }
}

fn port(name: &str, shape: Shape) -> Port {
    Port { name: name.into(), shape, event_times: false }
}

fn reads(columns: &[&str]) -> Reads {
    Reads { columns: columns.iter().map(|&c| c.into()).collect(), keyed: false, event_times: false }
}

fn plain(inputs: &[Input], columns: &[&str], ports: Vec<Port>) -> Descriptor {
    Descriptor {
        inputs: (0..inputs.len()).map(|place| reads(if place == 0 { columns } else { &[] })).collect(),
        ports,
        cells: vec![],
        timers: false,
        notices: Notices::empty(),
        extra: vec![],
    }
}

fn extended(name: &str, data_type: &str) -> Shape {
    Shape::Extend(Extended { input: 0, columns: vec![field(name, data_type)] })
}

fn cell(name: &str, data_type: &str) -> Cell {
    Cell {
        name: name.into(),
        kind: "value".into(),
        data_type: data_type.into(),
        ttl_ms: Some(60_000),
        version: 2,
        sub_key: None,
        encoding: None,
        ttl_domain: TimeDomain::ProcessingTime,
        renamed_from: None,
    }
}

/// The fields a `types` or `rewrite` port has: those of the input.
fn same(inputs: &[Input]) -> Vec<Field> {
    inputs[0].schema.clone()
}

pub(crate) fn describe(mode: &str, inputs: &[Input]) -> Result<Descriptor, String> {
    let mode_family = mode.split(':').next().unwrap_or_default();
    let all = |inputs: &[Input]| inputs[0].schema.iter().map(|f| f.name.clone()).collect::<Vec<_>>();
    Ok(match mode_family {
        "pass" | "drop" | "context" | "hostile" | "log" | "metrics" | "wasi" | "row" => {
            plain(inputs, &[], vec![port("out", Shape::Pass(0))])
        }
        "keep" | "take" | "fail" | "loop" => plain(inputs, &["a"], vec![port("out", Shape::Pass(0))]),
        "map" | "map-take" => plain(inputs, &["a"], vec![port("out", extended("twice", "int64"))]),
        "breaks" if mode == "breaks:memory" => plain(inputs, &[], vec![port("out", extended("seen", "int64"))]),
        "breaks" => plain(inputs, &[], vec![port("out", Shape::New(vec![field("rows", "int64")]))]),
        "types" | "rewrite" => {
            let schema = same(inputs);
            let names = all(inputs);
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut descriptor = plain(inputs, &names, vec![port("out", Shape::New(schema))]);
            descriptor.inputs[0].event_times = inputs[0].event_times;
            descriptor.ports[0].event_times = inputs[0].event_times;
            descriptor
        }
        "count" | "count-both" | "count-later" | "count-marked" | "count-one" => {
            let count = vec![field("count", "int64")];
            let mut descriptor = plain(inputs, &[], vec![port("out", Shape::Key(count))]);
            let keyed = if mode == "count-both" { inputs.len() } else { 1 };
            descriptor.inputs[..keyed].iter_mut().for_each(|reads| reads.keyed = true);
            descriptor.cells = vec![cell("count", "int64")];
            if mode != "count-one" {
                descriptor.cells.push(cell("note", "utf8"));
            }
            descriptor.timers = true;
            descriptor
        }
        "entries" | "broadcast" => entries(mode, inputs),
        "every-type" => {
            let mut descriptor = plain(inputs, &["price"], vec![port("out", Shape::Key(vec![field("told", "utf8")]))]);
            descriptor.inputs[0].keyed = true;
            (descriptor.cells, descriptor.timers) = (every_type::cells(), true);
            descriptor
        }
        "union" => {
            let mut descriptor = plain(inputs, &[], vec![port("out", Shape::New(vec![field("a", "int64")]))]);
            descriptor.inputs.fill(reads(&["a"]));
            descriptor
        }
        "notice" => {
            let told = vec![field("told", "utf8")];
            let mut descriptor = plain(inputs, &[], vec![port("out", Shape::New(told))]);
            descriptor.notices = Notices::WATERMARK | Notices::END_OF_INPUT;
            descriptor
        }
        "clock" => {
            let times = vec![field("now", "timestamp"), field("watermark", "timestamp"), field("wasi", "timestamp")];
            plain(inputs, &[], vec![port("out", Shape::New(times))])
        }
        "bad" => mistake(inputs),
        "describe" => return misdescribe(mode, inputs),
        "" => return Err("mode is missing".into()),
        _ => return Err(format!("mode `{mode}` is not known")),
    })
}

/// A map and a list beside a value; or what all instances have.
fn entries(mode: &str, inputs: &[Input]) -> Descriptor {
    let sub_key = || Some("int64".to_owned());
    if mode.starts_with("broadcast") {
        let all = Cell { kind: "broadcast".into(), sub_key: sub_key(), ..cell("all", "int64") };
        return Descriptor { cells: vec![all], ..plain(inputs, &["a"], vec![port("out", Shape::Pass(0))]) };
    }
    let mut descriptor = plain(inputs, &["a"], vec![port("out", extended("seen", "int64"))]);
    descriptor.inputs[0].keyed = true;
    let map = Cell { kind: "map".into(), sub_key: sub_key(), ..cell("seen", "int64") };
    let list = Cell { kind: "list".into(), ttl_ms: None, ..cell("rows", "utf8") };
    descriptor.cells = vec![map, cell("count", "int64"), list];
    descriptor.timers = true;
    descriptor
}

/// One port of each shape, two value cells, timers.
fn mistake(inputs: &[Input]) -> Descriptor {
    let ports = vec![
        port("pass", Shape::Pass(0)),
        port("extend", Shape::Extend(Extended { input: 0, columns: vec![field("n", "int64"), field("t", "utf8")] })),
        port("key", Shape::Key(vec![field("f", "float64")])),
        port("new", Shape::New(vec![Field { nullable: true, ..field("b", "boolean") }, field("x", "binary")])),
        Port { event_times: true, ..port("timed", Shape::New(vec![field("n", "int64")])) },
        port("other", Shape::Pass(1)),
    ];
    let mut descriptor = plain(inputs, &["a"], ports);
    descriptor.inputs[0].keyed = true;
    let map = Cell { kind: "map".into(), sub_key: Some("int64".into()), ..cell("m", "int64") };
    let list = Cell { kind: "list".into(), ..cell("l", "int64") };
    descriptor.cells = vec![cell("count", "int64"), cell("note", "utf8"), map, list];
    descriptor.timers = true;
    descriptor
}

/// A descriptor with one thing wrong.
fn misdescribe(mode: &str, inputs: &[Input]) -> Result<Descriptor, String> {
    let mut descriptor = mistake(inputs);
    match mode.split_once(':').map_or("", |(_, what)| what) {
        "inputs" => descriptor.inputs.push(reads(&[])),
        "column" => descriptor.inputs[0].columns.push("nowhere".into()),
        "column-twice" => descriptor.inputs[0].columns.push("a".into()),
        "keyed" => descriptor.inputs[1].keyed = true,
        "event-times" => descriptor.inputs[1].event_times = true,
        "no-port" => descriptor.ports.clear(),
        "ports" => descriptor.ports = (0..65).map(|i| port(&format!("p{i}"), Shape::Pass(0))).collect(),
        "port-name" => descriptor.ports[0].name = "Out".into(),
        "port-twice" => descriptor.ports[1].name = "pass".into(),
        "port-input" => descriptor.ports[0].shape = Shape::Pass(7),
        "data-type" => descriptor.ports[0].shape = Shape::New(vec![field("n", "int32")]),
        "field-twice" => descriptor.ports[0].shape = Shape::New(vec![field("n", "int64"), field("n", "utf8")]),
        "no-fields" => descriptor.ports[0].shape = Shape::New(vec![]),
        "key-replaced" => descriptor.ports[2].shape = Shape::Key(vec![field("k", "int64")]),
        "key-unkeyed" => descriptor.inputs[0].keyed = false,
        "cell-kind" => descriptor.cells[0].kind = "heap".into(),
        "cell-name" => descriptor.cells[0].name = String::new(),
        "cell-twice" => descriptor.cells[1].name = "count".into(),
        "cell-type" => descriptor.cells[1].data_type = "decimal".into(),
        "cell-sub-key" => descriptor.cells[0].sub_key = Some("int64".into()),
        "map-no-sub-key" => descriptor.cells[0].kind = "map".into(),
        "map-float" => {
            descriptor.cells[0].kind = "map".into();
            descriptor.cells[0].sub_key = Some("float64".into());
        }
        "cell-encoding" => descriptor.cells[0].encoding = Some("cbor".into()),
        "cell-encoding-unknown" => descriptor.cells[0].encoding = Some("xml".into()),
        "cell-renamed" => descriptor.cells[0].renamed_from = Some("note".into()),
        "ttl" => descriptor.cells[1].ttl_ms = Some(0),
        "port-times" => descriptor.ports[0].event_times = true,
        "" => {}
        other => return Err(format!("there is no mistake `{other}`")),
    }
    Ok(descriptor)
}
