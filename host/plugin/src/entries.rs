//! What a guest reads of list, map and broadcast cells during a call: `interface state` of the contract.
//!
//! The state itself is elsewhere; here its answers are checked for what the guest may ask, bounded, kept for a capsule, and taken from
//! one when the call is made again.

use std::{collections::VecDeque, fmt, sync::Arc};

use arrow_array::ArrayRef;
use arrow_buffer::ScalarBuffer;
use wasmill_model::descriptor::{Cell, CellKind};
use wasmtime::{
    StoreContextMut,
    component::{ComponentType, LinkerInstance, Lower},
};

use crate::{
    binding::{
        columns::{Column, all_numbers, below},
        lower::Scratch,
    },
    capsule,
    guest::Guest,
};

/// What an operator instance keeps in list, map and broadcast cells, as it was when the call began.
pub trait EntryReader: fmt::Debug + Send + Sync {
    /// The value of each pair of group and sub-key, null where there is none. An error if they take more than `bytes_max`.
    fn get(&self, cell: usize, groups: &[u32], sub_keys: &ArrayRef, bytes_max: usize) -> Result<ArrayRef, String>;

    /// Entries of several groups.
    fn scan(&self, scan: &Scan<'_>) -> Result<Scanned, String>;
}

/// Which entries are asked for. It has been checked: groups are those of the call, bounds are one a group, without nulls.
#[derive(Debug)]
pub struct Scan<'a> {
    /// The cell's place in the descriptor.
    pub cell: usize,
    pub groups: &'a [u32],
    /// Included.
    pub start: Option<&'a ArrayRef>,
    /// Not included.
    pub end: Option<&'a ArrayRef>,
    /// The last ones, in the opposite order.
    pub descending: bool,
    /// Entries of one group, at most.
    pub limit: u32,
    /// Bytes of the answer, at most.
    pub bytes_max: usize,
}

/// Entries of several groups.
#[derive(Debug, Clone)]
pub struct Scanned {
    /// How many there are of each.
    pub counts: Vec<u32>,
    pub sub_keys: ArrayRef,
    pub values: ArrayRef,
}

/// `entries` of the contract. What `get` answers has values only.
#[derive(Debug, Clone, Default, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct Answer {
    pub counts: Vec<u8>,
    #[component(name = "sub-keys")]
    pub sub_keys: capsule::Column,
    pub values: capsule::Column,
}

impl Answer {
    fn bytes(&self) -> usize {
        let column = |column: &capsule::Column| {
            let length = |buffer: &Option<Vec<u8>>| buffer.as_ref().map_or(0, Vec::len);
            length(&column.validity) + length(&column.offsets) + column.values.len()
        };
        self.counts.len() + column(&self.sub_keys) + column(&self.values)
    }
}

/// What a guest may read, and has read in its call.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    cells: Vec<Cell>,
    reader: Option<Arc<dyn EntryReader>>,
    bytes_max: usize,
    /// Whether the guest has had a call in which state can be read: `open` is none, it may come before the state is there.
    has_begun: bool,
    /// Groups of the call; none: its rows have no keys.
    groups: Option<u32>,
    /// Whether answers are kept, and those of the call.
    keeps: bool,
    kept: Vec<Answer>,
    kept_bytes: usize,
    /// Answers of a call that is made again.
    again: Option<VecDeque<Answer>>,
}

impl Reads {
    pub(crate) fn new(cells: &[Cell], reader: Option<Arc<dyn EntryReader>>, bytes_max: usize, keeps: bool) -> Self {
        Self { cells: cells.to_vec(), reader, bytes_max, keeps, ..Self::default() }
    }

    /// Begins a call with so many groups.
    pub(crate) fn begin(&mut self, groups: Option<u32>) {
        self.has_begun = true;
        self.groups = groups;
        self.kept.clear();
        self.kept_bytes = 0;
    }

    /// What has been read in the call.
    pub(crate) fn kept(&self) -> &[Answer] {
        &self.kept
    }

    /// Answers from now on what was answered before.
    pub(crate) fn answer_again(&mut self, answers: &[Answer]) {
        self.again = Some(answers.iter().cloned().collect());
    }

    fn reader(&self) -> Result<&dyn EntryReader, String> {
        let reader = self.reader.as_deref().filter(|_| self.has_begun);
        reader.ok_or_else(|| "state, which this call cannot see".to_owned())
    }

    fn cell(&self, place: u32) -> Result<&Cell, String> {
        let cell = self.cells.get(place as usize);
        let cell = cell.ok_or_else(|| format!("cell {place}, of {} that it declared", self.cells.len()))?;
        match cell.kind {
            CellKind::Value => Err(format!("entries of cell `{}`, which has a value only", cell.name)),
            _ => Ok(cell),
        }
    }

