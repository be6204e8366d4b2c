//! Applying what a call answered: first all that it needs is worked out and held against the limits, then all of it is
//! written. What a call frees makes room for the next call, not for itself.

use arrow_array::{
    Array, ArrayRef,
    cast::AsArray,
    types::{Float64Type, Int64Type},
};
use arrow_buffer::NullBuffer;
use wasmill_model::{
    DataType,
    reply::{CellUpdate, EntryChanges, TimerChanges},
};

use crate::{
    arena::{BLOCK_BYTES_MAX, Demand, Position},
    error::Error,
    grouping::Call,
    keyed::KeyedState,
    layout::{self, Slot},
    timers::{Timer, TimerDemand},
};

/// What applying the updates of cells takes. Used again for every call.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Bytes of the new record each group needs; 0: none.
    needs: Vec<u32>,
    /// For each text cell: the value each group gets, as its place in the update + 1; 0: the group keeps its own.
    texts: Vec<Vec<u32>>,
    /// The texts of a record while it is written.
    scratch: Vec<u8>,
}

/// The group and the place of its value, for each group that an update names.
fn each_update(update: &CellUpdate, mut f: impl FnMut(usize, usize)) {
    match update {
        CellUpdate::Unchanged => {}
        CellUpdate::All(values) => (0..values.len()).for_each(|i| f(i, i)),
        CellUpdate::Marked { groups, .. } => groups.set_indices().enumerate().for_each(|(i, group)| f(group, i)),
    }
}

fn values(update: &CellUpdate) -> Option<&ArrayRef> {
    match update {
        CellUpdate::Unchanged => None,
        CellUpdate::All(values) | CellUpdate::Marked { values, .. } => Some(values),
    }
}

impl KeyedState {
    /// Applies new values of value cells, one update a cell or none at all, then changes of entries and of timers in their order,
    /// for the groups of the call. On an error nothing has been applied.
    ///
    /// # Panics
    /// If an update has another type than its cell, or not one value for each group it names.
    pub fn apply(
        &mut self,
        cells: &[CellUpdate],
        entries: &[EntryChanges],
        timers: &[TimerChanges],
    ) -> Result<(), Error> {
        self.check_shape(cells);
        let changed = cells.iter().any(|update| values(update).is_some());
        let cell_bytes = if changed { self.plan(cells)? } else { self.arena.bytes() + self.index.bytes_with(0) };
        let entry_bytes = self.lock_entries().map_or(Ok(0), |held| held.check(entries))?;
        let timer_bytes = self.check_timers(timers, cell_bytes + entry_bytes)?;
        let (bytes, bytes_max) = (cell_bytes + entry_bytes + timer_bytes, self.limits.bytes_max);
        if bytes > bytes_max && bytes > self.bytes() {
            return Err(Error::StateFull { bytes, bytes_max });
        }
        if changed {
            self.place();
            self.note_written(cells);
            for (cell, update) in cells.iter().enumerate() {
                self.write_cell(cell, update);
            }
            self.write_texts(cells);
            self.remove_empty(cells);
        }
        if let Some(mut held) = self.lock_entries().filter(|_| !entries.is_empty()) {
            held.apply(entries);
        }
        self.change_timers(timers);
        Ok(())
    }

    fn check_shape(&self, cells: &[CellUpdate]) {
        assert!(cells.is_empty() || cells.len() == self.layout.cells.len(), "there is not one update a cell");
        let groups = self.call.hashes.len();
        for (update, (data_type, _)) in cells.iter().zip(&self.layout.cells) {
            let named = match update {
                CellUpdate::Unchanged => 0,
                CellUpdate::All(_) => groups,
                CellUpdate::Marked { groups: marks, .. } => {
                    assert_eq!(marks.len(), groups, "marks are not one a group");
                    marks.count_set_bits()
                }
            };
            if let Some(values) = values(update) {
                assert_eq!(values.len(), named, "values are not one a group");
                assert_eq!(values.data_type(), &data_type.arrow(), "values are not of the cell's type");
            }
        }
    }

