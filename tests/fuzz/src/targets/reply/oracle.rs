//! The contract's rules for a reply that was taken, written apart from the code that checks replies.

use arrow_array::{Array, ArrayRef};
use wasmill_model::{
    DataType, Field,
    descriptor::{CellKind, Descriptor, Shape},
    reply::{CellUpdate, Emission, EntryAction, EntryChanges, Outcome, Reply},
};

/// Whose answer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// `process`, of input 0.
    Input,
    Timers,
    Notice,
}

impl Caller {
    /// None: `describe`, whose answer is no reply.
    pub(super) fn of(number: usize) -> Option<Self> {
        [Some(Self::Input), Some(Self::Timers), Some(Self::Notice), None][number % 4]
    }
}

/// The call that was answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) descriptor: &'a Descriptor,
    pub(super) caller: Caller,
    pub(super) rows: usize,
    /// Keys of these rows; none: they have none.
    pub(super) groups: Option<usize>,
}

impl Call<'_> {
    /// Keys that the answer may speak of: at a notice there are no rows, and so no keys.
    pub(super) fn groups(&self) -> Option<usize> {
        self.groups.filter(|_| self.caller != Caller::Notice)
    }

    /// Whether a port can emit anything in this call.
    pub(super) fn can_emit(&self, shape: &Shape) -> bool {
        match shape {
            Shape::New { .. } => true,
            Shape::Pass { input } | Shape::Extend { input, .. } => self.caller == Caller::Input && *input == 0,
            Shape::Key { .. } => self.groups().is_some(),
        }
    }
}

/// Whether all rules hold.
pub(super) fn check(reply: &Reply, call: &Call<'_>, made_max: usize) -> Result<(), String> {
    let mut ports: Vec<usize> = reply.emissions.iter().map(|emission| emission.port).collect();
    ports.sort_unstable();
    if ports.windows(2).any(|pair| pair[0] == pair[1])
        || ports.last().is_some_and(|&p| p >= call.descriptor.ports.len())
    {
        return Err(format!("it emits by ports {ports:?}"));
    }
    let mut made = 0;
    for emission in &reply.emissions {
        let port = &call.descriptor.ports[emission.port];
        made +=
            emitted(emission, &port.shape, port.event_times, call).map_err(|e| format!("port {}: {e}", port.name))?;
    }
    if made > made_max {
        return Err(format!("it made {made} rows, of {made_max} that it may"));
    }
    cells(&reply.cells, call)?;
    for change in &reply.entries {
        entries(change, call).map_err(|e| format!("entries of cell {}: {e}", change.cell))?;
    }
    for change in &reply.timers {
        let count = call.groups().filter(|_| call.descriptor.timers).ok_or("timers, where there can be none")?;
        if change.groups.len() != change.times.len() || change.groups.iter().any(|&group| group as usize >= count) {
            return Err(format!("timers of groups {:?} at {:?}, of {count} groups", change.groups, change.times));
        }
    }
    Ok(())
}

/// Rows that it made by this port.
fn emitted(emission: &Emission, shape: &Shape, event_times: bool, call: &Call<'_>) -> Result<usize, String> {
    if !matches!(emission.rows, Outcome::DropAll) && !call.can_emit(shape) {
        return Err(format!("{:?}, which it cannot emit in this call", emission.rows));
    }
    let numbers = |numbers: &arrow_array::UInt32Array| {
        let good = numbers.nulls().is_none() && numbers.values().iter().all(|&row| (row as usize) < call.rows);
        if good { Ok(numbers.len()) } else { Err(format!("rows {numbers:?} of {}", call.rows)) }
    };
    match (&emission.rows, shape) {
        (Outcome::DropAll, _) | (Outcome::Unchanged, Shape::Pass { .. }) => Ok(0),
        (Outcome::Keep(mask), Shape::Pass { .. }) if mask.len() == call.rows && mask.nulls().is_none() => Ok(0),
        (Outcome::Take(take), Shape::Pass { .. }) => numbers(take),
        (Outcome::Extend { take, columns }, Shape::Extend { columns: fields, .. } | Shape::Key { columns: fields }) => {
            let made = take.as_ref().map(numbers).transpose()?;
            arrays(columns.iter(), fields, made.unwrap_or(call.rows))?;
            Ok(made.unwrap_or(0))
        }
        (Outcome::Replace(batch), Shape::New { schema }) => {
            if batch.event_times.as_ref().map(|times| times.len()) != event_times.then_some(batch.rows) {
                return Err("event times that are not one a row, or where none belong".to_owned());
            }
            let columns: Option<Vec<&ArrayRef>> = batch.columns.iter().map(Option::as_ref).collect();
            arrays(columns.ok_or("a column is missing")?.into_iter(), schema.fields(), batch.rows)?;
            Ok(batch.rows)
        }
        (outcome, shape) => Err(format!("{outcome:?} of {} rows by a port of {shape:?}", call.rows)),
    }
}

