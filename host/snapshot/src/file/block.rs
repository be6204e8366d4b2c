//! Blocks: rows as the bytes of one value of the database.
//!
//! ```text
//! number u32 | rows u32 | row ... | crc32c u32        numbers little-endian
//! row: shared | rest | length of value + 1, or 0 (all LEB128) | the rest of the key | value
//! ```
//! What a key has in common with the one before it is not repeated: `shared` bytes of it, then come `rest` others. The first key
//! of a block is whole.
//!
//! The checksum is of the file's own number (so that a block of another file does not pass for one of this), then of all that
//! stands before it.

use std::ops::Range;

use super::{KEY_BYTES_MAX, KEY_HEAD_BYTES, VALUE_BYTES_MAX};

/// Number and count of rows.
const HEAD: usize = 8;
const CHECKSUM: usize = 4;
/// A database's pages are 4 KiB times a power of two. Blocks fill these, so that little of them stays empty.
const PAGE_BYTES: usize = 64 << 10;
/// In the first bytes of a file, where a page that is half full would be much of it.
const SMALL_PAGE_BYTES: usize = 16 << 10;
const SMALL_UNTIL_BYTES: usize = 1 << 20;
/// Bytes of a page that are not for a block with its first key.
const PAGE_HEAD_BYTES: usize = 36;
/// Bytes of a page that are for a first key, and can be for no more of the block.
const PAGE_KEY_BYTES: usize = 300;
/// The longest a length can be written: five groups of seven bits.
const LENGTH_BYTES_MAX: usize = 5;

/// What makes the checksums of a file its own: the checksum of what the file says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Salt(pub(super) u32);

impl Salt {
    fn checksum(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.0.to_le_bytes()), bytes)
    }
}

/// A block that grows row by row.
#[derive(Debug)]
pub(super) struct Builder {
    salt: Salt,
    number: u32,
    rows: u32,
    bytes: Vec<u8>,
    /// Bytes of the blocks before it, up to where they matter.
    before: usize,
    /// Where its first key stands.
    first: Range<usize>,
}

impl Builder {
    pub(super) fn new(salt: Salt) -> Self {
        let mut bytes = Vec::with_capacity(PAGE_BYTES);
        bytes.resize(HEAD, 0);
        Self { salt, number: 0, rows: 0, bytes, before: 0, first: 0..0 }
    }

    /// Blocks before this one.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether a row still fits. An empty block takes any.
    pub(super) fn has_room(&self, key: &[u8], value: Option<&[u8]>) -> bool {
        let bytes = self.bytes.len() + 3 * LENGTH_BYTES_MAX + key.len() + value.map_or(0, <[u8]>::len) + CHECKSUM;
        let page = if self.before < SMALL_UNTIL_BYTES { SMALL_PAGE_BYTES } else { PAGE_BYTES };
        let beside = PAGE_HEAD_BYTES + self.first.len().max(PAGE_KEY_BYTES);
        self.is_empty() || bytes + beside <= page
    }

    /// Adds a row. `last` is the key of the row before it, if there is one.
    pub(super) fn push(&mut self, last: &[u8], key: &[u8], value: Option<&[u8]>) {
        let shared = if self.is_empty() { 0 } else { shared(last, key) };
        put_length(&mut self.bytes, shared);
        put_length(&mut self.bytes, key.len() - shared);
        put_length(&mut self.bytes, value.map_or(0, |value| value.len() + 1));
        if self.is_empty() {
            self.first = self.bytes.len()..self.bytes.len() + key.len();
        }
        self.rows += 1;
        self.bytes.extend_from_slice(&key[shared..]);
        self.bytes.extend_from_slice(value.unwrap_or_default());
    }

    /// The first key and the block; then `next` begins another.
    pub(super) fn finish(&mut self) -> (&[u8], &[u8]) {
        self.bytes[..4].copy_from_slice(&self.number.to_le_bytes());
        self.bytes[4..HEAD].copy_from_slice(&self.rows.to_le_bytes());
        let checksum = self.salt.checksum(&self.bytes);
        self.bytes.extend_from_slice(&checksum.to_le_bytes());
        (&self.bytes[self.first.clone()], &self.bytes)
    }

