//! Changes of entries of list, map and broadcast cells, checked.

use arrow_array::ArrayRef;
use wasmill_model::{
    descriptor::{Cell, CellKind},
    reply::{EntryAction, EntryChanges},
};

use super::{Call, Column, Ports, WitEntryAction, WitEntryChanges, all_numbers, below};
use crate::binding::ports::Caller;

pub(super) fn check(changes: Vec<WitEntryChanges>, ports: &Ports, call: &Call) -> Result<Vec<EntryChanges>, String> {
    changes.into_iter().map(|changes| check_one(changes, ports, call)).collect()
}

fn check_one(changes: WitEntryChanges, ports: &Ports, call: &Call) -> Result<EntryChanges, String> {
    let WitEntryChanges { cell: place, action, groups, sub_keys, values } = changes;
    let cell =
        ports.cell(place as usize).ok_or_else(|| format!("entries of cell {place}, which it did not declare"))?;
    let named = |what: String| format!("entries of cell `{}` ({}): {what}", cell.name, cell.kind.name());
    let count = groups_of(cell, call).map_err(named)?;
    let groups = all_numbers(groups).map_err(named)?;
    below(&groups, count as usize).map_err(|group| named(format!("group {group} of {count}")))?;
    let action = match action {
        WitEntryAction::Put if !matches!(cell.kind, CellKind::Map | CellKind::Broadcast) => {
            return Err(named("`put`, which is for maps".to_owned()));
        }
        WitEntryAction::Append if cell.kind != CellKind::List => {
            return Err(named("`append`, which is for lists".to_owned()));
        }
        WitEntryAction::Put => EntryAction::Put {
            sub_keys: sub_keys_of(cell, sub_keys, groups.len()).map_err(named)?,
            values: values_of(cell, values, groups.len()).map_err(named)?,
        },
        WitEntryAction::Append => {
            none(sub_keys.as_ref(), "sub-keys").map_err(named)?;
            EntryAction::Append { values: values_of(cell, values, groups.len()).map_err(named)? }
        }
        WitEntryAction::Remove => {
            none(values.as_ref(), "values").map_err(named)?;
            EntryAction::Remove { sub_keys: sub_keys_of(cell, sub_keys, groups.len()).map_err(named)? }
        }
        WitEntryAction::Clear => {
            none(sub_keys.as_ref(), "sub-keys").map_err(named)?;
            none(values.as_ref(), "values").map_err(named)?;
            EntryAction::Clear
        }
    };
    Ok(EntryChanges { cell: place as usize, action, groups })
}

/// Number of groups whose entries a call can change.
fn groups_of(cell: &Cell, call: &Call) -> Result<u32, String> {
    match (cell.kind, call.of, call.groups) {
        (CellKind::Value, ..) => Err("it has a value only".to_owned()),
        (CellKind::Broadcast, Caller::Input(_), None) => Ok(1),
        (CellKind::Broadcast, ..) => Err("only rows without keys can change it".to_owned()),
        (_, _, Some(count)) => Ok(count),
        (_, _, None) => Err("the rows of this call have no keys".to_owned()),
    }
}

fn sub_keys_of(cell: &Cell, sub_keys: Option<Column>, count: usize) -> Result<ArrayRef, String> {
    let data_type = cell.sub_key_type().ok_or("it has no sub-keys")?;
    let sub_keys = sub_keys.ok_or("no sub-keys, which it needs")?;
    sub_keys.into_array(count, data_type, false).map_err(|what| format!("sub-keys ({data_type}): {what}"))
}

fn values_of(cell: &Cell, values: Option<Column>, count: usize) -> Result<ArrayRef, String> {
    let values = values.ok_or("no values, which it needs")?;
    values.into_array(count, cell.data_type, false).map_err(|what| format!("values ({}): {what}", cell.data_type))
}

fn none(column: Option<&Column>, what: &str) -> Result<(), String> {
    if column.is_some() { Err(format!("{what}, which it has no use for")) } else { Ok(()) }
}
