//! Answers of `process`, `on-timers` and `on-notice`: the contract's types, and the check that makes them the model's.

use arrow_array::{ArrayRef, BooleanArray, UInt32Array};
use wasmill_model::{
    Batch, Field,
    reply::{CellUpdate, Emission, Outcome, Reply, TimeDomain, TimerChanges},
};
use wasmtime::component::{ComponentType, Lift};

use super::{
    columns::{Column, all_numbers, below, bitmap, numbers, row_numbers},
    ports::{Call, Ports, Shape},
};

mod entries;

/// What the three functions return.
pub(crate) type Results = (Result<WitReply, Failure>,);

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Failure {
    pub(crate) fatal: bool,
    pub(crate) row: Option<u32>,
    pub(crate) message: String,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitReply {
    emissions: Vec<WitEmission>,
    cells: Vec<WitCellUpdate>,
    timers: Vec<WitTimerChanges>,
    entries: Vec<WitEntryChanges>,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitEmission {
    port: u32,
    rows: WitOutcome,
}

#[derive(Debug, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum WitOutcome {
    #[component(name = "unchanged")]
    Unchanged,
    #[component(name = "drop-all")]
    DropAll,
    #[component(name = "keep")]
    Keep(Vec<u8>),
    #[component(name = "take")]
    Take(Vec<u8>),
    #[component(name = "extend")]
    Extend(WitExtension),
    #[component(name = "replace")]
    Replace(WitRows),
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitExtension {
    take: Option<Vec<u8>>,
    columns: Vec<NewColumn>,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct NewColumn {
    index: u32,
    column: Column,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitRows {
    count: u32,
    #[component(name = "event-times")]
    event_times: Option<Vec<u8>>,
    columns: Vec<Column>,
}

#[derive(Debug, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum WitCellUpdate {
    #[component(name = "unchanged")]
    Unchanged,
    #[component(name = "all")]
    All(Column),
    #[component(name = "marked")]
    Marked(MarkedValues),
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct MarkedValues {
    groups: Vec<u8>,
    values: Column,
}

#[derive(Debug, Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "its variants are made by lifting")]
pub(crate) enum WitEntryAction {
    #[component(name = "put")]
    Put,
    #[component(name = "append")]
    Append,
    #[component(name = "remove")]
    Remove,
    #[component(name = "clear")]
    Clear,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitEntryChanges {
    cell: u32,
    action: WitEntryAction,
    groups: Vec<u8>,
    #[component(name = "sub-keys")]
    sub_keys: Option<Column>,
    values: Option<Column>,
}

#[derive(Debug, Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "its variants are made by lifting")]
pub(crate) enum WitTimeDomain {
    #[component(name = "event-time")]
    EventTime,
    #[component(name = "processing-time")]
    ProcessingTime,
}

impl From<WitTimeDomain> for TimeDomain {
    fn from(domain: WitTimeDomain) -> Self {
        match domain {
            WitTimeDomain::EventTime => Self::EventTime,
            WitTimeDomain::ProcessingTime => Self::ProcessingTime,
        }
    }
}

#[derive(Debug, Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "its variants are made by lifting")]
pub(crate) enum TimerAction {
    #[component(name = "set")]
    Set,
    #[component(name = "clear")]
    Clear,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitTimerChanges {
    domain: WitTimeDomain,
    action: TimerAction,
    groups: Vec<u8>,
    times: Vec<u8>,
}

/// A reply that is not one the contract allows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// What is wrong, with the port, cell or column it is about.
    Reply(String),
    /// More rows than one call may emit.
    Rows { rows: usize },
}

impl From<String> for Bad {
    fn from(what: String) -> Self {
        Self::Reply(what)
    }
}

/// Checks an answer against what the operator declared and the call it answers.
pub(crate) fn check(reply: WitReply, ports: &Ports, call: &Call) -> Result<Reply, Bad> {
    let mut seen = 0u64;
    let mut made = 0;
    let mut emissions = Vec::with_capacity(reply.emissions.len().min(ports.len()));
    for emission in reply.emissions {
        let port = emission.port as usize;
        let Some(shape) = ports.shape(port) else {
            return Err(Bad::Reply(format!("port {port} of {}", ports.len())));
        };
        let named = |bad| match bad {
            Bad::Reply(what) => Bad::Reply(format!("port `{}`: {what}", ports.name(port))),
            rows @ Bad::Rows { .. } => rows,
        };
        if seen & 1 << port != 0 {
            return Err(named("it is named twice".to_owned().into()));
        }
        seen |= 1 << port;
        made += made_rows(&emission.rows);
        if made > ports.rows_max() {
            return Err(Bad::Rows { rows: made });
        }
        emissions.push(Emission { port, rows: outcome(emission.rows, shape, call).map_err(named)? });
    }
    Ok(Reply {
        emissions,
        cells: cells(reply.cells, ports, call)?,
        entries: entries::check(reply.entries, ports, call)?,
        timers: timers(reply.timers, ports, call)?,
    })
}

/// How much a reply hands over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Bytes of all its buffers.
    pub(crate) bytes: usize,
    /// Rows that the guest made.
    pub(crate) rows: usize,
}

/// The size of a reply, checked or not.
pub(crate) fn size(reply: &WitReply) -> Size {
    let buffer = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let of_outcome = |outcome: &WitOutcome| match outcome {
        WitOutcome::Unchanged | WitOutcome::DropAll => 0,
        WitOutcome::Keep(bytes) | WitOutcome::Take(bytes) => bytes.len(),
        WitOutcome::Extend(extension) => {
            let columns = extension.columns.iter().map(|new| new.column.bytes());
            buffer(&extension.take) + columns.sum::<usize>()
        }
        WitOutcome::Replace(rows) => buffer(&rows.event_times) + rows.columns.iter().map(Column::bytes).sum::<usize>(),
    };
    let of_cell = |update: &WitCellUpdate| match update {
        WitCellUpdate::Unchanged => 0,
        WitCellUpdate::All(column) => column.bytes(),
        WitCellUpdate::Marked(marked) => marked.groups.len() + marked.values.bytes(),
    };
    let emitted = reply.emissions.iter().map(|emission| of_outcome(&emission.rows)).sum::<usize>();
    let cells = reply.cells.iter().map(of_cell).sum::<usize>();
    let column = |column: &Option<Column>| column.as_ref().map_or(0, Column::bytes);
    let of_entries = |change: &WitEntryChanges| change.groups.len() + column(&change.sub_keys) + column(&change.values);
    let entries = reply.entries.iter().map(of_entries).sum::<usize>();
    let timers = reply.timers.iter().map(|change| change.groups.len() + change.times.len()).sum::<usize>();
    let rows = reply.emissions.iter().map(|emission| made_rows(&emission.rows)).fold(0, usize::saturating_add);
    Size { bytes: emitted + cells + entries + timers, rows }
}

/// Rows that the guest made, as opposed to let through.
fn made_rows(outcome: &WitOutcome) -> usize {
    match outcome {
        WitOutcome::Take(take) | WitOutcome::Extend(WitExtension { take: Some(take), .. }) => take.len() / 4,
        WitOutcome::Replace(rows) => rows.count as usize,
        _ => 0,
    }
}

fn outcome(outcome: WitOutcome, shape: &Shape, call: &Call) -> Result<Outcome, Bad> {
    if !matches!(outcome, WitOutcome::DropAll) {
        shape.check_call(call)?;
    }
    Ok(match (outcome, shape) {
        (WitOutcome::DropAll, _) => Outcome::DropAll,
        (WitOutcome::Unchanged, Shape::Pass { .. }) => Outcome::Unchanged,
        (WitOutcome::Keep(bytes), Shape::Pass { .. }) => {
            Outcome::Keep(BooleanArray::new(bitmap(bytes, call.rows).map_err(|what| format!("`keep`: {what}"))?, None))
        }
        (WitOutcome::Take(bytes), Shape::Pass { .. }) => Outcome::Take(take(bytes, call)?),
        (WitOutcome::Extend(extension), Shape::Extend { columns, .. } | Shape::Key { columns }) => {
            let take = extension.take.map(|bytes| take(bytes, call)).transpose()?;
            let rows = take.as_ref().map_or(call.rows, |take| take.values().len());
            Outcome::Extend { take, columns: added(extension.columns, columns, rows)? }
        }
        (WitOutcome::Replace(rows), Shape::New { columns, event_times }) => replace(rows, columns, *event_times)?,
        (outcome, shape) => {
            return Err(format!("`{}`, which a port of shape `{}` cannot do", name(&outcome), shape.name()).into());
        }
    })
}

/// The columns that an extension adds, in the order the port declares them.
fn added(mut given: Vec<NewColumn>, fields: &[Field], rows: usize) -> Result<Vec<ArrayRef>, String> {
    given.sort_by_key(|column| column.index);
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(fields.len());
    for NewColumn { index, column } in given {
        let (place, next) = (index as usize, arrays.len());
        let Some(field) = fields.get(place) else {
            return Err(format!("column {place} of {} that it adds", fields.len()));
        };
        if place < next {
            return Err(format!("column `{}` is given twice", field.name));
        }
        if place > next {
            break;
        }
        arrays.push(column.into_field(rows, field)?);
    }
    match fields.get(arrays.len()) {
        Some(missing) => Err(format!("column `{}` is missing", missing.name)),
        None => Ok(arrays),
    }
}

fn name(outcome: &WitOutcome) -> &'static str {
    match outcome {
        WitOutcome::Unchanged => "unchanged",
        WitOutcome::DropAll => "drop-all",
        WitOutcome::Keep(_) => "keep",
        WitOutcome::Take(_) => "take",
        WitOutcome::Extend(_) => "extend",
        WitOutcome::Replace(_) => "replace",
    }
}

fn take(bytes: Vec<u8>, call: &Call) -> Result<UInt32Array, String> {
    Ok(UInt32Array::new(row_numbers(bytes, call.rows).map_err(|what| format!("`take`: {what}"))?, None))
}

fn replace(rows: WitRows, fields: &[Field], event_times: bool) -> Result<Outcome, Bad> {
    let count = rows.count as usize;
    let times = match (rows.event_times, event_times) {
        (None, false) => None,
        (Some(bytes), true) => Some(numbers(bytes, count).map_err(|what| format!("event times: {what}"))?),
        (Some(_), false) => return Err("event times, which the port's rows do not have".to_owned().into()),
        (None, true) => return Err("no event times, which the port's rows have".to_owned().into()),
    };
    if rows.columns.len() != fields.len() {
        return Err(format!("{} columns of {}", rows.columns.len(), fields.len()).into());
    }
    let columns = rows.columns.into_iter().zip(fields).map(|(column, field)| column.into_field(count, field).map(Some));
    let columns = columns.collect::<Result<_, _>>()?;
    if count == 0 {
        return Ok(Outcome::DropAll);
    }
    Ok(Outcome::Replace(Batch { rows: count, event_times: times, columns, key_hashes: None, read_at_us: None }))
}

fn cells(updates: Vec<WitCellUpdate>, ports: &Ports, call: &Call) -> Result<Vec<CellUpdate>, String> {
    if updates.is_empty() {
        return Ok(Vec::new());
    }
    let declared = ports.value_cells().count();
    if updates.len() != declared {
        return Err(format!("updates for {} of {declared} value cells", updates.len()));
    }
    let check = |(update, cell): (WitCellUpdate, &wasmill_model::descriptor::Cell)| {
        let named = |what| format!("cell `{}` ({}): {what}", cell.name, cell.data_type);
        let groups =
            || call.groups.map(|g| g as usize).ok_or_else(|| named("the rows of this call have no keys".into()));
        Ok(match update {
            WitCellUpdate::Unchanged => CellUpdate::Unchanged,
            WitCellUpdate::All(column) => {
                CellUpdate::All(column.into_array(groups()?, cell.data_type, true).map_err(named)?)
            }
            WitCellUpdate::Marked(MarkedValues { groups: marks, values }) => {
                let marks = bitmap(marks, groups()?).map_err(|what| named(format!("marked groups: {what}")))?;
                let values = values.into_array(marks.count_set_bits(), cell.data_type, true).map_err(named)?;
                CellUpdate::Marked { groups: marks, values }
            }
        })
    };
    updates.into_iter().zip(ports.value_cells()).map(check).collect()
}

fn timers(changes: Vec<WitTimerChanges>, ports: &Ports, call: &Call) -> Result<Vec<TimerChanges>, String> {
    let check = |change: WitTimerChanges| {
        if !ports.timers() {
            return Err("timers, which the operator did not declare".to_owned());
        }
        let count = call.groups.ok_or("timers, but the rows of this call have no keys")?;
        let named = |what| format!("timers: {what}");
        let groups = all_numbers(change.groups).map_err(named)?;
        below(&groups, count as usize).map_err(|group| named(format!("group {group} of {count}")))?;
        let times = all_numbers(change.times).map_err(named)?;
        if times.len() != groups.len() {
            return Err(named(format!("{} times for {} groups", times.len(), groups.len())));
        }
        let domain = change.domain.into();
        Ok(TimerChanges { domain, set: matches!(change.action, TimerAction::Set), groups, times })
    };
    changes.into_iter().map(check).collect()
}
