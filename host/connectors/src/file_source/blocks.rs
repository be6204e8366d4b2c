//! Blocks: stretches of a file made of whole lines, unpacked, valid UTF-8.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    ops::Range,
    path::Path,
    sync::Arc,
};

use arrow_buffer::Buffer;
use flate2::bufread::MultiGzDecoder;
use wasmill_model::fault::Code;

use crate::{
    BadRow, Error, Split,
    bad_row::{TEXT_BYTES_MAX, kept_text},
    meter::Meter,
};

/// Bytes read at once. A block grows beyond only to hold one whole line.
pub(crate) const BLOCK_BYTES: usize = 512 << 10;
/// Bytes taken at once of an input that brings them as they come.
const LIVE_BYTES: usize = BLOCK_BYTES / 2;
/// Bytes of compressed input read at once.
const COMPRESSED_BYTES: usize = 64 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const GZIP_MAGIC: &[u8] = b"\x1f\x8b";
const ZSTD_MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";

pub(crate) const INVALID_UTF8_HINT: &str = "`invalid_utf8 = \"replace\"` reads such bytes as U+FFFD";

#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockOptions {
    /// Bytes of the longest line, its end not counted.
    pub(crate) line_bytes_max: usize,
    /// Whether bytes that are not UTF-8 become U+FFFD; else they make a row bad.
    pub(crate) replace_invalid_utf8: bool,
    /// Whether a row is a line, so that a line can be left out by itself.
    pub(crate) rows_are_lines: bool,
}

/// What comes next in a file.
#[derive(Debug)]
pub(crate) enum Piece {
    Lines(Block),
    /// A line that is no text, or too long to be read.
    Bad(BadRow),
}

/// Whole lines of a file. Every one ends in `\n`, also the last of a file.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) file: Arc<str>,
    /// Valid UTF-8, if rows are lines.
    pub(crate) bytes: Buffer,
    /// Where reading goes on: the beginning of a line.
    pub(crate) at: usize,
    /// The number of that line, from 1.
    pub(crate) line: u64,
    /// Bytes of the file before what the block had at first, unpacked.
    pub(crate) offset: u64,
    line_bytes_max: usize,
}

impl Block {
    /// Whole lines of text that did not come out of a file. `line` is the number of the first.
    pub(super) fn of_text(file: Arc<str>, text: &str, line: u64, line_bytes_max: usize) -> Self {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        let bytes = Buffer::from_vec([text, end].concat().into_bytes());
        Self { file, bytes, at: 0, line, offset: 0, line_bytes_max }
    }

    /// Passes the next line and returns where it lies, with its `\n`; `None` at the end. The error: it is too long.
    #[inline]
    pub(crate) fn next_line(&mut self) -> Result<Option<Range<usize>>, Box<BadRow>> {
        let Some(length) = memchr::memchr(b'\n', &self.bytes[self.at..]) else { return Ok(None) };
        let line = self.at..self.at + length + 1;
        self.at = line.end;
        self.line += 1;
        if length > self.line_bytes_max {
            let bad = too_long(&self.file, self.line - 1, &self.bytes[line], self.line_bytes_max);
            return Err(Box::new(bad));
        }
        Ok(Some(line))
    }

    /// A bad row that is the line passed last.
    #[cold]
    pub(crate) fn bad_line(&self, line: Range<usize>, column: Option<String>, reason: String) -> BadRow {
        let text = kept_text(&self.bytes[line]);
        BadRow {
            code: Code::BadRow,
            file: self.file.to_string(),
            line: self.line - 1,
            column,
            reason,
            hint: None,
            text,
        }
    }
}

#[cold]
fn too_long(file: &str, line: u64, head: &[u8], max: usize) -> BadRow {
    BadRow {
        code: Code::RowTooLong,
        file: file.to_owned(),
        line,
        column: None,
        reason: format!("the line is longer than {max} bytes"),
        hint: Some("raise `line_bytes_max` if such lines are meant to be"),
        text: kept_text(head),
    }
}

/// A file, read block by block.
pub(crate) struct Blocks {
    file: Arc<str>,
    input: Input,
    options: BlockOptions,
    /// The beginning of a line whose end was not read yet.
    rest: Vec<u8>,
    /// Bytes that were read, unpacked.
    read: u64,
    /// The number of that line, from 1.
    line: u64,
    /// Lines that were read, but not looked at.
    unchecked: Option<Unchecked>,
    at_start: bool,
    at_end: bool,
    /// Whether everything up to the next line end is to be passed over.
    in_long_line: bool,
}

/// Whole lines of which it is not known whether they are text.
struct Unchecked {
    /// Bytes of the file before `bytes`.
    offset: u64,
    bytes: Buffer,
    at: usize,
    line: u64,
}

