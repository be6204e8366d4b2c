//! What the host keeps for an operator, in its own semantics: values and entries, each until its time is over.

use std::collections::BTreeMap;

use super::{
    aligned_u32s,
    table::{self, Datum, checked},
};
use crate::{
    Timestamp,
    columns::Bits,
    data::{self, Cell, CellUpdate, DataType, Descriptor, EntryAction, EntryChanges, Field, Input, TimeDomain},
    memory,
    state::Found,
};

pub(super) type KeyValues = Vec<Datum>;

/// The clocks by which values are gone after their time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    pub(super) now: Timestamp,
    pub(super) watermark: Timestamp,
}

/// The stamp of what was written nobody knows when, in event time.
const UNKNOWN: i64 = i64::MAX;

/// What a call is about.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) clocks: Clocks,
    /// The keys of the groups, and the latest event time of each; `None`: its rows have no keys.
    pub(super) groups: Option<Vec<(KeyValues, Option<i64>)>>,
    /// The latest event time of rows without keys.
    pub(super) latest: Option<i64>,
    /// Whether it hands over rows.
    pub(super) has_rows: bool,
}

/// A value, and when it counts as written.
#[derive(Debug, Clone)]
struct Stamped {
    value: Datum,
    stamp: i64,
}

/// Values and entries of all keys. A broadcast cell has its entries under an empty key.
#[derive(Debug, Default)]
pub(super) struct Kept {
    cells: Vec<Cell>,
    values: BTreeMap<(usize, KeyValues), Stamped>,
    entries: BTreeMap<(usize, KeyValues), BTreeMap<Datum, Stamped>>,
    call: Option<Call>,
    /// Requests of the operator so far.
    reads: usize,
}

impl Kept {
    pub(super) fn new(descriptor: &Descriptor, inputs: &[Input]) -> Self {
        check(descriptor, inputs);
        Self { cells: descriptor.cells.clone(), ..Self::default() }
    }

    pub(super) fn begin(&mut self, call: Call) {
        self.call = Some(call);
    }

    pub(super) fn reads(&self) -> usize {
        self.reads
    }

    /// What the test itself reads does not count.
    pub(super) fn set_reads(&mut self, reads: usize) {
        self.reads = reads;
    }

    /// Number of keys that have anything.
    pub(super) fn keys(&self, clocks: Clocks) -> usize {
        let alive = |(cell, stamped): (&usize, &Stamped)| is_alive(&self.cells[*cell], stamped, clocks);
        let values = self.values.iter().filter(|((cell, _), value)| alive((cell, value))).map(|((_, key), _)| key);
        let entries = self.entries.iter().filter(|((cell, _), entries)| entries.values().any(|e| alive((cell, e))));
        let keyed = entries.filter(|((cell, _), _)| self.cells[*cell].kind != "broadcast").map(|((_, key), _)| key);
        values.chain(keyed).collect::<std::collections::BTreeSet<_>>().len()
    }

    fn call(&self) -> &Call {
        self.call.as_ref().expect("state is read during calls")
    }

    /// A column for each value cell, with a value for each group of the call.
    pub(super) fn columns(&self) -> Vec<data::Column> {
        let groups = self.call().groups.as_deref().unwrap_or_default();
        let column = |(place, cell): (usize, &Cell)| {
            let value = |(key, _): &(KeyValues, Option<i64>)| {
                let found = self.values.get(&(place, key.clone()));
                found
                    .filter(|found| is_alive(cell, found, self.call().clocks))
                    .map_or(&Datum::Null, |found| &found.value)
            };
            table::encode(groups.iter().map(value), table::data_type(&cell.data_type))
        };
        self.cells.iter().enumerate().filter(|(_, cell)| cell.kind == "value").map(column).collect()
    }

    /// The cell, and the keys of the groups that are asked for.
    fn asked(&mut self, cell: u32, groups: &[u8]) -> (&Cell, Vec<KeyValues>) {
        self.reads += 1;
        let count = self.cells.len();
        let found = self.cells.get(cell as usize);
        let found = found.unwrap_or_else(|| panic!("bad request: cell {cell} of {count}"));
        assert_ne!(found.kind, "value", "bad request: entries of cell `{}`, which has a value only", found.name);
        (found, self.keys_of(found, groups))
    }