    /// Works out which groups need a new record, and the bytes of all cells when they have it.
    fn plan(&mut self, cells: &[CellUpdate]) -> Result<usize, Error> {
        self.locate();
        let Call { keys, positions, .. } = &self.call;
        let Plan { needs, texts, .. } = &mut self.plan;
        needs.clear();
        needs.resize(positions.len(), 0);
        if positions.contains(&Position::NOWHERE) {
            for update in cells {
                let Some(nulls) = values(update).map(|v| v.nulls()) else { continue };
                each_update(update, |group, i| {
                    let absent = positions[group] == Position::NOWHERE;
                    if absent && nulls.is_none_or(|n| n.is_valid(i)) {
                        needs[group] = self.layout.record_bytes(keys.get(group).len(), 0) as u32;
                    }
                });
            }
        }
        if self.layout.texts > 0 {
            Self::plan_texts(&self.layout, cells, texts, positions.len());
            self.plan_text_records(cells)?;
        }
        if self.arena.is_sealed() {
            self.plan_moves(cells);
        }
        let (mut demand, mut added, mut left) = (Demand::default(), 0, 0);
        for (&need, &position) in self.plan.needs.iter().zip(&self.call.positions) {
            if need == 0 {
                continue;
            }
            demand.add(need as usize);
            if position == Position::NOWHERE {
                added += 1;
            } else if self.arena.is_block_sealed(position) {
                left += self.arena.header(position).block_bytes();
            }
        }
        Ok(self.arena.bytes_with(&demand, left) + self.index.bytes_with(added))
    }

    /// Records that a snapshot reads move before they are changed.
    fn plan_moves(&mut self, cells: &[CellUpdate]) {
        let Self { layout, arena, call, plan, .. } = self;
        for update in cells {
            each_update(update, |group, _| {
                let position = call.positions[group];
                if position != Position::NOWHERE && arena.is_block_sealed(position) {
                    let header = arena.header(position);
                    let texts = layout.text_bytes(arena.at(position), header);
                    let bytes = layout.record_bytes(header.key_bytes as usize, texts) as u32;
                    plan.needs[group] = plan.needs[group].max(bytes);
                }
            });
        }
    }

    /// Notes which value of an update each group gets.
    fn plan_texts(layout: &layout::Layout, cells: &[CellUpdate], texts: &mut Vec<Vec<u32>>, groups: usize) {
        texts.resize(layout.texts, Vec::new());
        for (update, &(_, slot)) in cells.iter().zip(&layout.cells) {
            let Slot::Text(text) = slot else { continue };
            texts[text].clear();
            texts[text].resize(groups, 0);
            each_update(update, |group, i| texts[text][group] = i as u32 + 1);
        }
    }

    /// Works out the lengths of records whose texts change.
    fn plan_text_records(&mut self, cells: &[CellUpdate]) -> Result<(), Error> {
        let updates = self.text_updates(cells);
        for group in 0..self.call.positions.len() {
            let position = self.call.positions[group];
            let (fresh, kept) = (self.plan.needs[group] > 0, position != Position::NOWHERE);
            let named = self.plan.texts.iter().any(|t| t[group] > 0);
            if !(fresh || kept && named) {
                continue;
            }
            let text_bytes: usize = (0..self.layout.texts).map(|t| self.new_text(&updates, t, group).len()).sum();
            let bytes = self.layout.record_bytes(self.call.keys.get(group).len(), text_bytes);
            if bytes > BLOCK_BYTES_MAX {
                return Err(Error::RecordTooLong { group, bytes, bytes_max: BLOCK_BYTES_MAX });
            }
            let moves =
                |position| bytes > self.arena.header(position).block_bytes() || self.arena.is_block_sealed(position);
            if fresh || moves(position) {
                self.plan.needs[group] = bytes as u32;
            }
        }
        Ok(())
    }

