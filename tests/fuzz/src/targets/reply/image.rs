//! A guest's memory with an answer in it, as the canonical ABI lays it out. The offsets are those of `wit/operator.wit`.

use wasmill_model::{
    DataType, Field,
    descriptor::{Cell, CellKind, Shape},
};

use super::oracle::Call;
use crate::random::Random;

/// Where the guest's memory begins that an input holds.
pub(super) const BASE: u32 = 0x80000;

/// Memory that is being filled.
#[derive(Debug, Default)]
pub(super) struct Image {
    bytes: Vec<u8>,
}

impl Image {
    /// Room for so many bytes, aligned to 8; its offset.
    pub(super) fn room(&mut self, bytes: usize) -> usize {
        let at = self.bytes.len().next_multiple_of(8);
        self.bytes.resize(at + bytes, 0);
        at
    }

    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) fn put_u8(&mut self, at: usize, value: u8) {
        self.bytes[at] = value;
    }

    pub(super) fn put_u32(&mut self, at: usize, value: usize) {
        self.put(at, &(value as u32).to_le_bytes());
    }

    /// A list of `count` elements that begin at an offset.
    pub(super) fn put_list(&mut self, at: usize, elements: usize, count: usize) {
        self.put_u32(at, BASE as usize + elements);
        self.put_u32(at + 4, count);
    }

    /// A list of bytes.
    pub(super) fn put_bytes(&mut self, at: usize, bytes: &[u8]) {
        let elements = self.room(bytes.len());
        self.put(elements, bytes);
        self.put_list(at, elements, bytes.len());
    }

    /// Some bytes.
    pub(super) fn put_some_bytes(&mut self, at: usize, bytes: &[u8]) {
        self.put_u8(at, 1);
        self.put_bytes(at + 4, bytes);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

const EMISSION: usize = 32;
const COLUMN: usize = 32;
const CELL_UPDATE: usize = 44;
const TIMER_CHANGES: usize = 20;
const ENTRY_CHANGES: usize = 88;

/// An answer that the contract allows.
pub(super) fn reply(call: &Call<'_>, random: &mut Random) -> Vec<u8> {
    let mut image = Image::default();
    let top = image.room(36);
    let ports: Vec<usize> = (0..call.descriptor.ports.len()).filter(|_| random.once_in(2)).collect();
    let emissions = image.room(ports.len() * EMISSION);
    image.put_list(top + 4, emissions, ports.len());
    for (place, &port) in ports.iter().enumerate() {
        let at = emissions + place * EMISSION;
        image.put_u32(at, port);
        outcome(&mut image, at + 4, port, call, random);
    }
    if let Some(groups) = call.groups() {
        if random.once_in(2) {
            cells(&mut image, top + 12, call, groups, random);
        }
        if call.descriptor.timers && random.once_in(2) {
            timers(&mut image, top + 20, groups, random);
        }
        if random.once_in(2) {
            entries(&mut image, top + 28, call, groups, random);
        }
    }
    image.into_bytes()
}

/// A failure, which names a row or none.
pub(super) fn failure(random: &mut Random) -> Vec<u8> {
    let mut image = Image::default();
    let top = image.room(24);
    image.put(top, &[1, 0, 0, 0, random.below(2) as u8]);
    image.put_u8(top + 8, random.below(2) as u8);
    image.put_u32(top + 12, random.below(100));
    image.put_bytes(top + 16, "it is \u{1b}[31mred\u{202e}\0".as_bytes());
    image.into_bytes()
}

/// What leaves by a port that can emit in this call, or nothing.
fn outcome(image: &mut Image, at: usize, port: usize, call: &Call<'_>, random: &mut Random) {
    const DROP_ALL: u8 = 1;
    let port = &call.descriptor.ports[port];
    if !call.can_emit(&port.shape) || random.once_in(8) {
        return image.put_u8(at, DROP_ALL);
    }
    match &port.shape {
        Shape::Pass { .. } => match random.below(3) {
            0 => {}
            1 => {
                image.put_u8(at, 2);
                let keep = bitmap(call.rows, random);
                image.put_bytes(at + 4, &keep);
            }
            _ => {
                image.put_u8(at, 3);
                let take = take(call.rows, random);
                image.put_bytes(at + 4, &take);
            }
        },
        Shape::Extend { columns, .. } | Shape::Key { columns } => {
            image.put_u8(at, 4);
            let mut rows = call.rows;
            if random.once_in(2) {
                let take = take(call.rows, random);
                rows = take.len() / 4;
                image.put_some_bytes(at + 4, &take);
            }
            let list = image.room(columns.len() * (4 + COLUMN));
            image.put_list(at + 16, list, columns.len());
            for (place, field) in columns.iter().enumerate() {
                // The last first: they may come in any order.
                let index = columns.len() - 1 - place;
                image.put_u32(list + index * (4 + COLUMN), place);
                column(image, list + index * (4 + COLUMN) + 4, rows, field, random);
            }
        }
        Shape::New { schema } => {
            image.put_u8(at, 5);
            let rows = random.below(40);
            image.put_u32(at + 4, rows);
            if port.event_times {
                let times = random.bytes(rows * 8);
                image.put_some_bytes(at + 8, &times);
            }
            let list = image.room(schema.len() * COLUMN);
            image.put_list(at + 20, list, schema.len());
            for (place, field) in schema.fields().iter().enumerate() {
                column(image, list + place * COLUMN, rows, field, random);
            }
        }
    }
}

fn cells(image: &mut Image, at: usize, call: &Call<'_>, groups: usize, random: &mut Random) {
    let declared = call.descriptor.value_cells().count();
    let list = image.room(declared * CELL_UPDATE);
    image.put_list(at, list, declared);
    for (place, cell) in call.descriptor.value_cells().enumerate() {
        let at = list + place * CELL_UPDATE;
        let field = Field::nullable("", cell.data_type);
        match random.below(3) {
            0 => {}
            1 => {
                image.put_u8(at, 1);
                column(image, at + 4, groups, &field, random);
            }
            _ => {
                image.put_u8(at, 2);
                let marks = bitmap(groups, random);
                image.put_bytes(at + 4, &marks);
                let marked = marks.iter().map(|byte| byte.count_ones() as usize).sum();
                column(image, at + 12, marked, &field, random);
            }
        }
    }
}

fn timers(image: &mut Image, at: usize, groups: usize, random: &mut Random) {
    let count = random.below(3);
    let list = image.room(count * TIMER_CHANGES);
    image.put_list(at, list, count);
    for place in 0..count {
        let at = list + place * TIMER_CHANGES;
        image.put(at, &[random.below(2) as u8, random.below(2) as u8]);
        let of: Vec<u8> = take(groups, random);
        let times = random.bytes(of.len() * 2);
        image.put_bytes(at + 4, &of);
        image.put_bytes(at + 12, &times);
    }
}

/// Changes of cells that have a key and entries.
fn entries(image: &mut Image, at: usize, call: &Call<'_>, groups: usize, random: &mut Random) {
    let all = call.descriptor.cells.iter().enumerate();
    let declared: Vec<(usize, &Cell)> =
        all.filter(|(_, cell)| cell.kind.is_keyed() && cell.sub_key_type().is_some()).collect();
    let count = if declared.is_empty() { 0 } else { random.below(4) };
    let list = image.room(count * ENTRY_CHANGES);
    image.put_list(at, list, count);
    for change in 0..count {
        let at = list + change * ENTRY_CHANGES;
        let (place, cell) = declared[random.below(declared.len())];
        image.put_u32(at, place);
        let of = take(groups, random);
        image.put_bytes(at + 8, &of);
        const REMOVE: u8 = 2;
        const CLEAR: u8 = 3;
        let write = u8::from(cell.kind == CellKind::List);
        let action = *random.pick(&[write, write, REMOVE, CLEAR]);
        image.put_u8(at + 4, action);
        let full = |data_type| Field { nullable: false, ..Field::nullable("", data_type) };
        if action == REMOVE || action == 0 {
            let sub_key = full(cell.sub_key_type().unwrap_or(DataType::Int64));
            image.put_u8(at + 16, 1);
            column(image, at + 20, of.len() / 4, &sub_key, random);
        }
        if action == write {
            image.put_u8(at + 52, 1);
            column(image, at + 56, of.len() / 4, &full(cell.data_type), random);
        }
    }
}

fn column(image: &mut Image, at: usize, rows: usize, field: &Field, random: &mut Random) {
    if field.nullable && random.once_in(2) {
        let validity = bitmap(rows, random);
        image.put_some_bytes(at, &validity);
    }
    match field.data_type {
        DataType::Int64 | DataType::Timestamp | DataType::Float64 => {
            let values = random.bytes(rows * 8);
            image.put_bytes(at + 24, &values);
        }
        DataType::Boolean => {
            let values = bitmap(rows, random);
            image.put_bytes(at + 24, &values);
        }
        DataType::Utf8 | DataType::Binary => {
            const WORDS: [&str; 6] = ["", "a", "é", "twelve bytes", "thirteen byte", "ab\u{10ffff}cdefghijklmnopqr"];
            let mut offsets = vec![0_u8; 4];
            let mut values = Vec::new();
            for _ in 0..rows {
                values.extend_from_slice(random.pick(&WORDS).as_bytes());
                offsets.extend((values.len() as u32).to_le_bytes());
            }
            image.put_some_bytes(at + 12, &offsets);
            image.put_bytes(at + 24, &values);
        }
    }
}

/// Row numbers, with repeats.
fn take(rows: usize, random: &mut Random) -> Vec<u8> {
    let count = random.below(30);
    (0..count).flat_map(|_| (random.below(rows) as u32).to_le_bytes()).collect()
}

/// A bitmap with nothing beyond its bits.
fn bitmap(bits: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = random.bytes(bits.div_ceil(8));
    if let (Some(last), used @ 1..) = (bytes.last_mut(), bits % 8) {
        *last &= (1 << used) - 1;
    }
    bytes
}