    fn groups(&self, cell: &Cell, groups: Vec<u8>) -> Result<ScalarBuffer<u32>, String> {
        let groups: ScalarBuffer<u32> = all_numbers(groups).map_err(|what| format!("groups: {what}"))?;
        let count = match (cell.kind.is_keyed(), self.groups) {
            (false, _) => 1,
            (true, Some(count)) => count,
            (true, None) => return Err(format!("entries of cell `{}` in a call without keys", cell.name)),
        };
        below(&groups, count as usize).map_err(|group| format!("group {group} of {count}"))?;
        Ok(groups)
    }

    fn get(&self, (cell, groups, sub_keys): (u32, Vec<u8>, Column)) -> Result<Answer, String> {
        let place = cell as usize;
        let cell = self.cell(cell)?;
        let groups = self.groups(cell, groups)?;
        let sub_keys = sub_keys_of(cell, sub_keys, groups.len())?;
        let values = self.reader()?.get(place, &groups, &sub_keys, self.bytes_max)?;
        Ok(Answer { values: lowered(&values)?, ..Answer::default() })
    }

    fn scan(
        &self,
        (cell, groups, start, end, descending, limit): (u32, Vec<u8>, Option<Column>, Option<Column>, bool, u32),
    ) -> Result<Answer, String> {
        let place = cell as usize;
        let cell = self.cell(cell)?;
        let groups = self.groups(cell, groups)?;
        let bound = |bound: Option<Column>| bound.map(|bound| sub_keys_of(cell, bound, groups.len())).transpose();
        let (start, end) = (bound(start)?, bound(end)?);
        let Scanned { counts, sub_keys, values } = self.reader()?.scan(&Scan {
            cell: place,
            groups: &groups,
            start: start.as_ref(),
            end: end.as_ref(),
            descending,
            limit,
            bytes_max: self.bytes_max,
        })?;
        let counts = counts.iter().flat_map(|count| count.to_le_bytes()).collect();
        Ok(Answer { counts, sub_keys: lowered(&sub_keys)?, values: lowered(&values)? })
    }

    /// The answer, kept if answers are; of a call that is made again the next one from before.
    fn answer(&mut self, ask: impl FnOnce(&Self) -> Result<Answer, String>) -> wasmtime::Result<Answer> {
        let answer = match &mut self.again {
            Some(again) => {
                again.pop_front().ok_or_else(|| "more state than it read when the call was saved".to_owned())
            }
            None => ask(self),
        };
        let answer = answer.map_err(|what| wasmtime::Error::msg(format!("it asked for {what}")))?;
        // A capsule that would be too long is not written, and need not be whole.
        if self.keeps && self.kept_bytes <= capsule::SIZE_MAX {
            self.kept_bytes += answer.bytes();
            self.kept.push(answer.clone());
        }
        Ok(answer)
    }
}

fn sub_keys_of(cell: &Cell, sub_keys: Column, count: usize) -> Result<ArrayRef, String> {
    let data_type = cell.sub_key_type().ok_or("sub-keys, which the cell has none of")?;
    sub_keys.into_array(count, data_type, false).map_err(|what| format!("sub-keys of cell `{}`: {what}", cell.name))
}

fn lowered(array: &ArrayRef) -> Result<capsule::Column, String> {
    let mut scratch = Scratch::default();
    scratch.fill(std::iter::once(array)).map_err(|_| "values of more than 4 GiB")?;
    let column = scratch.column(0, array);
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    Ok(capsule::Column {
        validity: owned(column.validity),
        offsets: owned(column.offsets),
        values: column.values.to_vec(),
    })
}

/// Offers a function of `wasmill:operator/state`; false if there is no such function.
pub(crate) fn offer(at: &mut LinkerInstance<'_, Guest>, function: &str) -> wasmtime::Result<bool> {
    type Cx<'a> = StoreContextMut<'a, Guest>;
    match function {
        "get" => at.func_wrap(function, |mut cx: Cx<'_>, asked: (u32, Vec<u8>, Column)| {
            let answer = cx.data_mut().reads.answer(|reads| reads.get(asked))?;
            Ok((answer.values,))
        })?,
        "scan" => at.func_wrap(
            function,
            |mut cx: Cx<'_>, asked: (u32, Vec<u8>, Option<Column>, Option<Column>, bool, u32)| {
                Ok((cx.data_mut().reads.answer(|reads| reads.scan(asked))?,))
            },
        )?,
        _ => return Ok(false),
    }
    Ok(true)
}
