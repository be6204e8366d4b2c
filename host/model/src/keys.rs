//! Keys: how the key columns of a row become bytes, a hash, a key group and a subtask.
//!
//! The encoding is the same on every host and in every language; `docs/reference/key-encoding.md` draws it byte by byte.
//! A key is its columns one after another, each a tag byte (0 null, 1 present) and, if present, the value:
//!
//! | type | bytes of the value |
//! |---|---|
//! | `int64`, `timestamp` | 8, big-endian, the sign bit flipped, so that the order of the bytes is the order of the numbers |
//! | `boolean` | 1: 0 or 1 |
//! | `utf8`, `binary` | the length as u32 big-endian, then the bytes |
//!
//! `float64` is refused: NaNs, and zeros of two signs, have no one encoding that everybody would expect.
//! No encoded key is the beginning of another one of the same columns, so that a longer row can follow it unmarked.

use std::{ops::Range, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Int64Array, StringViewArray, builder::BinaryViewBuilder,
    cast::AsArray, types::Int64Type,
};
use arrow_buffer::{BooleanBufferBuilder, NullBufferBuilder, ScalarBuffer};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    fault::{Code, Coded},
    schema::{DataType, Field},
};

/// The longest encoded key. A key is stored with every record and every timer it has, so a long one is a mistake.
pub const KEY_BYTES_MAX: usize = 512 << 10;

/// Number of key groups unless the job says otherwise.
pub const KEY_GROUPS_DEFAULT: u32 = 1_024;

/// The most key groups a job can have: a key group is written as u16.
pub const KEY_GROUPS_MAX: u32 = 32_768;

const NULL: u8 = 0;
const PRESENT: u8 = 1;

/// Length of a key of one present int64 or timestamp.
pub const INT_KEY_BYTES: usize = 9;

/// What can be wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Of the user: keys have another type, or are made int64 or utf8 first.
    #[error("column `{column}` cannot be a key: it is float64")]
    FloatKey { column: String },
    /// Of the user's data.
    #[error("key of row {row} is {bytes} bytes long, more than {KEY_BYTES_MAX}")]
    KeyTooLong { row: usize, bytes: usize },
    /// Of the caller: a batch must be cut smaller.
    #[error("keys of {rows} rows together are over 4 GiB long")]
    BatchTooLong { rows: usize },
    /// Internal: these bytes were not made by this encoding, or for other columns.
    #[error("key {key} is not an encoding of its columns at column `{column}`")]
    Malformed { key: usize, column: String },
    /// Of the user.
    #[error("{count} is not a number of key groups: it must be 1 to {KEY_GROUPS_MAX}")]
    KeyGroups { count: u32 },
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::FloatKey { .. } => Code::KeyOnFloat,
            Self::KeyTooLong { .. } => Code::KeyTooLong,
            Self::BatchTooLong { .. } => Code::BatchTooLarge,
            Self::Malformed { .. } => Code::Internal,
            Self::KeyGroups { .. } => Code::JobFileOutOfRange,
        }
    }
}

/// Refuses columns that cannot be keys.
pub fn check_key_types(fields: &[Field]) -> Result<(), Error> {
    match fields.iter().find(|f| f.data_type == DataType::Float64) {
        Some(field) => Err(Error::FloatKey { column: field.name.clone() }),
        None => Ok(()),
    }
}

/// Encoded keys, one after another in one buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedKeys {
    bytes: Vec<u8>,
    /// One more than keys; key `i` is `bytes[offsets[i]..offsets[i + 1]]`.
    offsets: Vec<u32>,
}

impl Default for EncodedKeys {
    fn default() -> Self {
        Self { bytes: Vec::new(), offsets: vec![0] }
    }
}

impl EncodedKeys {
    /// Number of keys.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Key number `index`.
    #[inline]
    pub fn get(&self, index: usize) -> &[u8] {
        &self.bytes[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }

    /// All keys in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        self.offsets.windows(2).map(|w| &self.bytes[w[0] as usize..w[1] as usize])
    }