impl Blocks {
    /// Opens a file, packed or not: its first bytes say so, whatever its name.
    pub(crate) fn open(split: &Split, options: BlockOptions, meter: &Meter) -> Result<Self, Error> {
        let name = split.to_string();
        let input = File::open(&split.path).and_then(|file| unpacked(meter.read(file)));
        let input = input.map_err(|source| Error::Read { doing: "open", path: (&name).into(), source })?;
        Ok(Self::new(name, Input::File(input), options))
    }

    /// The same from a place on: behind so many bytes, unpacked, and lines.
    pub(crate) fn open_at(
        split: &Split,
        (offset, lines): (u64, u64),
        options: BlockOptions,
        meter: &Meter,
    ) -> Result<Self, Error> {
        let mut blocks = Self::open(split, options, meter)?;
        if offset == 0 {
            return Ok(blocks);
        }
        let failed = |source| Error::Read { doing: "read", path: Path::new(&*blocks.file).to_owned(), source };
        let passed = match &mut blocks.input {
            Input::File(input) => io::copy(&mut input.by_ref().take(offset), &mut io::sink()).map_err(failed)?,
            Input::Live(_) => unreachable!("it is a file"),
        };
        if passed < offset {
            let reason = format!("it has {passed} bytes, and {offset} were read then");
            return Err(Error::Position { of: split.to_string(), reason });
        }
        (blocks.read, blocks.line, blocks.at_start) = (offset, lines + 1, false);
        Ok(blocks)
    }

    /// Standard input. A block is made of what is there: nothing waits for more than it takes to end a line.
    pub(crate) fn of_standard_input(options: BlockOptions) -> Result<Self, Error> {
        let name = Split::standard_input().to_string();
        let input =
            unpacked(io::stdin()).map_err(|source| Error::Read { doing: "read", path: (&name).into(), source })?;
        Ok(Self::new(name, Input::Live(BufReader::with_capacity(LIVE_BYTES, input)), options))
    }

    fn new(file: String, input: Input, options: BlockOptions) -> Self {
        Self {
            file: file.into(),
            input,
            options,
            rest: Vec::new(),
            read: 0,
            line: 1,
            unchecked: None,
            at_start: true,
            at_end: false,
            in_long_line: false,
        }
    }

