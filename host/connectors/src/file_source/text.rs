//! Reading text files: one after another, block by block, batch by batch.

use std::mem;

use serde_json::Value;
use wasmill_model::{
    Batch,
    portions::{Asks, Given},
};

use crate::{
    BadRow, Error, Polled, Source, Split,
    bad_row::AT_ONCE_MAX,
    file_source::{
        blocks::{Block, BlockOptions, Blocks, Piece},
        position::{Files, Position},
        standard_input::{StandardInput, Waited},
    },
    meter::Meter,
};

/// Makes batches of the rows of a block. One for each format.
pub(super) trait Decoder: Send {
    /// Forgets everything about the file before.
    fn begin(&mut self) {}

    /// Reads rows on from where the block is read up to: as many as make a batch, and until there are enough bad ones.
    fn decode(&mut self, block: &mut Block, bad: &mut BadRows) -> Decoded;

    /// The file has ended.
    fn end(&mut self, file: &str) -> Result<(), Error> {
        let _ = file;
        Ok(())
    }
}

/// What came of a part of a block.
pub(super) struct Decoded {
    pub(super) batch: Batch,
    /// The block holds no more whole rows.
    pub(super) used_up: bool,
    /// What stands behind those rows and ends the reading.
    pub(super) failed: Option<Error>,
}

/// Rows that could not be read, up to a number.
#[derive(Debug)]
pub(super) struct BadRows {
    rows: Vec<BadRow>,
    max: usize,
}

impl BadRows {
    pub(super) fn up_to(max: usize) -> Self {
        Self { rows: Vec::new(), max }
    }

    /// Those that have come since the last time.
    pub(super) fn take(&mut self) -> Vec<BadRow> {
        mem::take(&mut self.rows)
    }

    pub(super) fn push(&mut self, row: BadRow) {
        self.rows.push(row);
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= self.max
    }
}

/// Reads its splits one after another.
pub(crate) struct TextSource {
    files: Files,
    meter: Meter,
    /// Bytes that were read before the file that is open.
    read_before: u64,
    options: BlockOptions,
    decoder: Box<dyn Decoder>,
    open: Option<OpenSplit>,
    /// Rows to bring next. At first a batch ends at a bad row, so that nothing behind it goes out if it fails the job;
    /// whoever polls on after it can take more of them at once.
    bad: BadRows,
    /// What stands behind the last rows that were handed out.
    failed: Option<Error>,
}

struct OpenSplit {
    /// Its name, for messages.
    name: String,
    input: Input,
    block: Option<Block>,
}

enum Input {
    File(Blocks),
    StandardInput(StandardInput),
}

impl TextSource {
    pub(super) fn new(files: Files, options: BlockOptions, decoder: Box<dyn Decoder>) -> Self {
        let bad = BadRows::up_to(1);
        let meter = Meter::of(files.share_bytes().unwrap_or(0));
        Self { files, meter, read_before: 0, options, decoder, open: None, bad, failed: None }
    }
}

impl OpenSplit {
    fn open(split: &Split, from: &Position, options: BlockOptions, meter: &Meter) -> Result<Self, Error> {
        let input = match split.is_standard_input() {
            true => Input::StandardInput(StandardInput::open(options)?),
            false => Input::File(Blocks::open_at(split, (from.offset, from.lines), options, meter)?),
        };
        Ok(Self { name: split.to_string(), input, block: None })
    }

    fn next(&mut self) -> Result<Waited, Error> {
        match &mut self.input {
            Input::File(blocks) => Ok(blocks.next()?.map_or(Waited::End, Waited::Piece)),
            Input::StandardInput(input) => input.next(),
        }
    }
}

impl Source for TextSource {
    fn poll(&mut self, now_ms: i64) -> Result<Polled, Error> {
        loop {
            if !self.bad.rows.is_empty() {
                let bad = self.files.bad(self.bad.take());
                if bad.is_empty() {
                    continue;
                }
                self.bad.max = AT_ONCE_MAX;
                return Ok(Polled::Bad(bad));
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            let Some(open) = &mut self.open else {
                let Some((split, from)) = self.files.begin() else { return Ok(self.files.nothing_waits(now_ms)) };
                self.read_before = self.meter.done();
                self.decoder.begin();
                self.open = Some(OpenSplit::open(&split, &from, self.options, &self.meter)?);
                continue;
            };
            let Some(block) = &mut open.block else {
                match open.next()? {
                    Waited::Piece(Piece::Lines(block)) => {
                        // A row may be of several lines, some of which the decoder has taken already.
                        if self.options.rows_are_lines {
                            self.files.at(block.offset, block.line - 1);
                        }
                        open.block = Some(block);
                    }
                    Waited::Piece(Piece::Bad(row)) => self.bad.push(row),
                    Waited::Nothing => return Ok(Polled::Pending { retry_at_ms: now_ms }),
                    Waited::End => {
                        self.decoder.end(&open.name)?;
                        self.open = None;
                        self.files.end();
                    }
                }
                continue;
            };
            let Decoded { batch, used_up, failed } = self.decoder.decode(block, &mut self.bad);
            self.failed = failed;
            if used_up {
                open.block = None;
            }
            if batch.rows > 0
                && let Some(batch) = self.files.good(batch)
            {
                return Ok(Polled::Batch { port: 0, batch });
            }
        }
    }

    fn positions(&self) -> Vec<Value> {
        self.files.positions()
    }

    fn progress(&self) -> Option<(u64, u64)> {
        self.meter.progress()
    }

    fn asks(&self) -> Option<Asks> {
        self.files.asks(self.meter.done() - self.read_before)
    }

    fn give(&mut self, given: &Given) {
        self.files.give(given);
    }
}