    fn keys_of(&self, cell: &Cell, groups: &[u8]) -> Vec<KeyValues> {
        let key = |group: u32| match (&*cell.kind, &self.call().groups) {
            ("broadcast", _) => {
                assert_eq!(group, 0, "cell `{}` has no groups", cell.name);
                Vec::new()
            }
            (_, Some(groups)) => {
                let found = groups.get(group as usize);
                found.unwrap_or_else(|| panic!("group {group} of {}", groups.len())).0.clone()
            }
            (_, None) => panic!("entries of cell `{}` in a call without keys", cell.name),
        };
        aligned_u32s(groups).into_iter().map(key).collect()
    }

    pub(super) fn get(&mut self, place: u32, groups: &[u8], sub_keys: &data::Column) -> data::Column {
        let (cell, keys) = self.asked(place, groups);
        let cell = cell.clone();
        let sub_keys = sub_keys_of(&cell, Some(sub_keys.clone()), keys.len());
        let value = |(key, sub_key): (KeyValues, Datum)| {
            let found = self.entries.get(&(place as usize, key)).and_then(|entries| entries.get(&sub_key));
            let found = found.filter(|found| is_alive(&cell, found, self.call().clocks));
            found.map_or(Datum::Null, |found| found.value.clone())
        };
        let values: Vec<Datum> = keys.into_iter().zip(sub_keys).map(value).collect();
        table::encode(&values, table::data_type(&cell.data_type))
    }

    pub(super) fn scan(
        &mut self,
        place: u32,
        groups: &[u8],
        (start, end): (Option<&data::Column>, Option<&data::Column>),
        (descending, limit): (bool, u32),
    ) -> Found {
        let (cell, keys) = self.asked(place, groups);
        let cell = cell.clone();
        let bound = |bound: Option<&data::Column>| match bound {
            Some(bound) => sub_keys_of(&cell, Some(bound.clone()), keys.len()).into_iter().map(Some).collect(),
            None => vec![None; keys.len()],
        };
        let (starts, ends): (Vec<_>, Vec<_>) = (bound(start), bound(end));
        let (mut counts, mut found) = (Vec::new(), Vec::new());
        for (key, (start, end)) in keys.into_iter().zip(starts.into_iter().zip(ends)) {
            let entries = self.entries.get(&(place as usize, key)).into_iter().flatten();
            let mut entries: Vec<_> = entries
                .filter(|(sub_key, _)| start.as_ref().is_none_or(|start| *sub_key >= start))
                .filter(|(sub_key, _)| end.as_ref().is_none_or(|end| *sub_key < end))
                .filter(|(_, entry)| is_alive(&cell, entry, self.call().clocks))
                .map(|(sub_key, entry)| (sub_key.clone(), entry.value.clone()))
                .collect();
            if descending {
                entries.reverse();
            }
            entries.truncate(limit as usize);
            counts.push(entries.len() as u32);
            found.extend(entries);
        }
        Found {
            counts: memory::u32_bytes(&counts).to_vec(),
            sub_keys: table::encode(found.iter().map(|(sub_key, _)| sub_key), sub_key_type(&cell)),
            values: table::encode(found.iter().map(|(_, value)| value), table::data_type(&cell.data_type)),
        }
    }

    /// Applies updates of value cells, then changes of entries.
    pub(super) fn apply(&mut self, cells: Vec<CellUpdate>, entries: Vec<EntryChanges>) {
        let places: Vec<usize> = (0..self.cells.len()).filter(|&place| self.cells[place].kind == "value").collect();
        let has_groups = self.call().groups.is_some();
        assert!(
            cells.is_empty() || (has_groups && cells.len() == places.len()),
            "bad reply: {} cell updates for {} value cells",
            cells.len(),
            places.len()
        );
        for (place, update) in places.into_iter().zip(cells) {
            self.update(place, update);
        }
        entries.into_iter().for_each(|changes| self.change(changes));
    }

