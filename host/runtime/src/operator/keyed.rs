//! What a keyed operator keeps: its state, and how the keys of each input are read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::ArrayRef;
use arrow_buffer::ScalarBuffer;
use wasmill_model::{
    Batch, Timestamp,
    descriptor::{Cell, Descriptor, Input},
    keys::{self, EncodedKeys, KeyEncoder},
    reply::{Groups, TimeDomain},
    schema::Field,
    spec::LimitsSpec,
};
use wasmill_plugin::{
    EntryReader,
    entries::{Scan, Scanned},
};
use wasmill_state::{Entries, KeyedState, StateLimits, TooMuch};

use crate::error::Error;

/// How much state an operator may have: what its table sets, else the defaults.
pub(crate) fn state_limits(limits: &LimitsSpec) -> StateLimits {
    let defaults = StateLimits::default();
    StateLimits {
        bytes_max: limits.state_bytes.map_or(defaults.bytes_max, |bytes| bytes as usize),
        timers_max: limits.timers.map_or(defaults.timers_max, |timers| timers as usize),
    }
}

/// What a keyed operator keeps.
#[derive(Debug)]
pub(super) struct Keyed {
    pub(super) state: KeyedState,
    /// Key columns of each input; `None`: not keyed.
    inputs: Vec<Option<KeyedInput>>,
    /// The key columns.
    pub(super) fields: Vec<Field>,
    limits: StateLimits,
}

#[derive(Debug)]
struct KeyedInput {
    columns: Vec<usize>,
    encoder: KeyEncoder,
}

impl Keyed {
    /// `None` if no input is keyed and there are no cells.
    pub(super) fn new(
        vertex: &str,
        subtask: u32,
        descriptor: &Descriptor,
        inputs: &[Input],
        limits: &LimitsSpec,
    ) -> Result<Option<Self>, Error> {
        if !descriptor.inputs.iter().any(|reads| reads.keyed) && descriptor.cells.is_empty() {
            return Ok(None);
        }
        let keys_error = |source| Error::Keys { vertex: vertex.to_owned(), source };
        let mut keyed_inputs = Vec::new();
        for (reads, input) in descriptor.inputs.iter().zip(inputs) {
            let Some(key) = input.key.as_ref().filter(|_| reads.keyed) else {
                keyed_inputs.push(None);
                continue;
            };
            let columns: Vec<usize> = key.iter().filter_map(|name| input.schema.index_of(name)).collect();
            let fields: Vec<Field> = columns.iter().map(|&i| input.schema.fields()[i].clone()).collect();
            let encoder = KeyEncoder::new(&fields).map_err(keys_error)?;
            keyed_inputs.push(Some(KeyedInput { columns, encoder }));
        }
        let limits = state_limits(limits);
        let failed = |source| Error::State { vertex: vertex.to_owned(), subtask, source };
        let mut state = KeyedState::new(&descriptor.cells, limits).map_err(failed)?;
        state.set_keeps_broadcast(subtask == 0);
        Ok(Some(Self { state, inputs: keyed_inputs, fields: descriptor.key_fields(inputs), limits }))
    }

    /// Forgets all state.
    pub(super) fn empty(&mut self, cells: &[Cell], subtask: u32) -> Result<(), wasmill_state::Error> {
        self.state = KeyedState::new(cells, self.limits)?;
        self.state.set_keeps_broadcast(subtask == 0);
        Ok(())
    }

    /// What the operator can read of its entries. `None`: it has no cells that have any.
    pub(super) fn reader(&self) -> Option<Arc<dyn EntryReader>> {
        Some(Arc::new(Reader(self.state.entries()?)))
    }

    /// Key columns of an input, and what encodes them. `None`: it is not keyed.
    pub(super) fn hashes(&mut self, input: usize, batch: &Batch) -> Result<Option<ScalarBuffer<u64>>, keys::Error> {
        let Some(KeyedInput { columns, encoder }) = &mut self.inputs[input] else { return Ok(None) };
        let columns: Vec<&ArrayRef> = columns.iter().map(|&i| batch.column(i)).collect();
        encoder.encode(&columns, batch.rows)?;
        Ok(Some(encoder.hash()))
    }

    /// The groups of a batch and their state; `None` if the input is not keyed. Begins the call.
    pub(super) fn group(
        &mut self,
        input: usize,
        batch: &Batch,
    ) -> Result<Option<(Groups, Vec<ArrayRef>)>, keys::Error> {
        let Some(KeyedInput { columns, encoder }) = &mut self.inputs[input] else {
            self.state.begin_without_keys(batch.event_times.as_deref());
            return Ok(None);
        };
        let columns: Vec<&ArrayRef> = columns.iter().map(|&i| batch.column(i)).collect();
        encoder.encode(&columns, batch.rows)?;
        let groups = match &batch.key_hashes {
            Some(hashes) => self.state.group(encoder.keys(), hashes),
            None => self.state.group(encoder.keys(), &encoder.hash()),
        };
        self.note_times(&groups, batch.event_times.as_ref());
        Ok(Some((groups, self.state.lookup())))
    }

    /// Takes the first timers that are due, with their key columns; `None` if none is.
    pub(super) fn take_due(
        &mut self,
        domain: TimeDomain,
        up_to: Timestamp,
        max: usize,
    ) -> Result<Option<(Batch, EncodedKeys)>, keys::Error> {
        let due = self.state.take_due(domain, up_to, max);
        if due.is_empty() {
            return Ok(None);
        }
        let mut rows = Batch::new(due.len(), keys::decode(due.keys.iter(), &self.fields)?);
        rows.event_times = Some(due.times);
        Ok(Some((rows, due.keys)))
    }

    /// The groups of due timers and their state. Begins the call. `event_times`: those of timers in event time.
    pub(super) fn group_keys(
        &mut self,
        keys: &EncodedKeys,
        event_times: Option<&ScalarBuffer<Timestamp>>,
    ) -> (Groups, Vec<ArrayRef>) {
        let groups = self.state.group(keys, &keys.hash());
        self.note_times(&groups, event_times);
        (groups, self.state.lookup())
    }

    fn note_times(&mut self, groups: &Groups, event_times: Option<&ScalarBuffer<Timestamp>>) {
        if let Some(times) = event_times.filter(|_| self.state.wants_event_times()) {
            self.state.set_event_times(groups, times);
        }
    }
}

/// Entries, as a plugin asks for them.
#[derive(Debug)]
struct Reader(Arc<Mutex<Entries>>);

impl Reader {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EntryReader for Reader {
    fn get(&self, cell: usize, groups: &[u32], sub_keys: &ArrayRef, bytes_max: usize) -> Result<ArrayRef, String> {
        self.lock().get(cell, groups, sub_keys, bytes_max).map_err(too_much)
    }

    fn scan(&self, scan: &Scan<'_>) -> Result<Scanned, String> {
        let Scan { cell, groups, start, end, descending, limit, bytes_max } = *scan;
        let found = self.lock().scan(cell, groups, (start, end), (descending, limit), bytes_max).map_err(too_much)?;
        Ok(Scanned { counts: found.counts, sub_keys: found.sub_keys, values: found.values })
    }
}

fn too_much(error: TooMuch) -> String {
    format!("{error} of state (`limits.output`): ask for fewer entries at once, by `limit` of a scan")
}
