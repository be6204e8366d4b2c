//! `describe` and `open`: what an operator is told of its surroundings, what it says it is, and the check of that.

use wasmill_model::{
    DataType, Field, Schema,
    descriptor::{Cell, CellKind, Context, Descriptor, Input, Port, Reads, Shape},
    fault::Code,
    reply::TimeDomain,
};
use wasmtime::component::{ComponentType, Lift, Lower, flags};

use super::{ports::PORTS_MAX, reply::WitTimeDomain};
use crate::instance::Misfit;

/// Configuration, inputs.
pub(crate) type Params<'a> = (&'a str, &'a [WitInput<'a>]);
pub(crate) type Results = (Result<WitDescriptor, String>,);
pub(crate) type OpenParams<'a> = (WitContext<'a>,);
pub(crate) type OpenResults = (Result<(), String>,);

/// Bytes of the name of a port, a cell or a column of the operator's own.
const NAME_BYTES_MAX: usize = 128;

/// Cells that an operator may have.
const CELLS_MAX: usize = 64;

/// Columns of one port.
const COLUMNS_MAX: usize = 1_024;

#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct WitFieldRef<'a> {
    name: &'a str,
    #[component(name = "data-type")]
    data_type: &'a str,
    nullable: bool,
}

#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct WitInput<'a> {
    schema: Vec<WitFieldRef<'a>>,
    key: Option<&'a [String]>,
    #[component(name = "event-times")]
    event_times: bool,
}