    fn update(&mut self, place: usize, update: CellUpdate) {
        let cell = self.cells[place].clone();
        let groups = self.call().groups.clone().unwrap_or_default();
        let (groups, values): (Vec<_>, _) = match update {
            CellUpdate::Unchanged => return,
            CellUpdate::All(values) => (groups, values),
            CellUpdate::Marked(marked) => {
                let bits = Bits(&marked.groups);
                let marked_groups = groups.into_iter().enumerate().filter(|(group, _)| bits.get(*group));
                (marked_groups.map(|(_, group)| group).collect(), marked.values)
            }
        };
        let values = table::decode(values, groups.len(), table::data_type(&cell.data_type));
        for ((key, latest), value) in groups.into_iter().zip(values) {
            let stamp = self.stamp(&cell, latest, self.values.get(&(place, key.clone())));
            match value {
                Datum::Null => _ = self.values.remove(&(place, key)),
                value => _ = self.values.insert((place, key), Stamped { value, stamp }),
            }
        }
    }

    fn change(&mut self, changes: EntryChanges) {
        let EntryChanges { cell: place, action, groups, sub_keys, values } = changes;
        let cell =
            self.cells.get(place as usize).unwrap_or_else(|| panic!("bad reply: there is no cell {place}")).clone();
        let (name, place) = (&cell.name, place as usize);
        match &*cell.kind {
            "value" => panic!("bad reply: entries of cell `{name}`, which has a value only"),
            "broadcast" => {
                let without_keys = self.call().has_rows && self.call().groups.is_none();
                assert!(without_keys, "bad reply: only rows without keys can change broadcast cell `{name}`");
            }
            _ => {}
        }
        let keys = self.keys_of(&cell, &groups);
        let latest = |row: usize| {
            let group = aligned_u32s(&groups)[row] as usize;
            self.call().groups.as_ref().map_or(self.call().latest, |groups| groups[group].1)
        };
        let latest: Vec<Option<i64>> = (0..keys.len()).map(latest).collect();
        let count = keys.len();
        let values_of = |values: Option<data::Column>| {
            let values = values.unwrap_or_else(|| panic!("bad reply: no values for cell `{name}`"));
            checked(values, count, &Field { nullable: false, ..Field::new(name, table::data_type(&cell.data_type)) })
        };
        match action {
            EntryAction::Put => {
                assert_ne!(cell.kind, "list", "bad reply: put to cell `{name}`, which is a list");
                let rows = sub_keys_of(&cell, sub_keys, count).into_iter().zip(values_of(values));
                for ((key, latest), (sub_key, value)) in keys.into_iter().zip(latest).zip(rows) {
                    self.put(place, (key, latest), sub_key, value);
                }
            }
            EntryAction::Append => {
                assert_eq!(cell.kind, "list", "bad reply: append to cell `{name}`, which is no list");
                assert!(sub_keys.is_none(), "bad reply: sub-keys of what is appended to cell `{name}`");
                for ((key, latest), value) in keys.into_iter().zip(latest).zip(values_of(values)) {
                    let number = self.next_number(place, &key);
                    self.put(place, (key, latest), Datum::Whole(number), value);
                }
            }
            EntryAction::Remove => {
                assert!(values.is_none(), "bad reply: values of what is removed from cell `{name}`");
                for (key, sub_key) in keys.into_iter().zip(sub_keys_of(&cell, sub_keys, count)) {
                    self.entries.entry((place, key)).or_default().remove(&sub_key);
                }
            }
            EntryAction::Clear => {
                let is_bare = sub_keys.is_none() && values.is_none();
                assert!(is_bare, "bad reply: sub-keys or values of what is cleared of cell `{name}`");
                keys.into_iter().for_each(|key| _ = self.entries.remove(&(place, key)));
            }
        }
    }