    /// All keys, if each of them is `N` bytes long.
    pub fn fixed<const N: usize>(&self) -> Option<&[[u8; N]]> {
        let (keys, rest) = self.bytes.as_chunks::<N>();
        let even = rest.is_empty() && keys.len() == self.len();
        // Bytes that fit together may still be cut unevenly.
        let aligned = |(i, &offset): (usize, &u32)| offset as usize == i * N;
        (even && self.offsets.iter().enumerate().all(aligned)).then_some(keys)
    }

    /// Adds encoded keys of one length.
    ///
    /// # Panics
    /// If all keys together would be over 4 GiB long.
    pub fn extend_fixed<'a, const N: usize>(&mut self, keys: impl ExactSizeIterator<Item = &'a [u8; N]>) {
        let start = self.bytes.len();
        let end = u32::try_from(start + keys.len() * N).expect("keys together are below 4 GiB");
        self.bytes.resize(end as usize, 0);
        let (places, _) = self.bytes[start..].as_chunks_mut::<N>();
        self.offsets.extend((1..=keys.len()).map(|i| (start + i * N) as u32));
        places.iter_mut().zip(keys).for_each(|(place, key)| *place = *key);
    }

    /// Adds an encoded key.
    ///
    /// # Panics
    /// If all keys together would be over 4 GiB long.
    pub fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.offsets.push(u32::try_from(self.bytes.len()).expect("keys together are below 4 GiB"));
    }

    /// Removes all keys and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.offsets.truncate(1);
    }

    /// xxh3-64, seed 0, of each key.
    pub fn hash(&self) -> ScalarBuffer<u64> {
        let mut hashes = Vec::new();
        self.hash_into(&mut hashes);
        hashes.into()
    }

    /// As `hash`, into a vector that is emptied first.
    pub fn hash_into(&self, hashes: &mut Vec<u64>) {
        hashes.clear();
        match self.fixed::<INT_KEY_BYTES>() {
            Some(keys) => hashes.extend(keys.iter().map(|key| xxh3_64(key))),
            None => hashes.extend(self.iter().map(xxh3_64)),
        }
    }

    /// Bytes of memory it holds.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.offsets.capacity() * size_of::<u32>()
    }
}

/// Encodes the keys of batches of one stream into a buffer that it uses again and again.
#[derive(Debug)]
pub struct KeyEncoder {
    types: Vec<DataType>,
    keys: EncodedKeys,
}

impl KeyEncoder {
    /// An encoder for keys of these columns.
    pub fn new(fields: &[Field]) -> Result<Self, Error> {
        check_key_types(fields)?;
        Ok(Self { types: fields.iter().map(|f| f.data_type).collect(), keys: EncodedKeys::default() })
    }

    /// Encodes the key of each row, of the key columns in their order. After an error there are no keys.
    ///
    /// # Panics
    /// If a column has another type than its field, or fewer than `rows` values.
    pub fn encode(&mut self, columns: &[&ArrayRef], rows: usize) -> Result<&EncodedKeys, Error> {
        assert_eq!(columns.len(), self.types.len(), "key columns differ from those of the encoder");
        assert!(columns.iter().all(|c| c.len() >= rows), "a key column is shorter than {rows} rows");
        self.keys.clear();
        self.keys.offsets.reserve(rows);
        let columns: Vec<Column<'_>> = columns.iter().zip(&self.types).map(|(c, t)| Column::new(c, *t)).collect();
        let result = match columns.as_slice() {
            [Column::Int(array)] if array.null_count() == 0 => self.encode_ints(&array.values()[..rows]),
            [column] => self.encode_rows(rows, |row, out| column.write(row, out)),
            columns => self.encode_rows(rows, |row, out| columns.iter().for_each(|c| c.write(row, out))),
        };
        if result.is_err() {
            self.keys.clear();
        }
        result.map(|()| &self.keys)
    }

    /// The keys of the last batch.
    pub fn keys(&self) -> &EncodedKeys {
        &self.keys
    }

    /// xxh3-64, seed 0, of each key of the last batch.
    pub fn hash(&self) -> ScalarBuffer<u64> {
        self.keys.hash()
    }

