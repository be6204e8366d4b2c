//! Whether what an operator says of itself fits the job it is wired into.

use crate::{
    descriptor::{Descriptor, Input, Shape},
    fault::Code,
    schema::Schema,
    settings::{Error, did_you_mean},
    spec::{ExchangeSpec, OperatorSpec, VertexSpec},
};

/// Most ports an operator can have.
const PORTS_MAX: usize = 64;

/// Most cells an operator can have.
const CELLS_MAX: usize = 64;

/// Refuses a descriptor that does not fit its inputs or itself.
pub(super) fn descriptor(
    vertex: &VertexSpec,
    operator: &OperatorSpec,
    descriptor: &Descriptor,
    inputs: &[Input],
) -> Result<(), Error> {
    let refuse = |message: String| {
        operator.plugin.error(format!("operator `{}` {message}", vertex.name)).coded(Code::BadDescriptor)
    };
    if descriptor.inputs.len() != inputs.len() {
        let message = format!("takes {} inputs, the job file gives it {}", descriptor.inputs.len(), inputs.len());
        return Err(refuse(message).coded(Code::OperatorInputCount));
    }
    for (place, (reads, input)) in descriptor.inputs.iter().zip(inputs).enumerate() {
        let from = &operator.inputs[place].from;
        for (i, name) in reads.columns.iter().enumerate() {
            if input.schema.index_of(name).is_none() {
                let names: Vec<&str> = input.schema.names().collect();
                let near = did_you_mean(name, &names).map_or(String::new(), |hint| format!("; {hint}"));
                let message = format!("operator `{}` reads a column `{name}` that is not there", vertex.name);
                let hint = format!("it reads {}; the rows are {}{near}", reads.columns.join(", "), input.schema);
                return Err(from.error_with_hint(message, hint).coded(Code::OperatorColumnMissing));
            }
            if reads.columns[..i].contains(name) {
                return Err(refuse(format!("names the column `{name}` of input {place} twice")));
            }
        }
        if reads.keyed && input.key.is_none() {
            let message = format!("operator `{}` keeps something for each key: its input must be keyed", vertex.name);
            return Err(from.error_with_hint(message, "add `key_by = [\"COLUMN\"]`").coded(Code::OperatorNotKeyed));
        }
    }
    let keys = key_types(descriptor, inputs);
    if keys.windows(2).any(|pair| pair[0] != pair[1]) {
        let message = "has keyed inputs whose keys differ in type, or in whether they may be null";
        return Err(refuse(message.to_owned()).coded(Code::KeyTypesDiffer));
    }
    let keyed = !keys.is_empty();
    if !keyed && (descriptor.timers || descriptor.cells.iter().any(|cell| cell.kind.is_keyed())) {
        return Err(refuse("wants state or timers, but none of its inputs is keyed".to_owned()));
    }
    check_cells(descriptor, &refuse)?;
    check_broadcast(vertex, operator, descriptor)?;
    check_ports(descriptor, inputs, keyed, &refuse)
}

fn key_types(descriptor: &Descriptor, inputs: &[Input]) -> Vec<Vec<(crate::DataType, bool)>> {
    let keyed = descriptor.inputs.iter().zip(inputs).filter(|(reads, _)| reads.keyed);
    let types = keyed.map(|(_, input)| {
        let columns = input.key.iter().flatten().filter_map(|name| input.schema.index_of(name));
        columns.map(|i| &input.schema.fields()[i]).map(|f| (f.data_type, f.nullable)).collect()
    });
    types.collect()
}

type Refuse<'a> = &'a dyn Fn(String) -> Error;

fn check_cells(descriptor: &Descriptor, refuse: Refuse<'_>) -> Result<(), Error> {
    if descriptor.cells.len() > CELLS_MAX {
        return Err(refuse(format!("has {} cells; at most {CELLS_MAX} are allowed", descriptor.cells.len())));
    }
    for (i, cell) in descriptor.cells.iter().enumerate() {
        let name = &cell.name;
        if !is_name(name) {
            return Err(refuse(format!("names a cell \"{name}\": use lower case letters, digits and `_`")));
        }
        if descriptor.cells[..i].iter().any(|other| other.name == *name) {
            return Err(refuse(format!("names the cell `{name}` twice")));
        }
    }
    Ok(())
}

