//! From the rows of snapshots back to live state.

use wasmill_model::{
    DataType,
    descriptor::{Cell, CellKind},
    reply::TimeDomain,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    arena::BLOCK_BYTES_MAX,
    entries::part_of,
    error::RowError,
    keyed::KeyedState,
    layout::Slot,
    sealed::{EVENT_TIME_TIMERS, PREFIX_BYTES, PROCESSING_TIME_TIMERS, VALUES, time_of},
    timers::Timer,
};

/// A value cell of the operator that a snapshot was taken of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCell {
    pub data_type: DataType,
    /// Whether its values say when they were written.
    pub is_stamped: bool,
    /// The place of the operator's cell that has its values now; none: they are dropped.
    pub now: Option<usize>,
}

/// A list, map or broadcast cell of the operator that a snapshot was taken of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntries {
    /// The part of the state in which its entries are.
    pub part: u16,
    /// Whether they say when they were written.
    pub is_stamped: bool,
    /// Whether they have keys. What has none is the same for all instances.
    pub is_keyed: bool,
    /// The place of the operator's cell, of the same kind and types, that has its entries now; none: they are dropped.
    pub now: Option<usize>,
}

/// The cells of the operator that a snapshot was taken of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// In the order of their values in a row.
    pub values: Vec<StoredCell>,
    pub entries: Vec<StoredEntries>,
}

impl Stored {
    /// The cells of an operator that has not changed.
    pub fn same(cells: &[Cell]) -> Self {
        let values = cells.iter().filter(|cell| cell.kind == CellKind::Value).enumerate();
        let values = values.map(|(place, cell)| StoredCell {
            data_type: cell.data_type,
            is_stamped: cell.ttl_ms.is_some(),
            now: Some(place),
        });
        let entries = cells.iter().enumerate().filter(|(_, cell)| cell.kind != CellKind::Value);
        let entries = entries.map(|(place, cell)| StoredEntries {
            part: part_of(place),
            is_stamped: cell.ttl_ms.is_some(),
            is_keyed: cell.kind.is_keyed(),
            now: Some(place),
        });
        Self { values: values.collect(), entries: entries.collect() }
    }

    /// Whether a row, by its key, is what all instances have.
    pub fn is_broadcast(&self, key: &[u8]) -> bool {
        let part = key.get(2..PREFIX_BYTES).and_then(|part| part.as_array()).map(|part| u16::from_be_bytes(*part));
        self.entries.iter().any(|entries| !entries.is_keyed && Some(entries.part) == part)
    }
}

/// Takes the rows of snapshots into an empty state.
#[derive(Debug)]
pub struct Restore<'a> {
    state: &'a mut KeyedState,
    stored: &'a Stored,
    /// The texts of the record that is being made, by their numbers in it.
    texts: Vec<Vec<u8>>,
}

impl<'a> Restore<'a> {
    /// `stored`: the cells that the rows have values of, in their order.
    ///
    /// # Panics
    /// If a stored cell goes to one that is not there or has another type.
    pub fn new(state: &'a mut KeyedState, stored: &'a Stored) -> Self {
        for StoredCell { data_type, now, .. } in &stored.values {
            let types = now.map(|now| state.layout.cells[now].0);
            assert!(types.is_none_or(|now| now == *data_type), "a cell of {data_type} is restored as {types:?}");
        }
        let texts = vec![Vec::new(); state.layout.texts];
        Self { state, stored, texts }
    }