    /// What comes next; `None` at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<Piece>, Error> {
        if let Some(lines) = self.unchecked.take() {
            return Ok(Some(self.check_utf8(lines)));
        }
        if self.in_long_line {
            self.pass_long_line()?;
        }
        let offset = self.read - self.rest.len() as u64;
        let Some(mut bytes) = self.read_lines()? else { return Ok(None) };
        if self.in_long_line {
            return Ok(Some(Piece::Bad(too_long(&self.file, self.line, &bytes, self.options.line_bytes_max))));
        }
        let at = if self.at_start && bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        self.at_start = false;
        if self.options.replace_invalid_utf8 && std::str::from_utf8(&bytes).is_err() {
            bytes = String::from_utf8_lossy(&bytes).into_owned().into_bytes();
        }
        let lines = Unchecked { offset, at, line: self.line, bytes: Buffer::from_vec(bytes) };
        self.line += memchr::memchr_iter(b'\n', &lines.bytes).count() as u64;
        Ok(Some(match self.options.rows_are_lines {
            true => self.check_utf8(lines),
            false => Piece::Lines(self.block(lines)),
        }))
    }

    fn block(&self, lines: Unchecked) -> Block {
        let Unchecked { offset, bytes, at, line } = lines;
        Block {
            file: self.file.clone(),
            offset: offset + at as u64,
            bytes,
            at,
            line,
            line_bytes_max: self.options.line_bytes_max,
        }
    }

    /// The lines up to the first that is not UTF-8; that line, if it is the first.
    fn check_utf8(&mut self, lines: Unchecked) -> Piece {
        let Unchecked { offset, bytes, at, line } = &lines;
        let Err(error) = std::str::from_utf8(&bytes[*at..]) else { return Piece::Lines(self.block(lines)) };
        let wrong = at + error.valid_up_to();
        let start = memchr::memrchr(b'\n', &bytes[*at..wrong]).map_or(*at, |end| at + end + 1);
        if start > *at {
            let good = Unchecked { offset: *offset, bytes: bytes.slice_with_length(0, start), at: *at, line: *line };
            let passed = memchr::memchr_iter(b'\n', &bytes[*at..start]).count() as u64;
            self.unchecked = Some(Unchecked { offset: *offset, line: line + passed, at: start, bytes: lines.bytes });
            return Piece::Lines(self.block(good));
        }
        let end = wrong + memchr::memchr(b'\n', &bytes[wrong..]).map_or(bytes.len() - wrong, |length| length + 1);
        let bad = BadRow {
            code: Code::RowNotUtf8,
            file: self.file.to_string(),
            line: *line,
            column: None,
            reason: format!("byte {} of the line is not UTF-8", wrong - start + 1),
            hint: Some(INVALID_UTF8_HINT),
            text: kept_text(&bytes[start..end]),
        };
        if end < bytes.len() {
            self.unchecked = Some(Unchecked { offset: *offset, line: line + 1, at: end, bytes: lines.bytes });
        }
        Piece::Bad(bad)
    }

    /// Passes what is left of a line that is too long.
    fn pass_long_line(&mut self) -> Result<(), Error> {
        loop {
            let mut bytes = std::mem::take(&mut self.rest);
            bytes.clear();
            self.fill(&mut bytes, BLOCK_BYTES)?;
            let end = memchr::memchr(b'\n', &bytes);
            if end.is_none() && !self.at_end {
                continue;
            }
            self.in_long_line = false;
            self.line += 1;
            self.rest = end.map_or_else(Vec::new, |end| bytes.split_off(end + 1));
            return Ok(());
        }
    }

    /// Reads at least one whole line; none at the end of the file. Of a line that is too long, its beginning.
    fn read_lines(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut room = BLOCK_BYTES.max(2 * self.rest.len());
        let mut bytes = Vec::with_capacity(room + 1);
        bytes.append(&mut self.rest);
        let mut searched = 0;
        loop {
            self.fill(&mut bytes, room)?;
            if let Some(last) = memchr::memrchr(b'\n', &bytes[searched..]) {
                self.rest = bytes.split_off(searched + last + 1);
                return Ok(Some(bytes));
            }
            if bytes.len() > self.options.line_bytes_max + BYTE_ORDER_MARK.len() {
                if !self.options.rows_are_lines {
                    let (file, max) = (self.file.to_string(), self.options.line_bytes_max);
                    return Err(Error::RowTooLong { file, line: self.line, max });
                }
                self.in_long_line = true;
                bytes.truncate(TEXT_BYTES_MAX);
                return Ok(Some(bytes));
            }
            if self.at_end {
                if bytes.is_empty() || (self.at_start && bytes == BYTE_ORDER_MARK) {
                    return Ok(None);
                }
                bytes.push(b'\n');
                return Ok(Some(bytes));
            }
            searched = bytes.len();
            room = (2 * room).min(self.options.line_bytes_max.saturating_add(BLOCK_BYTES));
            bytes.reserve_exact(room + 1 - bytes.len());
        }
    }

    /// Reads until there are `room` bytes or the file ends; of standard input what is there.
    fn fill(&mut self, bytes: &mut Vec<u8>, room: usize) -> Result<(), Error> {
        let failed = |source| Error::Read { doing: "read", path: Path::new(&*self.file).to_owned(), source };
        let before = bytes.len();
        match &mut self.input {
            Input::File(input) => {
                while !self.at_end && bytes.len() < room {
                    let missing = (room - bytes.len()) as u64;
                    let read = input.by_ref().take(missing).read_to_end(bytes).map_err(failed)?;
                    self.at_end = (read as u64) < missing;
                }
            }
            Input::Live(input) => {
                let there = loop {
                    match input.fill_buf() {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        there => break there.map_err(failed)?,
                    }
                };
                let taken = there.len().min(room - bytes.len());
                bytes.extend_from_slice(&there[..taken]);
                self.at_end = there.is_empty();
                input.consume(taken);
            }
        }
        self.read += (bytes.len() - before) as u64;
        Ok(())
    }
}

type Bytes = Box<dyn Read + Send>;

/// Where the bytes of lines come from, unpacked.
enum Input {
    File(Bytes),
    /// One that brings its bytes as they come.
    Live(BufReader<Bytes>),
}

fn unpacked(mut input: impl Read + Send + 'static) -> io::Result<Bytes> {
    let mut head = Vec::new();
    // Byte by byte, and no more than it takes: a terminal's first line may be one byte long.
    let undecided =
        |head: &Vec<u8>| [GZIP_MAGIC, ZSTD_MAGIC].iter().any(|m| m.len() > head.len() && m.starts_with(head));
    while undecided(&head) && input.by_ref().take(1).read_to_end(&mut head)? == 1 {}
    let (is_gzip, is_zstd) = (head == GZIP_MAGIC, head == ZSTD_MAGIC);
    let whole = Cursor::new(head).chain(input);
    Ok(if is_gzip {
        Box::new(MultiGzDecoder::new(BufReader::with_capacity(COMPRESSED_BYTES, whole)))
    } else if is_zstd {
        Box::new(zstd::Decoder::with_buffer(BufReader::with_capacity(COMPRESSED_BYTES, whole))?)
    } else {
        Box::new(whole)
    })
}
