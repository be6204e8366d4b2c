//! The cells of an operator as its files have them, and which of its cells goes on with each.

use std::fmt;

use wasmill_model::{
    DataType,
    descriptor::{Cell, CellKind},
};

use super::{StateSchema, StoredAs};

/// A cell of which rows are in a file.
#[derive(Debug, Clone, Copy)]
pub struct KeptCell<'a> {
    pub name: &'a str,
    pub shape: CellShape,
    pub said: &'a StoredAs,
}

/// What a cell holds: its kind, the type of its sub-keys if it has any, the type of its values. Rows of one shape fit no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellShape {
    pub kind: CellKind,
    pub sub_key: Option<DataType>,
    pub data_type: DataType,
}

impl StateSchema {
    /// The cells whose rows these are: all value cells in the order of their values, or the one list, map or broadcast cell; none of
    /// timers.
    pub fn kept_cells(&self) -> Vec<KeptCell<'_>> {
        match (CellKind::from_name(&self.kind), self.columns.as_slice(), self.cells.as_slice()) {
            (Some(kind @ CellKind::Value), columns, cells) => {
                let cells = columns.iter().zip(cells).map(|(column, said)| KeptCell {
                    name: &column.name,
                    shape: CellShape { kind, sub_key: None, data_type: column.data_type },
                    said,
                });
                cells.collect()
            }
            (Some(kind), [sub_key, value], [said]) => {
                let shape = CellShape { kind, sub_key: Some(sub_key.data_type), data_type: value.data_type };
                vec![KeptCell { name: &self.name, shape, said }]
            }
            _ => Vec::new(),
        }
    }
}

impl KeptCell<'_> {
    /// Whether a cell of the operator is this one, perhaps under another name; what it holds may not fit.
    pub fn is_now(&self, cell: &Cell) -> bool {
        cell.name == self.name || cell.renamed_from.as_deref() == Some(self.name)
    }
}

impl CellShape {
    pub fn of(cell: &Cell) -> Self {
        Self { kind: cell.kind, sub_key: cell.sub_key_type(), data_type: cell.data_type }
    }
}

impl fmt::Display for CellShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, sub_key, data_type } = self;
        match (kind, sub_key) {
            (CellKind::Map | CellKind::Broadcast, Some(sub_key)) => {
                write!(f, "{} {sub_key} to {data_type}", kind.name())
            }
            (CellKind::List, _) => write!(f, "list of {data_type}"),
            _ => data_type.fmt(f),
        }
    }
}
