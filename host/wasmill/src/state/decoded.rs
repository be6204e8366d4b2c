//! A row of state in the words of its operator: keys and values by the schema of its file.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryViewArray, BooleanArray, Float64Array, Int64Array, StringViewArray};
use serde_json::{Map, Value, json};
use wasmill_model::{Batch, DataType, Field, Schema, keys};
use wasmill_snapshot::file::{KeptCell, StateSchema, StoredAs};

/// What a row says: `key`, and what it has beside it. `None`: it is not as its schema says.
pub(super) fn decoded(state: &StateSchema, rest: &[u8], value: Option<&[u8]>) -> Option<Value> {
    let mut said = Map::new();
    match state.kind.as_str() {
        "timer" => {
            let (time, key) = rest.split_first_chunk()?;
            said.insert("key".into(), key_of(&state.key, key)?);
            said.insert("time".into(), json!(number(*time)));
        }
        "value" => {
            said.insert("key".into(), key_of(&state.key, rest)?);
            if let Some(value) = value {
                said.extend(values(state, value)?);
            }
        }
        _ => {
            let [KeptCell { shape, said: kept, .. }] = state.kept_cells().try_into().ok()?;
            let (length, rest) = rest.split_first_chunk()?;
            let (key, sub_key) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            if !state.key.is_empty() {
                said.insert("key".into(), key_of(&state.key, key)?);
            }
            said.insert("sub_key".into(), sub_key_of(shape.sub_key?, sub_key)?);
            if let Some(value) = value {
                let (written, value) = stamp(kept, value)?;
                said.insert("value".into(), one(shape.data_type, kept, value)?);
                said.extend(written.map(|written| ("written_ms".to_owned(), json!(written))));
            }
        }
    }
    Some(Value::Object(said))
}

/// The columns of a key.
fn key_of(fields: &[Field], key: &[u8]) -> Option<Value> {
    let columns = keys::decode(std::iter::once(key), fields).ok()?;
    row(fields, columns)
}

/// `values`, and `written_ms` of those that say when they were written.
fn values(state: &StateSchema, value: &[u8]) -> Option<Map<String, Value>> {
    let cells = state.kept_cells();
    let (presence, mut rest) = value.split_at_checked(cells.len().div_ceil(8))?;
    let (mut said, mut times) = (Map::new(), Map::new());
    for (place, KeptCell { name, shape, said: kept }) in cells.into_iter().enumerate() {
        if presence[place / 8] >> (place % 8) & 1 == 0 {
            continue;
        }
        let (written, value) = stamp(kept, rest)?;
        let length = match shape.data_type {
            DataType::Int64 | DataType::Float64 | DataType::Timestamp => 8,
            DataType::Boolean => 1,
            DataType::Utf8 | DataType::Binary => u32::from_le_bytes(*value.first_chunk()?) as usize,
        };
        let head = if shape.data_type.is_variable() { 4 } else { 0 };
        let (value, behind) = value.get(head..)?.split_at_checked(length)?;
        rest = behind;
        said.insert(name.to_owned(), one(shape.data_type, kept, value)?);
        times.extend(written.map(|written| (name.to_owned(), json!(written))));
    }
    let mut all = Map::from_iter([("values".to_owned(), Value::Object(said))]);
    if !times.is_empty() {
        all.insert("written_ms".into(), Value::Object(times));
    }
    rest.is_empty().then_some(all)
}

/// When a value was written, if it says so, and the value.
fn stamp<'a>(kept: &StoredAs, value: &'a [u8]) -> Option<(Option<i64>, &'a [u8])> {
    if kept.ttl_ms.is_none() {
        return Some((None, value));
    }
    let (written, value) = value.split_first_chunk()?;
    Some((Some(i64::from_le_bytes(*written)), value))
}

fn sub_key_of(data_type: DataType, sub_key: &[u8]) -> Option<Value> {
    let plain =
        StoredAs { version: 0, ttl_ms: None, ttl_domain: wasmill_model::reply::TimeDomain::EventTime, encoding: None };
    match data_type {
        DataType::Int64 | DataType::Timestamp => one(data_type, &plain, &number(*sub_key.as_array()?).to_le_bytes()),
        _ => one(data_type, &plain, sub_key),
    }
}

/// A number of which the order of its bytes is its own.
fn number(ordered: [u8; 8]) -> i64 {
    (u64::from_be_bytes(ordered) ^ (1 << 63)) as i64
}

/// One value, as sinks write it.
fn one(data_type: DataType, kept: &StoredAs, bytes: &[u8]) -> Option<Value> {
    if kept.encoding.as_deref() == Some("cbor") {
        return ciborium::from_reader::<Value, _>(bytes).ok();
    }
    let array: ArrayRef = match data_type {
        DataType::Int64 | DataType::Timestamp => {
            Arc::new(Int64Array::from(vec![i64::from_le_bytes(*bytes.as_array()?)]))
        }
        DataType::Float64 => Arc::new(Float64Array::from(vec![f64::from_le_bytes(*bytes.as_array()?)])),
        DataType::Boolean => Arc::new(BooleanArray::from(vec![*bytes.first()? == 1])),
        DataType::Utf8 => Arc::new(StringViewArray::from(vec![std::str::from_utf8(bytes).ok()?])),
        DataType::Binary => Arc::new(BinaryViewArray::from(vec![bytes])),
    };
    let mut row = row(&[Field::new("value", data_type)], vec![array])?;
    row.get_mut("value").map(Value::take)
}

fn row(fields: &[Field], columns: Vec<ArrayRef>) -> Option<Value> {
    let schema = Schema::new(fields.to_vec()).ok()?;
    serde_json::from_str(&wasmill_connectors::row_as_json(&schema, &Batch::new(1, columns))).ok()
}