    pub(super) fn next(&mut self) {
        self.before = self.before.saturating_add(self.bytes.len());
        self.number += 1;
        self.rows = 0;
        self.bytes.truncate(HEAD);
        // One that was made for a very long row need not stay.
        self.bytes.shrink_to(PAGE_BYTES);
    }
}

/// How many bytes two keys begin with alike.
fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn put_length(bytes: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
}

/// A block that is read row by row.
#[derive(Debug, Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    /// Where the next row begins.
    at: usize,
    /// Where the checksum begins.
    end: usize,
    /// Rows that are still to come.
    left: u32,
    key: Vec<u8>,
    value: Option<Range<usize>>,
}

impl Block {
    /// Where the bytes of the next block go. What they are is told by `begin`.
    pub(super) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The number it says it has.
    pub(super) fn number(&self) -> u32 {
        self.bytes.first_chunk().map_or(0, |number| u32::from_le_bytes(*number))
    }

    /// Checks that the bytes are the block of this number of this file. An error is the reason why not.
    pub(super) fn begin(&mut self, salt: Salt, number: u32) -> Result<(), String> {
        let Some((body, found)) = self.bytes.split_last_chunk::<CHECKSUM>() else {
            return Err("it has no checksum".to_owned());
        };
        if salt.checksum(body) != u32::from_le_bytes(*found) {
            return Err("its checksum is wrong".to_owned());
        }
        let Some((head, _)) = body.split_first_chunk::<HEAD>() else { return Err("it has no head".to_owned()) };
        let [a, b, c, d, e, f, g, h] = *head;
        let found = u32::from_le_bytes([a, b, c, d]);
        if found != number {
            return Err(format!("block {found} stands in its place"));
        }
        (self.at, self.end, self.left) = (HEAD, body.len(), u32::from_le_bytes([e, f, g, h]));
        self.key.clear();
        self.value = None;
        if self.left == 0 { Err("it is empty".to_owned()) } else { Ok(()) }
    }