    fn encode_ints(&mut self, values: &[i64]) -> Result<(), Error> {
        let bytes = values.len() * INT_KEY_BYTES;
        if u32::try_from(bytes).is_err() {
            return Err(Error::BatchTooLong { rows: values.len() });
        }
        self.keys.bytes.resize(bytes, PRESENT);
        let (keys, _) = self.keys.bytes.as_chunks_mut::<INT_KEY_BYTES>();
        for (key, &value) in keys.iter_mut().zip(values) {
            key[0] = PRESENT;
            key[1..].copy_from_slice(&order_bytes(value));
        }
        self.keys.offsets.extend((1..=values.len()).map(|i| (i * INT_KEY_BYTES) as u32));
        Ok(())
    }

    #[inline]
    fn encode_rows(&mut self, rows: usize, write: impl Fn(usize, &mut Vec<u8>)) -> Result<(), Error> {
        let EncodedKeys { bytes, offsets } = &mut self.keys;
        for row in 0..rows {
            let start = bytes.len();
            write(row, bytes);
            let length = bytes.len() - start;
            if length > KEY_BYTES_MAX {
                return Err(Error::KeyTooLong { row, bytes: length });
            }
            offsets.push(u32::try_from(bytes.len()).map_err(|_| Error::BatchTooLong { rows })?);
        }
        Ok(())
    }
}

/// A number as bytes whose order is the order of the numbers.
fn order_bytes(value: i64) -> [u8; 8] {
    (value ^ i64::MIN).to_be_bytes()
}

/// A key column by its physical type.
enum Column<'a> {
    Int(&'a Int64Array),
    Boolean(&'a BooleanArray),
    Utf8(&'a StringViewArray),
    Binary(&'a BinaryViewArray),
}

impl<'a> Column<'a> {
    fn new(array: &'a ArrayRef, data_type: DataType) -> Self {
        assert_eq!(array.data_type(), &data_type.arrow(), "a key column is not the {data_type} of its field");
        match data_type {
            DataType::Int64 | DataType::Timestamp => Self::Int(array.as_primitive::<Int64Type>()),
            DataType::Boolean => Self::Boolean(array.as_boolean()),
            DataType::Utf8 => Self::Utf8(array.as_string_view()),
            DataType::Binary => Self::Binary(array.as_binary_view()),
            DataType::Float64 => unreachable!("an encoder has no float64 column"),
        }
    }

    #[inline]
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        let null = match self {
            Self::Int(array) => array.is_null(row),
            Self::Boolean(array) => array.is_null(row),
            Self::Utf8(array) => array.is_null(row),
            Self::Binary(array) => array.is_null(row),
        };
        if null {
            return out.push(NULL);
        }
        out.push(PRESENT);
        match self {
            Self::Int(array) => out.extend_from_slice(&order_bytes(array.value(row))),
            Self::Boolean(array) => out.push(u8::from(array.value(row))),
            Self::Utf8(array) => write_bytes(array.value(row).as_bytes(), out),
            Self::Binary(array) => write_bytes(array.value(row), out),
        }
    }
}

/// Appends length and bytes. An Arrow value is below 4 GiB, so its length fits.
#[inline]
fn write_bytes(value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(value.len() as u32).to_be_bytes());
    out.extend_from_slice(value);
}

/// The key columns of encoded keys, one row a key, each in the physical form of its type.
pub fn decode<'a>(keys: impl Iterator<Item = &'a [u8]>, fields: &[Field]) -> Result<Vec<ArrayRef>, Error> {
    check_key_types(fields)?;
    let mut columns: Vec<Decoder> = fields.iter().map(|f| Decoder::new(f.data_type)).collect();
    for (number, mut key) in keys.enumerate() {
        let malformed = |field: &Field| Error::Malformed { key: number, column: field.name.clone() };
        for (column, field) in columns.iter_mut().zip(fields) {
            column.read(&mut key).ok_or_else(|| malformed(field))?;
        }
        if let (false, Some(field)) = (key.is_empty(), fields.last()) {
            return Err(malformed(field));
        }
    }
    columns.into_iter().zip(fields).map(|(column, field)| column.finish(field)).collect()
}

/// Collects the values of one key column.
enum Decoder {
    Int(Vec<i64>, NullBufferBuilder),
    Boolean(BooleanBufferBuilder, NullBufferBuilder),
    Bytes(BinaryViewBuilder),
}