    /// The values that each text cell is given.
    fn text_updates<'a>(&self, cells: &'a [CellUpdate]) -> Vec<Texts<'a>> {
        let text_cells = cells.iter().zip(&self.layout.cells).filter(|(_, (_, slot))| matches!(slot, Slot::Text(_)));
        text_cells.map(|(update, &(data_type, _))| Texts { values: values(update), data_type }).collect()
    }

    /// The text a group will have.
    fn new_text<'a>(&'a self, updates: &[Texts<'a>], text: usize, group: usize) -> &'a [u8] {
        match self.plan.texts[text][group] {
            0 => match self.call.positions[group] {
                Position::NOWHERE => &[],
                position => self.layout.text(self.arena.at(position), self.arena.header(position), text),
            },
            i => updates[text].value(i as usize - 1),
        }
    }

    /// Checks the limit on timers, and says at most how many bytes they will take, exactly if it is near the limit.
    fn check_timers(&self, changes: &[TimerChanges], cell_bytes: usize) -> Result<usize, Error> {
        let (timers_max, bytes_max) = (self.limits.timers_max, self.limits.bytes_max);
        let sets = || changes.iter().filter(|change| change.set);
        let count: usize = sets().map(|change| change.groups.len()).sum();
        if count == 0 {
            return Ok(self.timers.bytes());
        }
        let key_bytes = |&group: &u32| self.call.keys.get(group as usize).len();
        let key_bytes = sets().flat_map(|change| change.groups.iter()).map(key_bytes).sum();
        let at_most = self.timers.bytes_at_most(count, key_bytes);
        if self.timers.len() + count <= timers_max && cell_bytes + at_most <= bytes_max {
            return Ok(at_most);
        }
        let mut demand = TimerDemand::default();
        for change in sets() {
            for (&group, &time) in change.groups.iter().zip(change.times.iter()) {
                self.timers.add_demand(&mut demand, change.domain, self.call.timer(group, time));
            }
        }
        let (timers, bytes) = self.timers.with_demand(&demand);
        if timers > timers_max && timers > self.timers.len() {
            return Err(Error::TimersFull { timers, timers_max });
        }
        Ok(bytes)
    }

    /// Makes the new records: for groups without one an empty record, for those that need a longer one a copy.
    fn place(&mut self) {
        let Self { layout, arena, index, call, plan, .. } = self;
        for (group, &need) in plan.needs.iter().enumerate().filter(|(_, need)| **need > 0) {
            let (key, hash, old) = (call.keys.get(group), call.hashes[group], call.positions[group]);
            let new = match old {
                Position::NOWHERE => arena.allocate(need as usize, key.len()),
                old => arena.allocate_instead(need as usize, old),
            };
            if old == Position::NOWHERE {
                layout.write_empty(arena.at_mut(new), key);
                index.insert(hash, new);
            } else {
                let header = arena.header(old);
                let record = arena.at(old);
                let bytes = layout.record_bytes(key.len(), layout.text_bytes(record, header));
                plan.scratch.clear();
                plan.scratch.extend_from_slice(&record[layout::HEADER_BYTES..bytes]);
                arena.at_mut(new)[layout::HEADER_BYTES..bytes].copy_from_slice(&plan.scratch);
                index.replace(hash, old, new);
                arena.free(old);
            }
            call.positions[group] = new;
        }
    }

    /// Notes which records the updates are about.
    fn note_written(&mut self, cells: &[CellUpdate]) {
        if !self.arena.is_tracked() {
            return;
        }
        let Self { arena, call, .. } = self;
        for update in cells {
            each_update(update, |group, _| match call.positions[group] {
                Position::NOWHERE => {}
                position => arena.note(position),
            });
        }
    }

    /// Writes presence, and the value of a cell of fixed length. Groups without a record get no value.
    fn write_cell(&mut self, cell: usize, update: &CellUpdate) {
        let Some(array) = values(update) else { return };
        self.stamp(cell, update);
        let nulls = array.nulls().filter(|n| n.null_count() > 0);
        let (data_type, slot) = self.layout.cells[cell];
        match (slot, data_type) {
            (Slot::Word(at), DataType::Float64) => {
                let values = array.as_primitive::<Float64Type>().values();
                self.write_slots(cell, update, nulls, |record, i| {
                    set_word(record, at, i.map_or(0, |i| values[i].to_bits()))
                });
            }
            (Slot::Word(at), _) => {
                let values = array.as_primitive::<Int64Type>().values();
                self.write_slots(cell, update, nulls, |record, i| {
                    set_word(record, at, i.map_or(0, |i| values[i] as u64))
                });
            }
            (Slot::Boolean(at), _) => {
                let values = array.as_boolean().values();
                self.write_slots(cell, update, nulls, |record, i| {
                    record[at] = i.map_or(0, |i| u8::from(values.value(i)));
                });
            }
            (Slot::Text(_), _) => self.write_slots(cell, update, nulls, |_, _| {}),
        }
    }

    /// Writes when the values of a cell with a time to live were written.
    fn stamp(&mut self, cell: usize, update: &CellUpdate) {
        let Some(life) = self.layout.lives[cell] else { return };
        let Self { layout, arena, call, now, .. } = self;
        each_update(update, |group, _| match call.positions[group] {
            Position::NOWHERE => {}
            position => {
                let record = arena.at(position);
                let before = layout.is_alive(record, cell, *now).then(|| life.stamp(record));
                let stamp = life.ttl.stamp(*now, call.latest.get(group).copied(), before);
                set_word(arena.at_mut(position), life.stamp_at, stamp as u64);
            }
        });
    }

    /// Calls `write` with each record and the place of its value, none for a null.
    #[inline]
    fn write_slots(
        &mut self,
        cell: usize,
        update: &CellUpdate,
        nulls: Option<&NullBuffer>,
        write: impl Fn(&mut [u8], Option<usize>),
    ) {
        let Self { layout, arena, call, .. } = self;
        let mut write_one = |position: Position, value: Option<usize>| {
            if position != Position::NOWHERE {
                let record = arena.at_mut(position);
                write(record, value);
                layout.set_present(record, cell, value.is_some());
            }
        };
        if let (CellUpdate::All(_), None) = (update, nulls) {
            for (i, &position) in call.positions.iter().enumerate() {
                write_one(position, Some(i));
            }
        } else {
            each_update(update, |group, i| {
                write_one(call.positions[group], nulls.is_none_or(|n| n.is_valid(i)).then_some(i));
            });
        }
    }

    /// Writes the texts of all records in which one changes.
    fn write_texts(&mut self, cells: &[CellUpdate]) {
        if self.layout.texts == 0 {
            return;
        }
        let updates = self.text_updates(cells);
        let mut scratch = std::mem::take(&mut self.plan.scratch);
        for group in 0..self.call.positions.len() {
            let position = self.call.positions[group];
            if position == Position::NOWHERE || self.plan.texts.iter().all(|t| t[group] == 0) {
                continue;
            }
            scratch.clear();
            for text in 0..self.layout.texts {
                layout::push_text(self.new_text(&updates, text, group), &mut scratch);
            }
            let at = self.layout.record_bytes(self.call.keys.get(group).len(), 0) - 4 * self.layout.texts;
            self.arena.at_mut(position)[at..][..scratch.len()].copy_from_slice(&scratch);
        }
        self.plan.scratch = scratch;
    }

    /// Removes the records in which a cell was cleared and none is left.
    fn remove_empty(&mut self, cells: &[CellUpdate]) {
        let Self { layout, arena, index, call, gone, now, .. } = self;
        for update in cells {
            let Some(nulls) = values(update).and_then(|v| v.nulls()).filter(|n| n.null_count() > 0) else { continue };
            each_update(update, |group, i| {
                let position = call.positions[group];
                if nulls.is_null(i) && position != Position::NOWHERE && layout.is_empty(arena.at(position), *now) {
                    index.remove(call.hashes[group], position);
                    if arena.is_tracked() && arena.was_sealed(position) {
                        gone.push(call.keys.get(group));
                    }
                    arena.free(position);
                    call.positions[group] = Position::NOWHERE;
                }
            });
        }
    }

    fn change_timers(&mut self, changes: &[TimerChanges]) {
        for change in changes {
            assert_eq!(change.groups.len(), change.times.len(), "there is not one time a timer");
            let domain = self.timers.domain_mut(change.domain);
            let timers = || change.groups.iter().zip(change.times.iter()).map(|(&g, &t)| self.call.timer(g, t));
            let touched = timers().fold(0, |all, timer| all ^ domain.touch(timer));
            std::hint::black_box(touched);
            if change.set {
                timers().for_each(|timer| domain.set(timer));
            } else {
                timers().for_each(|timer| domain.clear(timer));
            }
        }
    }
}

impl Call {
    fn timer(&self, group: u32, time: i64) -> Timer<'_> {
        let group = group as usize;
        Timer { time, key: self.keys.get(group), key_hash: self.hashes[group] }
    }
}

/// The values a text cell is given; nulls are empty.
struct Texts<'a> {
    values: Option<&'a ArrayRef>,
    data_type: DataType,
}

impl<'a> Texts<'a> {
    fn value(&self, i: usize) -> &'a [u8] {
        match self.values {
            Some(values) if values.is_valid(i) => match self.data_type {
                DataType::Utf8 => values.as_string_view().value(i).as_bytes(),
                _ => values.as_binary_view().value(i),
            },
            _ => &[],
        }
    }
}

#[inline]
fn set_word(record: &mut [u8], at: usize, word: u64) {
    *record[at..].first_chunk_mut().expect("a record has all its slots") = word.to_le_bytes();
}