    /// Goes to the next row; `false` if there is none. An error is the reason why it cannot be read.
    pub(super) fn advance(&mut self) -> Result<bool, String> {
        if self.left == 0 {
            let rest = self.end - self.at;
            return if rest == 0 { Ok(false) } else { Err(format!("{rest} bytes follow its last row")) };
        }
        let shared = self.length(self.key.len())?;
        let rest_bytes = self.length(KEY_BYTES_MAX - shared)?;
        let value_bytes = self.length(VALUE_BYTES_MAX + 1)?;
        let rest = self.at..self.at + rest_bytes;
        let value = rest.end..rest.end + value_bytes.saturating_sub(1);
        if value.end > self.end {
            return Err("a row reaches beyond its end".to_owned());
        }
        if shared + rest_bytes < KEY_HEAD_BYTES {
            return Err("a key is without key group and state".to_owned());
        }
        if self.bytes[rest.clone()] <= self.key[shared..] {
            return Err("its rows are not in order".to_owned());
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(&self.bytes[rest]);
        (self.at, self.left) = (value.end, self.left - 1);
        self.value = (value_bytes > 0).then_some(value);
        Ok(true)
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    pub(super) fn value(&self) -> Option<&[u8]> {
        self.value.clone().map(|value| &self.bytes[value])
    }

    /// The key of the first row, before the first `advance`. An error is the reason why it cannot be read.
    pub(super) fn first_key(&mut self) -> Result<Vec<u8>, String> {
        let (at, left) = (self.at, self.left);
        self.advance()?;
        (self.at, self.left, self.value) = (at, left, None);
        Ok(std::mem::take(&mut self.key))
    }

    fn length(&mut self, max: usize) -> Result<usize, String> {
        let mut length = 0;
        for group in 0..LENGTH_BYTES_MAX {
            let byte = *self.bytes[..self.end].get(self.at).ok_or("a row is cut off")?;
            self.at += 1;
            length |= usize::from(byte & 0x7f) << (7 * group);
            if byte < 0x80 {
                return if length <= max { Ok(length) } else { Err(format!("a length of {length} bytes")) };
            }
        }
        Err("a length without an end".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
    }

    fn built(rows: &[(&[u8], Option<&[u8]>)]) -> Vec<u8> {
        let mut builder = Builder::new(Salt(0x0403_0201));
        let mut last: &[u8] = &[];
        for (key, value) in rows {
            builder.push(last, key, *value);
            last = key;
        }
        builder.finish().1.to_vec()
    }

    type Rows = Vec<(Vec<u8>, Option<Vec<u8>>)>;

    fn read(bytes: &[u8]) -> Result<Rows, String> {
        let mut block = Block::default();
        block.bytes_mut().extend_from_slice(bytes);
        block.begin(Salt(0x0403_0201), 0)?;
        let mut rows = Vec::new();
        while block.advance()? {
            rows.push((block.key().to_vec(), block.value().map(<[u8]>::to_vec)));
        }
        Ok(rows)
    }

    /// The bytes with a checksum that is right.
    fn sealed(body: &[u8]) -> Vec<u8> {
        [body, &Salt(0x0403_0201).checksum(body).to_le_bytes()].concat()
    }

    #[test]
    fn the_bytes_of_a_block_stay_what_they_are() {
        let block = built(&[
            (&[0, 3, 0, 1, 0xAA, 0xBB], Some(&[0x11, 0x22])),
            (&[0, 3, 0, 1, 0xAA, 0xCC, 0xDD], None),
            (&[0, 4, 0, 1], Some(&[])),
        ]);
        let expect = [
            "00 00 00 00 03 00 00 00",
            "00 06 03 00 03 00 01 aa bb 11 22",
            "05 02 00 cc dd",
            "01 03 01 04 00 01",
            "d3 1a 05 8f",
        ];
        assert_eq!(hex(&block), expect.join(" "));
        let reference = include_str!("../../../../docs/reference/state-format.md");
        let reference = reference.split_whitespace().collect::<Vec<_>>().join(" ");
        for drawn in expect {
            assert!(reference.contains(drawn), "the reference does not draw {drawn}");
        }
    }

    #[test]
    fn what_is_pushed_is_read() {
        let (long, wide) = (vec![7; 300], vec![8; 70_000]);
        let rows: [(&[u8], Option<&[u8]>); 5] = [
            (&[0, 0, 0, 0], None),
            (&[0, 0, 0, 0, 0], Some(b"")),
            (&[0, 0, 0, 1], Some(&wide)),
            (&long, Some(b"a")),
            (&[7, 7, 8, 0], Some(b"b")),
        ];
        let expect = rows.map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).to_vec();
        assert_eq!(read(&built(&rows)), Ok(expect));
    }

    #[test]
    fn what_is_no_block_is_refused_whatever_its_checksum() {
        let rows = |count: u8, rows: &[u8]| sealed(&[&[0, 0, 0, 0, count, 0, 0, 0], rows].concat());
        let check = |bytes: &[u8], expect: &str| assert_eq!(read(bytes), Err(expect.to_owned()));
        check(&[], "it has no checksum");
        check(&sealed(&[0; 7]), "it has no head");
        check(&sealed(&[1, 0, 0, 0, 1, 0, 0, 0]), "block 1 stands in its place");
        check(&rows(0, &[]), "it is empty");
        check(&rows(1, &[]), "a row is cut off");
        check(&rows(1, &[0, 4, 1, 0, 0, 0]), "a row reaches beyond its end");
        check(&rows(1, &[0, 4, 3, 0, 0, 0, 0, 9]), "a row reaches beyond its end");
        check(&rows(1, &[1, 4, 1, 0, 0, 0, 0]), "a length of 1 bytes");
        check(&rows(1, &[0, 3, 1, 0, 0, 0]), "a key is without key group and state");
        check(&rows(1, &[0, 4, 1, 0, 0, 0, 0, 0]), "1 bytes follow its last row");
        check(&rows(2, &[0, 4, 1, 0, 0, 0, 1, 3, 1, 1, 0]), "its rows are not in order");
        check(&rows(2, &[0, 4, 1, 0, 0, 0, 1, 4, 0, 1]), "its rows are not in order");
        check(&rows(2, &[0, 5, 1, 0, 0, 0, 1, 1, 4, 0, 1]), "its rows are not in order");
        check(&rows(1, &[0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]), "a length without an end");
        check(&rows(1, &[0, 0xFF, 0xFF, 0x7F, 1]), "a length of 2097151 bytes");
    }
}