fn arrays<'a>(
    arrays: impl ExactSizeIterator<Item = &'a ArrayRef>,
    fields: &[Field],
    rows: usize,
) -> Result<(), String> {
    if arrays.len() != fields.len() {
        return Err(format!("{} columns of {}", arrays.len(), fields.len()));
    }
    for (array, field) in arrays.zip(fields) {
        values(array, field.data_type, rows).map_err(|e| format!("{}: {e}", field.name))?;
        if !field.nullable && array.null_count() > 0 {
            return Err(format!("{}: {} nulls", field.name, array.null_count()));
        }
    }
    Ok(())
}

/// Arrow's own rules are the last word on offsets, text and bitmaps.
fn values(array: &ArrayRef, data_type: DataType, count: usize) -> Result<(), String> {
    if (array.data_type(), array.len()) != (&data_type.arrow(), count) {
        return Err(format!("{} of {}, not {count} of {data_type}", array.len(), array.data_type()));
    }
    array.to_data().validate_full().map_err(|e| e.to_string())
}

fn entries(change: &EntryChanges, call: &Call<'_>) -> Result<(), String> {
    let cell = call.descriptor.cells.get(change.cell).ok_or("there is no such cell")?;
    let groups = match cell.kind {
        CellKind::Value => return Err("it has none".to_owned()),
        CellKind::Broadcast if call.caller == Caller::Input && call.groups().is_none() => 1,
        CellKind::Broadcast => return Err("it cannot be changed here".to_owned()),
        CellKind::List | CellKind::Map => call.groups().ok_or("there are no keys")?,
    };
    let count = change.groups.len();
    if change.groups.iter().any(|&group| group as usize >= groups) {
        return Err(format!("groups {:?} of {groups}", change.groups));
    }
    let full = |array: &ArrayRef, data_type: DataType| {
        values(array, data_type, count)?;
        if array.null_count() > 0 { Err("nulls".to_owned()) } else { Ok(()) }
    };
    let sub_key = cell.sub_key_type().unwrap_or(DataType::Float64);
    match (&change.action, cell.kind) {
        (EntryAction::Put { sub_keys, values }, CellKind::Map | CellKind::Broadcast) => {
            full(sub_keys, sub_key)?;
            full(values, cell.data_type)
        }
        (EntryAction::Append { values }, CellKind::List) => full(values, cell.data_type),
        (EntryAction::Remove { sub_keys }, _) => full(sub_keys, sub_key),
        (EntryAction::Clear, _) => Ok(()),
        (action, kind) => Err(format!("{action:?} of a {}", kind.name())),
    }
}

fn cells(updates: &[CellUpdate], call: &Call<'_>) -> Result<(), String> {
    let declared = call.descriptor.value_cells().count();
    if !updates.is_empty() && updates.len() != declared {
        return Err(format!("updates of {} cells, of {declared}", updates.len()));
    }
    for (update, cell) in updates.iter().zip(call.descriptor.value_cells()) {
        let groups = || call.groups().ok_or_else(|| format!("cell {} is changed without a key", cell.name));
        match update {
            CellUpdate::Unchanged => {}
            CellUpdate::All(array) => values(array, cell.data_type, groups()?)?,
            CellUpdate::Marked { groups: marks, values: array } => {
                if marks.len() != groups()? {
                    return Err(format!("cell {}: marks for {} groups", cell.name, marks.len()));
                }
                values(array, cell.data_type, marks.count_set_bits())?;
            }
        }
    }
    Ok(())
}
