//! What an operator declared, as the check of its answers needs it.

use wasmill_model::{
    Field,
    descriptor::{self, Cell, CellKind, Descriptor},
};

/// Ports that an operator may have; one bit each when a reply is checked.
pub(crate) const PORTS_MAX: usize = 64;

/// The call that an answer belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) of: Caller,
    /// Rows the guest was given.
    pub(crate) rows: usize,
    /// Groups of these rows; `None`: they have no keys.
    pub(crate) groups: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    Input(u32),
    Timers,
    Notice,
}

/// The rows that a port emits.
#[derive(Debug)]
pub(crate) enum Shape {
    Pass { input: u32 },
    Extend { input: u32, columns: Vec<Field> },
    Key { columns: Vec<Field> },
    New { columns: Vec<Field>, event_times: bool },
}

impl Shape {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Pass { .. } => "pass",
            Self::Extend { .. } => "extend",
            Self::Key { .. } => "key",
            Self::New { .. } => "new",
        }
    }

    /// Whether the rows of this call are ones that the port can emit.
    pub(crate) fn check_call(&self, call: &Call) -> Result<(), String> {
        match (self, call.of) {
            (Self::New { .. }, _) => Ok(()),
            (Self::Pass { input } | Self::Extend { input, .. }, Caller::Input(of)) if *input == of => Ok(()),
            (Self::Pass { input } | Self::Extend { input, .. }, Caller::Input(of)) => {
                Err(format!("rows of input {of}, but it emits those of input {input}"))
            }
            (Self::Key { .. }, Caller::Timers) => Ok(()),
            (Self::Key { .. }, Caller::Input(_)) if call.groups.is_some() => Ok(()),
            (Self::Key { .. }, Caller::Input(of)) => Err(format!("rows of input {of}, which have no keys")),
            (shape, Caller::Timers) => Err(format!("a port of shape `{}` cannot emit timers", shape.name())),
            (shape, Caller::Notice) => {
                Err(format!("a port of shape `{}` has nothing to emit at a notice", shape.name()))
            }
        }
    }
}

/// Ports, cells and timers of one operator.
#[derive(Debug)]
pub(crate) struct Ports {
    ports: Vec<(String, Shape)>,
    cells: Vec<Cell>,
    timers: bool,
    rows_max: usize,
}

impl Ports {
    /// Of a checked descriptor. `rows_max`: rows that one call may make.
    pub(crate) fn new(descriptor: &Descriptor, rows_max: usize) -> Self {
        let shape = |port: &descriptor::Port| match &port.shape {
            descriptor::Shape::Pass { input } => Shape::Pass { input: *input },
            descriptor::Shape::Extend { input, columns } => Shape::Extend { input: *input, columns: columns.clone() },
            descriptor::Shape::Key { columns } => Shape::Key { columns: columns.clone() },
            descriptor::Shape::New { schema } => {
                Shape::New { columns: schema.fields().to_vec(), event_times: port.event_times }
            }
        };
        Self {
            ports: descriptor.ports.iter().map(|port| (port.name.clone(), shape(port))).collect(),
            cells: descriptor.cells.clone(),
            timers: descriptor.timers,
            rows_max,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ports.len()
    }

    pub(crate) fn shape(&self, port: usize) -> Option<&Shape> {
        self.ports.get(port).map(|(_, shape)| shape)
    }

    pub(crate) fn name(&self, port: usize) -> &str {
        &self.ports[port].0
    }

    pub(crate) fn value_cells(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|cell| cell.kind == CellKind::Value)
    }

    /// The cell at a place of the descriptor.
    pub(crate) fn cell(&self, place: usize) -> Option<&Cell> {
        self.cells.get(place)
    }

    pub(crate) fn timers(&self) -> bool {
        self.timers
    }

    pub(crate) fn rows_max(&self) -> usize {
        self.rows_max
    }
}
