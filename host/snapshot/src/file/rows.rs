//! The rows of a snapshot file, one after another.

use std::{ops::Range, sync::Arc};

use super::{
    Error, Row,
    block::Block,
    key_group,
    reader::{Guarded, Shared, guarded},
};

/// Rows of some key groups of a file. After an error there are no more.
pub struct Rows {
    /// Of the blocks from the first that is needed.
    range: Guarded<redb::Range<'static, &'static [u8], &'static [u8]>>,
    shared: Arc<Shared>,
    key_groups: Range<u32>,
    /// How keys of the first key group begin.
    from: [u8; 2],
    /// The number of the next block, if it is known: the first one that is read may be any.
    number: Option<u32>,
    block: Block,
    /// The key under which the block stands.
    stands: Vec<u8>,
    /// The last key of the block before.
    last: Vec<u8>,
    ended: bool,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("file", &self.shared.file)
            .field("key_groups", &self.key_groups)
            .finish_non_exhaustive()
    }
}

impl Rows {
    pub(super) fn new(shared: &Arc<Shared>, key_groups: Range<u32>) -> Result<Self, Error> {
        let start = key_groups.start.max(shared.key_groups.start);
        let end = key_groups.end.min(shared.key_groups.end);
        // Key groups have two bytes: `Meta` was checked.
        let from = (start.min(u32::from(u16::MAX)) as u16).to_be_bytes();
        let (range, from_first) = guarded(&shared.file, "the blocks", || {
            let blocks = shared.blocks.get();
            // The last block that begins before them may hold the first of them.
            let before = blocks.range::<&[u8]>(..=from.as_slice())?.next_back().transpose()?;
            Ok(match before {
                Some((key, _)) => (blocks.range::<&[u8]>(key.value()..)?, false),
                None => (blocks.range::<&[u8]>(..)?, true),
            })
        })?;
        Ok(Self {
            range: Guarded::new(range),
            shared: Arc::clone(shared),
            key_groups: start..end,
            from,
            number: from_first.then_some(0),
            block: Block::default(),
            stands: Vec::new(),
            last: Vec::new(),
            ended: start >= end,
        })
    }

    /// The next row; none after the last.
    #[expect(clippy::should_implement_trait, reason = "an iterator's items cannot borrow from it")]
    pub fn next(&mut self) -> Result<Option<Row<'_>>, Error> {
        Ok(if self.advance()? { Some(self.row()) } else { None })
    }

    /// Goes to the next row; `false` after the last.
    pub(crate) fn advance(&mut self) -> Result<bool, Error> {
        while !self.ended {
            match self.block.advance() {
                Ok(true) => {
                    let group = key_group(self.block.key());
                    if group >= self.key_groups.end {
                        self.ended = true;
                    } else if group >= self.key_groups.start {
                        return Ok(true);
                    }
                }
                Ok(false) => self.next_block()?,
                Err(reason) => return Err(self.damaged(self.number.map_or(0, |next| next - 1), reason)),
            }
        }
        Ok(false)
    }

    /// The row that `advance` went to.
    pub(crate) fn row(&self) -> Row<'_> {
        Row { key: self.block.key(), value: self.block.value() }
    }

    fn next_block(&mut self) -> Result<(), Error> {
        self.last.clear();
        self.last.extend_from_slice(self.block.key());
        let (range, stands, block) = (self.range.get_mut(), &mut self.stands, &mut self.block);
        let place = self.number.map_or_else(|| "the first block".to_owned(), |number| format!("block {number}"));
        let read = guarded(&self.shared.file, &place, || {
            let Some(found) = range.next() else { return Ok(false) };
            let (key, bytes) = found?;
            stands.clear();
            stands.extend_from_slice(key.value());
            block.bytes_mut().clear();
            block.bytes_mut().extend_from_slice(bytes.value());
            Ok(true)
        });
        if !read.inspect_err(|_| self.ended = true)? {
            self.ended = true;
            let (next, all) = (self.number.unwrap_or(0), self.shared.blocks_all);
            return if next == all {
                Ok(())
            } else {
                Err(self.damaged(next, format!("it is missing; there are {all}")))
            };
        }
        let begun = self.number.is_some();
        let number = self.number.unwrap_or_else(|| self.block.number());
        // Rows before it would be missing.
        if !begun && *self.stands > self.from[..] {
            return Err(self.damaged(number, "the one before it cannot be found".to_owned()));
        }
        self.begin_block(number).map_err(|reason| self.damaged(number, reason))?;
        self.number = Some(number + 1);
        Ok(())
    }

    /// Checks that the block that was read is the one of this number, and that it stands where it belongs.
    fn begin_block(&mut self, number: u32) -> Result<(), String> {
        let Shared { salt, blocks_all, key_groups, .. } = &*self.shared;
        self.block.begin(*salt, number)?;
        if number >= *blocks_all {
            return Err(format!("there should be {blocks_all} blocks"));
        }
        let first = self.block.first_key()?;
        if first != self.stands {
            return Err("it stands under another key than its first".to_owned());
        }
        if !self.last.is_empty() && first <= self.last {
            return Err("its rows come before those of the block before it".to_owned());
        }
        if !key_groups.contains(&key_group(&first)) {
            return Err(format!("its rows are of key group {}", key_group(&first)));
        }
        Ok(())
    }

    fn damaged(&mut self, block: u32, reason: String) -> Error {
        self.ended = true;
        Error::Damaged { file: self.shared.file.clone(), place: format!("block {block}"), reason }
    }
}
