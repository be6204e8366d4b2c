//! Reading text files: one after another, block by block, batch by batch.

use std::{collections::VecDeque, mem};

use wasmill_model::Batch;

use crate::{
    BadRow, Error, Polled, Source, Split,
    bad_row::AT_ONCE_MAX,
    file_source::{
        blocks::{Block, BlockOptions, Blocks, Piece},
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
    splits: VecDeque<Split>,
    meter: Meter,
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
    pub(super) fn new(splits: &[Split], options: BlockOptions, decoder: Box<dyn Decoder>) -> Self {
        let bad = BadRows::up_to(1);
        let meter = Meter::of(splits.iter().map(|split| split.path.as_path()));
        Self { splits: splits.to_vec().into(), meter, options, decoder, open: None, bad, failed: None }
    }
}

impl OpenSplit {
    fn open(split: &Split, options: BlockOptions, meter: &Meter) -> Result<Self, Error> {
        let input = match split.is_standard_input() {
            true => Input::StandardInput(StandardInput::open(options)?),
            false => Input::File(Blocks::open(split, options, meter)?),
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
                self.bad.max = AT_ONCE_MAX;
                return Ok(Polled::Bad(self.bad.take()));
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            let Some(open) = &mut self.open else {
                let Some(split) = self.splits.pop_front() else { return Ok(Polled::End) };
                self.decoder.begin();
                self.open = Some(OpenSplit::open(&split, self.options, &self.meter)?);
                continue;
            };
            let Some(block) = &mut open.block else {
                match open.next()? {
                    Waited::Piece(Piece::Lines(block)) => open.block = Some(block),
                    Waited::Piece(Piece::Bad(row)) => self.bad.push(row),
                    Waited::Nothing => return Ok(Polled::Pending { retry_at_ms: now_ms }),
                    Waited::End => {
                        self.decoder.end(&open.name)?;
                        self.open = None;
                    }
                }
                continue;
            };
            let Decoded { batch, used_up, failed } = self.decoder.decode(block, &mut self.bad);
            self.failed = failed;
            if used_up {
                open.block = None;
            }
            if batch.rows > 0 {
                return Ok(Polled::Batch { port: 0, batch });
            }
        }
    }

    fn progress(&self) -> Option<(u64, u64)> {
        self.meter.progress()
    }
}