#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct WitContext<'a> {
    job: &'a str,
    operator: &'a str,
    subtask: u32,
    parallelism: u32,
    config: &'a str,
    inputs: Vec<WitInput<'a>>,
    extra: &'a [(String, String)],
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitField {
    name: String,
    #[component(name = "data-type")]
    data_type: String,
    nullable: bool,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitReads {
    columns: Vec<String>,
    keyed: bool,
    #[component(name = "event-times")]
    event_times: bool,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Extended {
    input: u32,
    columns: Vec<WitField>,
}

#[derive(Debug, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum WitShape {
    #[component(name = "pass")]
    Pass(u32),
    #[component(name = "extend")]
    Extend(Extended),
    #[component(name = "key")]
    Key(Vec<WitField>),
    #[component(name = "new")]
    New(Vec<WitField>),
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitPort {
    name: String,
    shape: WitShape,
    #[component(name = "event-times")]
    event_times: bool,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitCell {
    name: String,
    kind: String,
    #[component(name = "data-type")]
    data_type: String,
    #[component(name = "ttl-ms")]
    ttl_ms: Option<u64>,
    version: u32,
    #[component(name = "sub-key")]
    sub_key: Option<String>,
    encoding: Option<String>,
    #[component(name = "ttl-domain")]
    ttl_domain: WitTimeDomain,
    #[component(name = "renamed-from")]
    renamed_from: Option<String>,
}

flags! {
    Notices {
        #[component(name = "watermark")]
        const WATERMARK;
        #[component(name = "end-of-input")]
        const END_OF_INPUT;
    }
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitDescriptor {
    inputs: Vec<WitReads>,
    ports: Vec<WitPort>,
    cells: Vec<WitCell>,
    timers: bool,
    notices: Notices,
    extra: Vec<(String, String)>,
}

/// Inputs, as an operator is told of them.
pub(crate) fn inputs(inputs: &[Input]) -> Vec<WitInput<'_>> {
    inputs
        .iter()
        .map(|input| WitInput {
            schema: input
                .schema
                .fields()
                .iter()
                .map(|field| WitFieldRef {
                    name: &field.name,
                    data_type: field.data_type.name(),
                    nullable: field.nullable,
                })
                .collect(),
            key: input.key.as_deref(),
            event_times: input.event_times,
        })
        .collect()
}

/// Where an instance runs, as it is told.
pub(crate) fn context(context: &Context) -> WitContext<'_> {
    WitContext {
        job: &context.job,
        operator: &context.operator,
        subtask: context.subtask,
        parallelism: context.parallelism,
        config: &context.config,
        inputs: inputs(&context.inputs),
        extra: &context.extra,
    }
}

/// What an operator said it is, if that is possible on these inputs; else what is wrong.
pub(crate) fn check(said: WitDescriptor, inputs: &[Input]) -> Result<Descriptor, Misfit> {
    if said.inputs.len() != inputs.len() {
        let what = format!("it reads {} inputs, of {} that the job file gives it", said.inputs.len(), inputs.len());
        return Err(Misfit { code: Code::OperatorInputCount, what });
    }
    let reads = said.inputs.into_iter().zip(inputs).enumerate();
    let reads: Vec<Reads> = reads
        .map(|(place, (reads, input))| {
            check_reads(reads, input).map_err(|misfit| misfit.within(format_args!("input {place}")))
        })
        .collect::<Result<_, _>>()?;
    if reads.iter().filter(|reads| reads.keyed).count() > 0 {
        check_keys(&reads, inputs)?;
    }
    let keyed = reads.iter().any(|reads| reads.keyed);
    if said.ports.is_empty() || said.ports.len() > PORTS_MAX {
        return Err(format!("it has {} ports, of 1 to {PORTS_MAX} that it may have", said.ports.len()).into());
    }
    let key_fields = key_fields(&reads, inputs);
    let mut ports: Vec<Port> = Vec::with_capacity(said.ports.len());
    for port in said.ports {
        if ports.iter().any(|other| other.name == port.name) {
            return Err(format!("port {} is named twice", quote(&port.name)).into());
        }
        let name = quote(&port.name);
        ports.push(
            check_port(port, inputs, keyed.then_some(&key_fields)).map_err(|what| format!("port {name}: {what}"))?,
        );
    }
    if said.cells.len() > CELLS_MAX {
        return Err(format!("it has {} cells, of {CELLS_MAX} that it may have", said.cells.len()).into());
    }
    let mut cells: Vec<Cell> = Vec::with_capacity(said.cells.len());
    for cell in said.cells {
        if cells.iter().any(|other| other.name == cell.name) {
            return Err(format!("cell {} is named twice", quote(&cell.name)).into());
        }
        let name = quote(&cell.name);
        if let Some(other) =
            cells.iter().find(|other| other.renamed_from.is_some() && other.renamed_from == cell.renamed_from)
        {
            return Err(format!("cells {} and {name} are renamed from the same", quote(&other.name)).into());
        }
        cells.push(check_cell(cell).map_err(|misfit| misfit.within(format_args!("cell {name}")))?);
    }
    if !keyed && cells.iter().any(|cell| cell.kind.is_keyed()) {
        return Err("it has cells, which need a keyed input".to_owned().into());
    }
    check_renamed(&cells)?;
    check_cell_inputs(&cells, &reads, inputs)?;
    if !keyed && said.timers {
        return Err("it sets timers, which need a keyed input".to_owned().into());
    }
    Ok(Descriptor {
        inputs: reads,
        ports,
        cells,
        timers: said.timers,
        notice_watermark: said.notices.contains(Notices::WATERMARK),
        notice_end_of_input: said.notices.contains(Notices::END_OF_INPUT),
        extra: said.extra,
    })
}

fn check_reads(reads: WitReads, input: &Input) -> Result<Reads, Misfit> {
    for (place, column) in reads.columns.iter().enumerate() {
        if input.schema.index_of(column).is_none() {
            let what = format!("it reads column {}, which is not in {}", quote(column), input.schema);
            return Err(Misfit { code: Code::OperatorColumnMissing, what });
        }
        if reads.columns[..place].contains(column) {
            return Err(format!("it reads column {} twice", quote(column)).into());
        }
    }
    if reads.keyed && input.key.is_none() {
        let what = "it needs the rows grouped by key, and the job file names no `key_by`".to_owned();
        return Err(Misfit { code: Code::OperatorNotKeyed, what });
    }
    if reads.event_times && !input.event_times {
        let what = "it reads event times, which the rows do not have".to_owned();
        return Err(Misfit { code: Code::OperatorNeedsEventTimes, what });
    }
    Ok(Reads { columns: reads.columns, keyed: reads.keyed, event_times: reads.event_times })
}

/// State and timers are kept by key: all keyed inputs must have keys of the same types.
fn check_keys(reads: &[Reads], inputs: &[Input]) -> Result<(), Misfit> {
    let types = |input: &Input| -> Option<Vec<DataType>> {
        let names = input.key.as_ref()?.iter();
        names.map(|name| input.schema.index_of(name).map(|at| input.schema.fields()[at].data_type)).collect()
    };
    let keyed = || reads.iter().zip(inputs).enumerate().filter(|(_, (reads, _))| reads.keyed);
    let Some((first, (_, input))) = keyed().next() else { return Ok(()) };
    let expect = types(input).ok_or_else(|| format!("input {first}: its key is not among its columns"))?;
    match keyed().find(|(_, (_, input))| types(input).as_ref() != Some(&expect)) {
        Some((other, _)) => {
            let what = format!("input {other}: its key has other types than that of input {first}");
            Err(Misfit { code: Code::KeyTypesDiffer, what })
        }
        None => Ok(()),
    }
}

fn key_fields(reads: &[Reads], inputs: &[Input]) -> Vec<Field> {
    let keyed = reads.iter().zip(inputs).find(|(reads, _)| reads.keyed);
    let Some((_, Input { schema, key: Some(key), .. })) = keyed else { return Vec::new() };
    key.iter().filter_map(|name| schema.index_of(name)).map(|at| schema.fields()[at].clone()).collect()
}

fn check_port(port: WitPort, inputs: &[Input], key: Option<&Vec<Field>>) -> Result<Port, String> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if port.name.is_empty() || port.name.len() > NAME_BYTES_MAX || !port.name.bytes().all(good) {
        return Err(format!("a name is 1 to {NAME_BYTES_MAX} lower case letters, digits and `_`"));
    }
    let known = |input: u32| {
        let exists = (input as usize) < inputs.len();
        if exists { Ok(input) } else { Err(format!("it emits the rows of input {input}, of {}", inputs.len())) }
    };
    let shape = match port.shape {
        WitShape::Pass(input) => Shape::Pass { input: known(input)? },
        WitShape::Extend(Extended { input, columns }) => {
            Shape::Extend { input: known(input)?, columns: fields(columns)?.fields().to_vec() }
        }
        WitShape::Key(columns) => {
            let Some(key) = key else { return Err("it emits keys, and no input is keyed".to_owned()) };
            let columns = fields(columns)?;
            if let Some(twice) = key.iter().find(|field| columns.index_of(&field.name).is_some()) {
                return Err(format!("column {} is a key column already", quote(&twice.name)));
            }
            Shape::Key { columns: columns.fields().to_vec() }
        }
        WitShape::New(columns) => {
            let schema = fields(columns)?;
            if schema.is_empty() {
                return Err("its rows have no columns".to_owned());
            }
            Shape::New { schema }
        }
    };
    if port.event_times && !matches!(shape, Shape::New { .. }) {
        return Err("only rows of a `new` port can be given event times; others keep theirs".to_owned());
    }
    Ok(Port { name: port.name, shape, event_times: port.event_times })
}

fn fields(fields: Vec<WitField>) -> Result<Schema, String> {
    if fields.len() > COLUMNS_MAX {
        return Err(format!("{} columns, of {COLUMNS_MAX} that it may have", fields.len()));
    }
    let check = |field: WitField| {
        check_name(&field.name).map_err(|what| format!("column {}: {what}", quote(&field.name)))?;
        let data_type = data_type(&field.data_type).map_err(|what| format!("column {}: {what}", quote(&field.name)))?;
        Ok(Field { name: field.name, data_type, nullable: field.nullable })
    };
    let fields = fields.into_iter().map(check).collect::<Result<Vec<_>, String>>()?;
    Schema::new(fields).map_err(|error| error.to_string())
}

/// No cell is renamed from one that is still there.
fn check_renamed(cells: &[Cell]) -> Result<(), Misfit> {
    let taken = cells.iter().filter_map(|cell| cell.renamed_from.as_ref());
    match taken.into_iter().find(|from| cells.iter().any(|cell| cell.name == **from)) {
        Some(from) => Err(format!("a cell is renamed from {}, which is a cell, too", quote(from)).into()),
        None => Ok(()),
    }
}

/// Whether there are inputs for what the cells need: rows without keys, and event times.
fn check_cell_inputs(cells: &[Cell], reads: &[Reads], inputs: &[Input]) -> Result<(), Misfit> {
    if let Some(cell) = cells.iter().find(|cell| !cell.kind.is_keyed())
        && reads.iter().all(|reads| reads.keyed)
    {
        let what =
            format!("broadcast cell {} needs an input that is not keyed, from which it is changed", quote(&cell.name));
        return Err(what.into());
    }
    for cell in cells.iter().filter(|cell| cell.ttl_ms.is_some() && cell.ttl_domain == TimeDomain::EventTime) {
        let changes = |reads: &Reads| reads.keyed == cell.kind.is_keyed();
        let timeless = reads.iter().zip(inputs).position(|(reads, input)| changes(reads) && !input.event_times);
        if let Some(input) = timeless {
            let what =
                format!("cell {} lives in event time, which the rows of input {input} do not have", quote(&cell.name));
            return Err(Misfit { code: Code::OperatorNeedsEventTimes, what });
        }
    }
    Ok(())
}

fn check_cell(cell: WitCell) -> Result<Cell, Misfit> {
    check_name(&cell.name)?;
    if let Some(from) = &cell.renamed_from {
        check_name(from).map_err(|what| format!("renamed from: {what}"))?;
    }
    let Some(kind) = CellKind::from_name(&cell.kind) else {
        let known = CellKind::ALL.map(CellKind::name).join(", ");
        let what = format!("there are no cells of kind {}; there are {known}", quote(&cell.kind));
        return Err(Misfit { code: Code::UnsupportedState, what });
    };
    let sub_key = match (kind, &cell.sub_key) {
        (CellKind::Map | CellKind::Broadcast, Some(name)) => {
            let sub_key = data_type(name)?;
            if sub_key == DataType::Float64 {
                return Err("its sub-keys are float64, which have no one order".to_owned().into());
            }
            Some(sub_key)
        }
        (CellKind::Map | CellKind::Broadcast, None) => return Err("it says no type of its sub-keys".to_owned().into()),
        (CellKind::Value | CellKind::List, Some(_)) => {
            return Err(format!("it says a type of sub-keys, which a {} has none of", kind.name()).into());
        }
        (CellKind::Value | CellKind::List, None) => None,
    };
    if cell.ttl_ms == Some(0) {
        return Err("a value that lives for 0 ms is never seen".to_owned().into());
    }
    let data_type = data_type(&cell.data_type)?;
    match &cell.encoding {
        None => {}
        Some(encoding) if encoding != "cbor" => {
            return Err(format!("its encoding is {}; only `cbor` is known", quote(encoding)).into());
        }
        Some(_) if data_type != DataType::Binary => {
            return Err(format!("its encoding is cbor, which is for binary, and its type is {data_type}").into());
        }
        Some(_) => {}
    }
    let ttl_domain = cell.ttl_domain.into();
    let WitCell { name, encoding, ttl_ms, version, renamed_from, .. } = cell;
    Ok(Cell { name, kind, sub_key, data_type, encoding, ttl_ms, ttl_domain, version, renamed_from })
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(format!("a name is 1 to {NAME_BYTES_MAX} bytes without control characters"));
    }
    Ok(())
}

fn data_type(name: &str) -> Result<DataType, String> {
    DataType::from_name(name).ok_or_else(|| {
        let known = DataType::ALL.map(DataType::name).join(", ");
        format!("{} is no data type; there are {known}", quote(name))
    })
}

/// A guest's own words inside a message: short, and harmless.
fn quote(name: &str) -> String {
    format!("`{}`", crate::log::clean(name, 64))
}