    /// Takes a row. Each key may come once.
    ///
    /// # Errors
    /// If it is not a row of this state.
    pub fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), RowError> {
        let (prefix, rest) = key.split_first_chunk::<PREFIX_BYTES>().ok_or(RowError::Key)?;
        let [.., a, b] = *prefix;
        match u16::from_be_bytes([a, b]) {
            VALUES => self.values(rest, value),
            EVENT_TIME_TIMERS => self.timer(TimeDomain::EventTime, rest),
            PROCESSING_TIME_TIMERS => self.timer(TimeDomain::ProcessingTime, rest),
            part => self.entry(part, rest, value),
        }
    }

    fn entry(&mut self, part: u16, rest: &[u8], value: &[u8]) -> Result<(), RowError> {
        let stored = self.stored.entries.iter().find(|entries| entries.part == part);
        let StoredEntries { is_stamped, now, .. } = stored.ok_or(RowError::Part { part })?;
        let Some(now) = *now else { return Ok(()) };
        let (length, rest) = rest.split_first_chunk().ok_or(RowError::Key)?;
        let (key, sub_key) = rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or(RowError::Key)?;
        let (stamp, value) = if *is_stamped {
            let (stamp, value) = value.split_first_chunk().ok_or(RowError::Entry)?;
            (Some(i64::from_le_bytes(*stamp)), value)
        } else {
            (None, value)
        };
        let mut entries = self.state.lock_entries().ok_or(RowError::Entry)?;
        if entries.restore(now, stamp, key, (sub_key, value)) { Ok(()) } else { Err(RowError::Entry) }
    }

    fn timer(&mut self, domain: TimeDomain, rest: &[u8]) -> Result<(), RowError> {
        let (time, key) = rest.split_first_chunk().ok_or(RowError::Key)?;
        let timer = Timer { time: time_of(*time), key, key_hash: xxh3_64(key) };
        self.state.timers.domain_mut(domain).restore(timer);
        Ok(())
    }

    fn values(&mut self, key: &[u8], value: &[u8]) -> Result<(), RowError> {
        let Self { state, stored, texts } = self;
        let short = || RowError::Values;
        let (presence, mut values) = value.split_at_checked(stored.values.len().div_ceil(8)).ok_or_else(short)?;
        texts.iter_mut().for_each(Vec::clear);
        // Numbers are put where they belong once the record is there.
        let mut numbers: Vec<(usize, Slot, [u8; 8])> = Vec::new();
        let mut present: Vec<usize> = Vec::new();
        for (cell, StoredCell { data_type, is_stamped, now }) in stored.values.iter().enumerate() {
            if presence[cell / 8] >> (cell % 8) & 1 == 0 {
                continue;
            }
            let mut stamp = None;
            if *is_stamped {
                let (written, rest) = values.split_first_chunk().ok_or_else(short)?;
                (stamp, values) = (Some(i64::from_le_bytes(*written)), rest);
            }
            let length = match data_type {
                DataType::Int64 | DataType::Float64 | DataType::Timestamp => 8,
                DataType::Boolean => 1,
                DataType::Utf8 | DataType::Binary => {
                    let (length, rest) = values.split_first_chunk().ok_or_else(short)?;
                    values = rest;
                    u32::from_le_bytes(*length) as usize
                }
            };
            let (value, rest) = values.split_at_checked(length).ok_or_else(short)?;
            values = rest;
            let Some(now) = *now else { continue };
            if let Some(life) = state.layout.lives[now] {
                let stamp = stamp.unwrap_or_else(|| life.ttl.unknown_stamp(state.now));
                if !life.ttl.is_on(stamp, state.now) {
                    continue;
                }
                numbers.push((now, Slot::Word(life.stamp_at), stamp.to_le_bytes()));
            }
            present.push(now);
            match state.layout.cells[now] {
                (DataType::Utf8, Slot::Text(text)) => {
                    std::str::from_utf8(value).map_err(|_| short())?;
                    texts[text].extend_from_slice(value);
                }
                (_, Slot::Text(text)) => texts[text].extend_from_slice(value),
                (_, slot) => {
                    let mut word = [0; 8];
                    word[..length].copy_from_slice(value);
                    numbers.push((now, slot, word));
                }
            }
        }
        if !values.is_empty() {
            return Err(short());
        }
        if present.is_empty() {
            return Ok(());
        }
        self.put(key, &present, &numbers)
    }

    fn put(&mut self, key: &[u8], present: &[usize], numbers: &[(usize, Slot, [u8; 8])]) -> Result<(), RowError> {
        let Self { state: KeyedState { layout, arena, index, .. }, texts, .. } = self;
        let bytes = layout.record_bytes(key.len(), texts.iter().map(Vec::len).sum());
        if bytes > BLOCK_BYTES_MAX || key.len() > wasmill_model::keys::KEY_BYTES_MAX {
            return Err(RowError::TooLong { bytes });
        }
        let position = arena.allocate(bytes, key.len());
        let record = arena.at_mut(position);
        layout.write_empty(record, key);
        for (_, slot, word) in numbers {
            match *slot {
                Slot::Word(at) => record[at..at + 8].copy_from_slice(word),
                Slot::Boolean(at) => record[at] = word[0],
                Slot::Text(_) => {}
            }
        }
        for &cell in present {
            layout.set_present(record, cell, true);
        }
        let mut at = layout.key_at + key.len();
        for text in texts.iter() {
            record[at..at + 4].copy_from_slice(&(text.len() as u32).to_le_bytes());
            record[at + 4..][..text.len()].copy_from_slice(text);
            at += 4 + text.len();
        }
        index.insert(xxh3_64(key), position);
        Ok(())
    }
}
