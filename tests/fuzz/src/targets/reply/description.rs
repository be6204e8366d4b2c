//! Answers of `describe`: made as the contract says, and the rules for one that was taken.

use wasmill_model::{
    DataType, Field,
    descriptor::{Cell, CellKind, Descriptor, Input, Shape},
};

use super::image::Image;
use crate::random::Random;

const READS: usize = 12;
const PORT: usize = 28;
const FIELD: usize = 20;
const CELL: usize = 88;

/// What the contract leaves room for.
const PORTS_MAX: usize = 64;
const CELLS_MAX: usize = 64;
const COLUMNS_MAX: usize = 1_024;
const NAME_BYTES_MAX: usize = 128;

/// What sub-keys can be.
const SUB_KEYS: [DataType; 5] =
    [DataType::Int64, DataType::Timestamp, DataType::Boolean, DataType::Utf8, DataType::Binary];

/// An operator that fits `super::inputs`.
pub(super) fn make(random: &mut Random) -> Vec<u8> {
    let mut image = Image::default();
    let top = image.room(40);
    let keyed = random.once_in(2);
    let reads = image.room(2 * READS);
    image.put_list(top + 4, reads, 2);
    for (place, keyed) in [keyed, false].into_iter().enumerate() {
        let at = reads + place * READS;
        if random.once_in(2) {
            let name = image.room(8);
            image.put_bytes(name, b"image");
            image.put_list(at, name, 1);
        } else {
            image.put_list(at, 0, 0);
        }
        image.put(at + 8, &[u8::from(keyed), u8::from(random.once_in(2))]);
    }
    let count = 1 + random.below(4);
    let ports = image.room(count * PORT);
    image.put_list(top + 12, ports, count);
    for place in 0..count {
        port(&mut image, ports + place * PORT, &format!("port_{place}"), keyed, random);
    }
    let count = if keyed { random.below(3) } else { 0 };
    let cells = image.room(count * CELL);
    image.put_list(top + 20, cells, count);
    for place in 0..count {
        let at = cells + place * CELL;
        image.put_bytes(at, format!("cell {place}").as_bytes());
        let kind = *random.pick(&CellKind::ALL);
        image.put_bytes(at + 8, kind.name().as_bytes());
        if matches!(kind, CellKind::Map | CellKind::Broadcast) {
            image.put_some_bytes(at + 44, random.pick(&SUB_KEYS).name().as_bytes());
        }
        image.put_u8(at + 68, u8::from(random.once_in(2)));
        if random.once_in(4) {
            image.put_some_bytes(at + 72, format!("renamed {place}").as_bytes());
        }
        image.put_bytes(at + 16, random.pick(&DataType::ALL).name().as_bytes());
        if random.once_in(2) {
            image.put_u8(at + 24, 1);
            image.put(at + 32, &(1 + random.draw() / 2).to_le_bytes());
        }
        image.put_u32(at + 40, random.below(10));
    }
    image.put(top + 28, &[u8::from(keyed && random.once_in(2)), random.below(4) as u8]);
    image.put_list(top + 32, 0, 0);
    image.into_bytes()
}

fn port(image: &mut Image, at: usize, name: &str, keyed: bool, random: &mut Random) {
    image.put_bytes(at, name.as_bytes());
    match random.below(4) {
        0 => image.put_u32(at + 12, random.below(2)),
        1 => {
            image.put_u8(at + 8, 1);
            image.put_u32(at + 12, random.below(2));
            fields(image, at + 16, random);
        }
        2 if keyed => {
            image.put_u8(at + 8, 2);
            fields(image, at + 12, random);
        }
        _ => {
            image.put_u8(at + 8, 3);
            fields(image, at + 12, random);
            image.put_u8(at + 24, random.below(2) as u8);
        }
    }
}

fn fields(image: &mut Image, at: usize, random: &mut Random) {
    let count = 1 + random.below(4);
    let list = image.room(count * FIELD);
    image.put_list(at, list, count);
    for place in 0..count {
        let at = list + place * FIELD;
        image.put_bytes(at, format!("column {place}").as_bytes());
        image.put_bytes(at + 8, random.pick(&DataType::ALL).name().as_bytes());
        image.put_u8(at + 16, random.below(2) as u8);
    }
}

/// Whether all rules hold.
pub(super) fn check(found: &Descriptor, inputs: &[Input]) -> Result<(), String> {
    if found.inputs.len() != inputs.len() {
        return Err(format!("it reads {} inputs", found.inputs.len()));
    }
    for (reads, input) in found.inputs.iter().zip(inputs) {
        let mut columns = reads.columns.clone();
        columns.sort_unstable();
        columns.dedup();
        let known = columns.iter().all(|column| input.schema.index_of(column).is_some());
        if !known || columns.len() != reads.columns.len() || reads.keyed && input.key.is_none() {
            return Err(format!("{reads:?} of {}", input.schema));
        }
    }
    let keyed = found.inputs.iter().any(|reads| reads.keyed);
    if !keyed && (found.timers || found.cells.iter().any(|cell| cell.kind.is_keyed())) {
        return Err("state without a key".to_owned());
    }
    names(found.ports.iter().map(|port| port.name.as_str()), 1, PORTS_MAX)?;
    names(found.cells.iter().map(|cell| cell.name.as_str()), 0, CELLS_MAX)?;
    for port in &found.ports {
        let fields: &[Field] = match &port.shape {
            Shape::Pass { input } if (*input as usize) < inputs.len() => &[],
            Shape::Extend { input, columns } if (*input as usize) < inputs.len() => columns,
            Shape::Key { columns } if keyed => columns,
            Shape::New { schema } if !schema.is_empty() => schema.fields(),
            shape => return Err(format!("port {} of {shape:?}", port.name)),
        };
        names(fields.iter().map(|field| field.name.as_str()), 0, COLUMNS_MAX)?;
        if port.event_times && !matches!(port.shape, Shape::New { .. }) {
            return Err(format!("port {} has event times of its own", port.name));
        }
    }
    let wrong = |cell: &&Cell| {
        let has_sub_keys = matches!(cell.kind, CellKind::Map | CellKind::Broadcast);
        let renamed = found.cells.iter().any(|other| cell.renamed_from.as_ref() == Some(&other.name));
        cell.ttl_ms == Some(0)
            || has_sub_keys != cell.sub_key.is_some()
            || cell.sub_key == Some(DataType::Float64)
            || cell.encoding.is_some() && cell.data_type != DataType::Binary
            || cell.kind == CellKind::Broadcast && found.inputs.iter().all(|reads| reads.keyed)
            || renamed
    };
    match found.cells.iter().find(wrong) {
        Some(cell) => Err(format!("{cell:?}")),
        None => Ok(()),
    }
}

/// Names that differ, are not empty, and can be shown.
fn names<'a>(names: impl Iterator<Item = &'a str>, min: usize, max: usize) -> Result<(), String> {
    let mut names: Vec<&str> = names.collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    let bad = |name: &&str| name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control);
    match (min..=max).contains(&count) && names.len() == count && !names.iter().any(bad) {
        true => Ok(()),
        false => Err(format!("{count} names: {names:?}")),
    }
}
