//! What an operator says it is: the host's form of `interface description` in `wit/operator.wit`, where the
//! meaning of every item is written.

use serde::{Deserialize, Serialize};

use crate::{
    reply::TimeDomain,
    schema::{DataType, Field, Schema},
};

/// An input as the job file wires it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    pub schema: Schema,
    /// The columns that `key_by` names; `None`: not keyed.
    pub key: Option<Vec<String>>,
    /// Whether its rows carry event times.
    pub event_times: bool,
}

/// What the operator wants of one input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reads {
    /// Names of the columns it wants to see, in its order.
    pub columns: Vec<String>,
    pub keyed: bool,
    pub event_times: bool,
}

/// Which rows leave by a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// The rows of this input.
    Pass { input: u32 },
    /// The rows of this input with columns added or replaced.
    Extend { input: u32, columns: Vec<Field> },
    /// The key columns, then these.
    Key { columns: Vec<Field> },
    /// Rows of the operator's own.
    New { schema: Schema },
}

/// A named output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    pub name: String,
    pub shape: Shape,
    /// For `New`: whether rows are given event times. Otherwise they keep theirs.
    pub event_times: bool,
}

/// What a cell holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellKind {
    /// At most one value a key.
    Value,
    /// Entries of a key, by numbers that rise.
    List,
    /// Entries of a key, by sub-keys.
    Map,
    /// Entries without a key, of which every instance has a copy.
    Broadcast,
}

impl CellKind {
    pub const ALL: [Self; 4] = [Self::Value, Self::List, Self::Map, Self::Broadcast];

    /// As the contract names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::List => "list",
            Self::Map => "map",
            Self::Broadcast => "broadcast",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether its entries are of a key.
    pub fn is_keyed(self) -> bool {
        self != Self::Broadcast
    }
}

/// A named piece of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    pub name: String,
    pub kind: CellKind,
    /// Of maps and broadcast cells.
    pub sub_key: Option<DataType>,
    pub data_type: DataType,
    /// What is in values of type `binary`.
    pub encoding: Option<String>,
    pub ttl_ms: Option<u64>,
    /// The clock of `ttl_ms`.
    pub ttl_domain: TimeDomain,
    pub version: u32,
    pub renamed_from: Option<String>,
}

impl Cell {
    /// A value cell of version 1 whose values live until they are cleared.
    pub fn value(name: &str, data_type: DataType) -> Self {
        Self {
            name: name.to_owned(),
            kind: CellKind::Value,
            sub_key: None,
            data_type,
            encoding: None,
            ttl_ms: None,
            ttl_domain: TimeDomain::ProcessingTime,
            version: 1,
            renamed_from: None,
        }
    }

    /// The type that tells entries of a key apart; none: there is one at most.
    pub fn sub_key_type(&self) -> Option<DataType> {
        match self.kind {
            CellKind::Value => None,
            CellKind::List => Some(DataType::Int64),
            CellKind::Map | CellKind::Broadcast => self.sub_key,
        }
    }
}

/// What an operator is, under one configuration and on given inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    pub inputs: Vec<Reads>,
    pub ports: Vec<Port>,
    pub cells: Vec<Cell>,
    pub timers: bool,
    pub notice_watermark: bool,
    pub notice_end_of_input: bool,
    pub extra: Vec<(String, String)>,
}

/// Where an instance runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    pub job: String,
    pub operator: String,
    pub subtask: u32,
    pub parallelism: u32,
    /// JSON text.
    pub config: String,
    pub inputs: Vec<Input>,
    pub extra: Vec<(String, String)>,
}

impl Descriptor {
    /// The value cells, in their order.
    pub fn value_cells(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|cell| cell.kind == CellKind::Value)
    }

    /// The schema of the rows that leave by a port, given the schemas of the inputs and the key columns of the keyed
    /// input. The descriptor must have been checked.
    pub fn port_schema(&self, port: usize, inputs: &[Input]) -> Schema {
        let input_fields = |input: u32| inputs[input as usize].schema.fields().to_vec();
        let fields = match &self.ports[port].shape {
            Shape::Pass { input } => input_fields(*input),
            Shape::Extend { input, columns } => {
                let mut fields = input_fields(*input);
                for column in columns {
                    match fields.iter_mut().find(|f| f.name == column.name) {
                        Some(field) => *field = column.clone(),
                        None => fields.push(column.clone()),
                    }
                }
                fields
            }
            Shape::Key { columns } => {
                let mut fields = self.key_fields(inputs);
                fields.extend(columns.iter().cloned());
                fields
            }
            Shape::New { schema } => return schema.clone(),
        };
        Schema::new(fields).expect("a checked descriptor names no column twice")
    }

    /// The key columns of the keyed input, in the order of `key_by`; empty if no input is keyed.
    pub fn key_fields(&self, inputs: &[Input]) -> Vec<Field> {
        let keyed = self.inputs.iter().zip(inputs).find(|(reads, _)| reads.keyed);
        let Some((_, Input { schema, key: Some(key), .. })) = keyed else { return Vec::new() };
        key.iter().filter_map(|name| schema.index_of(name)).map(|i| schema.fields()[i].clone()).collect()
    }
}