impl Decoder {
    fn new(data_type: DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(BooleanBufferBuilder::new(0), NullBufferBuilder::new(0)),
            DataType::Utf8 | DataType::Binary => Self::Bytes(BinaryViewBuilder::new()),
            DataType::Int64 | DataType::Timestamp | DataType::Float64 => {
                Self::Int(Vec::new(), NullBufferBuilder::new(0))
            }
        }
    }

    /// Takes one value off the front of a key; `None` if it is not there.
    fn read(&mut self, key: &mut &[u8]) -> Option<()> {
        let present = match *key.split_off_first()? {
            NULL => false,
            PRESENT => true,
            _ => return None,
        };
        match self {
            Self::Int(values, nulls) => {
                let value = if present { *key.split_off(..8)?.as_array::<8>()? } else { order_bytes(0) };
                values.push(i64::from_be_bytes(value) ^ i64::MIN);
                nulls.append(present);
            }
            Self::Boolean(values, nulls) => {
                values.append(match present.then(|| key.split_off_first()) {
                    None => false,
                    Some(byte) => match byte? {
                        0 => false,
                        1 => true,
                        _ => return None,
                    },
                });
                nulls.append(present);
            }
            Self::Bytes(values) if present => {
                let length = u32::from_be_bytes(*key.split_off(..4)?.as_array::<4>()?);
                values.append_value(key.split_off(..length as usize)?);
            }
            Self::Bytes(values) => values.append_null(),
        }
        Some(())
    }

    fn finish(self, field: &Field) -> Result<ArrayRef, Error> {
        Ok(match self {
            Self::Int(values, mut nulls) => Arc::new(Int64Array::new(values.into(), nulls.finish())),
            Self::Boolean(mut values, mut nulls) => Arc::new(BooleanArray::new(values.finish(), nulls.finish())),
            Self::Bytes(mut values) if field.data_type == DataType::Utf8 => {
                let bytes = values.finish();
                let bad = bytes.iter().position(|b| b.is_some_and(|b| std::str::from_utf8(b).is_err()));
                if let Some(key) = bad {
                    return Err(Error::Malformed { key, column: field.name.clone() });
                }
                Arc::new(bytes.to_string_view().expect("each value was just checked"))
            }
            Self::Bytes(mut values) => Arc::new(values.finish()),
        })
    }
}

/// The key groups of a job: the unit in which keyed state moves between subtasks. Fixed for the life of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyGroups {
    count: u32,
}

impl Default for KeyGroups {
    fn default() -> Self {
        Self { count: KEY_GROUPS_DEFAULT }
    }
}

impl KeyGroups {
    /// So many key groups, 1 to `KEY_GROUPS_MAX`.
    pub fn new(count: u32) -> Result<Self, Error> {
        if (1..=KEY_GROUPS_MAX).contains(&count) { Ok(Self { count }) } else { Err(Error::KeyGroups { count }) }
    }

    pub fn count(self) -> u32 {
        self.count
    }

    /// The key group of a key, by its hash.
    #[inline]
    pub fn key_group(self, hash: u64) -> u32 {
        if self.count.is_power_of_two() {
            hash as u32 & (self.count - 1)
        } else {
            (hash % u64::from(self.count)) as u32
        }
    }

    /// The subtask that keeps a key group at this parallelism, which must be 1 to `count`.
    #[inline]
    pub fn subtask(self, key_group: u32, parallelism: u32) -> u32 {
        debug_assert!(key_group < self.count && (1..=self.count).contains(&parallelism));
        // At most 32,767 * 32,768: no overflow.
        key_group * parallelism / self.count
    }

    /// The key groups that a subtask keeps at this parallelism, which must be 1 to `count`.
    pub fn range(self, subtask: u32, parallelism: u32) -> Range<u32> {
        assert!(subtask < parallelism && parallelism <= self.count, "subtask {subtask} of {parallelism}");
        let start = |subtask: u32| (subtask * self.count).div_ceil(parallelism);
        start(subtask)..start(subtask + 1)
    }
}

#[cfg(test)]
mod tests;