    fn put(&mut self, place: usize, (key, latest): (KeyValues, Option<i64>), sub_key: Datum, value: Datum) {
        let before = self.entries.get(&(place, key.clone())).and_then(|entries| entries.get(&sub_key));
        let stamp = self.stamp(&self.cells[place], latest, before);
        self.entries.entry((place, key)).or_default().insert(sub_key, Stamped { value, stamp });
    }

    /// One more than the number of the last element that is there; 0 if there is none.
    fn next_number(&self, place: usize, key: &KeyValues) -> i64 {
        let entries = self.entries.get(&(place, key.clone())).into_iter().flatten();
        let mut alive = entries.filter(|(_, entry)| is_alive(&self.cells[place], entry, self.call().clocks));
        match alive.next_back() {
            Some((Datum::Whole(last), _)) => last + 1,
            _ => 0,
        }
    }

    /// When a value counts as written that is written now.
    fn stamp(&self, cell: &Cell, latest: Option<i64>, before: Option<&Stamped>) -> i64 {
        let clocks = self.call().clocks;
        match cell.ttl_domain {
            TimeDomain::ProcessingTime => clocks.now.0,
            TimeDomain::EventTime => {
                let before = before.filter(|before| is_alive(cell, before, clocks)).map(|before| before.stamp);
                let before = before.filter(|&before| before != UNKNOWN);
                // What was written nobody knows when, before there was any watermark, stays until it is written again.
                let now = Some(clocks.watermark.0).filter(|&now| now != i64::MIN).unwrap_or(UNKNOWN);
                latest.unwrap_or(now).max(before.unwrap_or(i64::MIN))
            }
        }
    }
}

/// Whether the time of a value is not over.
fn is_alive(cell: &Cell, stamped: &Stamped, clocks: Clocks) -> bool {
    let Some(ttl_ms) = cell.ttl_ms else { return true };
    let now = match cell.ttl_domain {
        TimeDomain::ProcessingTime => clocks.now,
        TimeDomain::EventTime => clocks.watermark,
    };
    now.0.saturating_sub(stamped.stamp) < i64::try_from(ttl_ms).unwrap_or(i64::MAX)
}

fn sub_key_type(cell: &Cell) -> DataType {
    cell.sub_key.as_deref().map_or(DataType::Int64, table::data_type)
}

fn sub_keys_of(cell: &Cell, sub_keys: Option<data::Column>, count: usize) -> Vec<Datum> {
    let sub_keys = sub_keys.unwrap_or_else(|| panic!("bad reply: no sub-keys for cell `{}`", cell.name));
    checked(sub_keys, count, &Field::new(&cell.name, sub_key_type(cell)))
}

/// Whether these cells can be kept on these inputs.
fn check(descriptor: &Descriptor, inputs: &[Input]) {
    for (place, cell) in descriptor.cells.iter().enumerate() {
        let name = &cell.name;
        let others = &descriptor.cells[..place];
        assert!(others.iter().all(|other| other.name != *name), "bad descriptor: two cells are named `{name}`");
        if let Some(from) = &cell.renamed_from {
            let is_free = descriptor.cells.iter().all(|other| other.name != *from)
                && others.iter().all(|other| other.renamed_from.as_ref() != Some(from));
            assert!(is_free, "bad descriptor: cell `{name}` is renamed from `{from}`, which another is, too");
        }
        assert_ne!(cell.ttl_ms, Some(0), "bad descriptor: a value of cell `{name}` that lives for 0 ms is never seen");
        let is_keyed = cell.kind != "broadcast";
        let mut inputs = descriptor.inputs.iter().zip(inputs).filter(|(reads, _)| reads.keyed == is_keyed).peekable();
        assert!(inputs.peek().is_some(), "bad descriptor: there is no input for {} cell `{name}`", cell.kind);
        let timeless = inputs.any(|(_, input)| !input.event_times);
        let needs_times = cell.ttl_ms.is_some() && cell.ttl_domain == TimeDomain::EventTime;
        assert!(!(needs_times && timeless), "cell `{name}` lives in event time, which an input does not have");
    }
}