/// All instances must be given the rows from which a broadcast cell is made.
fn check_broadcast(vertex: &VertexSpec, operator: &OperatorSpec, descriptor: &Descriptor) -> Result<(), Error> {
    let Some(cell) = descriptor.cells.iter().find(|cell| !cell.kind.is_keyed()) else { return Ok(()) };
    for (reads, input) in descriptor.inputs.iter().zip(&operator.inputs) {
        if !reads.keyed && input.exchange != Some(ExchangeSpec::Broadcast) {
            let (vertex, cell) = (&vertex.name, &cell.name);
            let message =
                format!("operator `{vertex}` keeps `{cell}` in all its instances: they must be given the same rows");
            let hint = "add `exchange = \"broadcast\"` to this input";
            return Err(input.from.error_with_hint(message, hint.to_owned()).coded(Code::OperatorNotBroadcast));
        }
    }
    Ok(())
}

fn check_ports(descriptor: &Descriptor, inputs: &[Input], keyed: bool, refuse: Refuse<'_>) -> Result<(), Error> {
    if descriptor.ports.is_empty() || descriptor.ports.len() > PORTS_MAX {
        let message = format!("has {} ports; it needs at least 1 and at most {PORTS_MAX}", descriptor.ports.len());
        return Err(refuse(message));
    }
    for (i, port) in descriptor.ports.iter().enumerate() {
        let name = &port.name;
        if !is_name(name) {
            return Err(refuse(format!("names a port \"{name}\": use lower case letters, digits and `_`")));
        }
        if descriptor.ports[..i].iter().any(|other| other.name == *name) {
            return Err(refuse(format!("names the port `{name}` twice")));
        }
        let fields = match &port.shape {
            Shape::Pass { input } | Shape::Extend { input, .. } if *input as usize >= inputs.len() => {
                return Err(refuse(format!("has a port `{name}` of input {input}, which it does not have")));
            }
            Shape::Key { .. } if !keyed => {
                return Err(refuse(format!("has a port `{name}` of its keys, but none of its inputs is keyed")));
            }
            Shape::Pass { .. } => Vec::new(),
            Shape::Extend { columns, .. } => columns.clone(),
            Shape::Key { columns } => descriptor.key_fields(inputs).iter().chain(columns).cloned().collect(),
            Shape::New { schema } => schema.fields().to_vec(),
        };
        if let Some(field) = fields.iter().find(|f| f.name.is_empty()) {
            return Err(refuse(format!("has a port `{name}` with a column without a name (`{field}`)")));
        }
        Schema::new(fields).map_err(|e| refuse(format!("has a port `{name}` where {e}")))?;
    }
    Ok(())
}

/// Whether a port's rows have event times.
pub(super) fn port_has_event_times(descriptor: &Descriptor, port: usize, inputs: &[Input]) -> bool {
    let port = &descriptor.ports[port];
    match &port.shape {
        Shape::Pass { input } | Shape::Extend { input, .. } => inputs[*input as usize].event_times,
        Shape::Key { .. } => {
            descriptor.inputs.iter().zip(inputs).filter(|(reads, _)| reads.keyed).all(|(_, input)| input.event_times)
        }
        Shape::New { .. } => port.event_times,
    }
}

/// The key columns that the rows of a port still hold as they came in, in the subtask of that key.
pub(super) fn kept_key<'a>(descriptor: &Descriptor, port: usize, inputs: &'a [Input]) -> Option<&'a [String]> {
    let keyed = |input: u32| {
        let key = inputs[input as usize].key.as_deref();
        key.filter(|_| descriptor.inputs[input as usize].keyed)
    };
    // Behind the descriptor's ports comes that of the dead letters, which holds no key.
    match &descriptor.ports.get(port)?.shape {
        Shape::Pass { input } => keyed(*input),
        Shape::Extend { input, columns } => {
            keyed(*input).filter(|key| columns.iter().all(|column| !key.contains(&column.name)))
        }
        Shape::Key { .. } => {
            let mut keyed = (0..inputs.len() as u32).filter_map(keyed);
            keyed.next().filter(|_| keyed.next().is_none())
        }
        Shape::New { .. } => None,
    }
}

fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    !name.is_empty() && name.len() <= 63 && name.chars().all(good)
}
