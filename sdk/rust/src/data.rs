//! The contract's own words, as `wit/operator.wit` defines them, with constructors that make them short to write.
//! Operators of the first two levels never see these; those on whole columns build a [`Descriptor`] and a [`Reply`].

use alloc::{borrow::ToOwned, string::String, vec, vec::Vec};

pub use crate::bindings::{
    exports::wasmill::operator::guest::Notice,
    wasmill::operator::{
        data::{
            CellUpdate, Column, Emission, EntryAction, EntryChanges, Extension, Failure, Field, Groups, MarkedValues,
            NewColumn, Outcome, Reply, Rows, TimeDomain, TimerAction, TimerChanges,
        },
        description::{Cell, Context, Descriptor, Extended, Input, Notices, Port, Reads, Shape},
    },
};

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataType {
    /// A whole number.
    Int64,
    /// A number.
    Float64,
    /// Milliseconds since the epoch, UTC.
    Timestamp,
    /// True or false.
    Boolean,
    /// Text.
    Utf8,
    /// Bytes.
    Binary,
}

impl DataType {
    /// Every type.
    pub const ALL: [Self; 6] = [Self::Int64, Self::Float64, Self::Timestamp, Self::Boolean, Self::Utf8, Self::Binary];

    /// The type of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|data_type| data_type.name() == name)
    }

    /// The name the contract uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::Timestamp => "timestamp",
            Self::Boolean => "boolean",
            Self::Utf8 => "utf8",
            Self::Binary => "binary",
        }
    }
}

impl Field {
    /// A column that holds no nulls.
    pub fn new(name: &str, data_type: DataType) -> Self {
        Self { name: name.to_owned(), data_type: data_type.name().to_owned(), nullable: false }
    }

    /// The same column, which may hold nulls.
    pub fn nullable(self) -> Self {
        Self { nullable: true, ..self }
    }
}

impl Reads {
    /// These columns of an input, by name.
    pub fn columns<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { columns: names.into_iter().map(str::to_owned).collect(), keyed: false, event_times: false }
    }

    /// Rows grouped by key: the job file must say `key_by`.
    pub fn keyed(self) -> Self {
        Self { keyed: true, ..self }
    }

    /// The event time of each row too, if the input has them.
    pub fn event_times(self) -> Self {
        Self { event_times: true, ..self }
    }
}

impl Port {
    /// A named output.
    pub fn new(name: &str, shape: Shape) -> Self {
        Self { name: name.to_owned(), shape, event_times: false }
    }

    /// For shape `new`: its rows have event times.
    pub fn event_times(self, event_times: bool) -> Self {
        Self { event_times, ..self }
    }
}

impl Descriptor {
    /// An operator on one input, with one output named `out`, that keeps no state.
    pub fn stateless(reads: Reads, shape: Shape) -> Self {
        Self::new(vec![reads], vec![Port::new("out", shape)])
    }

    /// An operator without state, timers and notices.
    pub fn new(inputs: Vec<Reads>, ports: Vec<Port>) -> Self {
        Self { inputs, ports, cells: Vec::new(), timers: false, notices: Notices::empty(), extra: Vec::new() }
    }
}

impl Input {
    /// The field of this name, or a message that names those there are.
    pub fn field(&self, name: &str) -> Result<&Field, String> {
        self.schema.iter().find(|field| field.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.schema.iter().map(|field| field.name.as_str()).collect();
            alloc::format!("the input has no column `{name}`; its columns: {}", names.join(", "))
        })
    }

    /// Checks that a column is there, has this type, and holds no nulls unless they are expected.
    pub fn require(&self, name: &str, data_type: DataType, nullable: bool) -> Result<(), String> {
        let field = self.field(name)?;
        if field.data_type != data_type.name() {
            return Err(alloc::format!("column `{name}` is {}, expected {}", field.data_type, data_type.name()));
        }
        if field.nullable && !nullable {
            return Err(alloc::format!("column `{name}` may hold nulls, which the operator does not expect"));
        }
        Ok(())
    }
}

impl Notices {
    /// Whether all of these are among them.
    pub fn asks_for(&self, notices: Self) -> bool {
        self.bits() & notices.bits() == notices.bits()
    }
}

impl Outcome {
    /// Rows of the operator's own.
    pub fn replace(count: usize, columns: Vec<Column>, event_times: Option<&[i64]>) -> Self {
        let event_times = event_times.map(|times| crate::memory::i64_bytes(times).to_vec());
        Self::Replace(Rows { count: count as u32, event_times, columns })
    }

    /// All rows as they are, with the columns the port declares, in that order.
    pub fn extend(columns: Vec<Column>) -> Self {
        Self::extend_rows(None, columns)
    }

    /// The rows of these numbers, with the columns the port declares, in that order.
    pub fn extend_taken(rows: &[u32], columns: Vec<Column>) -> Self {
        Self::extend_rows(Some(crate::build::numbers(rows)), columns)
    }

    fn extend_rows(take: Option<Vec<u8>>, columns: Vec<Column>) -> Self {
        let columns = (0..).zip(columns).map(|(index, column)| NewColumn { index, column }).collect();
        Self::Extend(Extension { take, columns })
    }
}

impl Cell {
    /// At most one value a key, of version 1, that lives until it is cleared.
    pub fn value(name: &str, data_type: DataType) -> Self {
        Self {
            name: name.to_owned(),
            kind: "value".to_owned(),
            data_type: data_type.name().to_owned(),
            ttl_ms: None,
            version: 1,
            sub_key: None,
            encoding: None,
            ttl_domain: TimeDomain::ProcessingTime,
            renamed_from: None,
        }
    }
}

impl Reply {
    /// Nothing follows from the call.
    pub fn none() -> Self {
        Self { emissions: Vec::new(), cells: Vec::new(), timers: Vec::new(), entries: Vec::new() }
    }

    /// Only rows, on the first port.
    pub fn rows(rows: Outcome) -> Self {
        Self { emissions: vec![Emission { port: 0, rows }], ..Self::none() }
    }
}
