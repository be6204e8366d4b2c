//! Blocks: stretches of a file made of whole lines, unpacked, valid UTF-8.

use std::{
    fs::File,
    io::{self, BufReader, Cursor, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_buffer::Buffer;
use flate2::bufread::MultiGzDecoder;

use crate::Error;

/// Bytes read at once. A block grows beyond only to hold one whole line.
pub(super) const BLOCK_BYTES: usize = 512 << 10;
/// Bytes of compressed input read at once.
const COMPRESSED_BYTES: usize = 64 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const GZIP_MAGIC: &[u8] = b"\x1f\x8b";

#[derive(Debug, Clone, Copy)]
pub(super) struct BlockOptions {
    /// Bytes of the longest line, its end not counted.
    pub(super) line_bytes_max: usize,
    /// Whether bytes that are not UTF-8 become U+FFFD; else they are an error.
    pub(super) replace_invalid_utf8: bool,
}

/// Whole lines of a file. Every one ends in `\n`, also the last of a file.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) file: Arc<str>,
    pub(super) bytes: Buffer,
    /// Where reading goes on: the beginning of a line.
    pub(super) at: usize,
    /// The number of that line, from 1.
    pub(super) line: u64,
    line_bytes_max: usize,
    /// What stands behind the block's last line and must be reported after it.
    pub(super) failed: Option<Error>,
}

impl Block {
    /// Passes the next line and returns where it lies, with its `\n`; `None` at the end.
    #[inline]
    pub(super) fn next_line(&mut self) -> Result<Option<std::ops::Range<usize>>, Error> {
        let Some(length) = memchr::memchr(b'\n', &self.bytes[self.at..]) else { return Ok(None) };
        if length > self.line_bytes_max {
            return Err(self.too_long());
        }
        let line = self.at..self.at + length + 1;
        self.at = line.end;
        self.line += 1;
        Ok(Some(line))
    }

    fn too_long(&self) -> Error {
        Error::LineTooLong { file: self.file.to_string(), line: self.line, max: self.line_bytes_max }
    }
}

/// A file, read block by block.
pub(super) struct Blocks {
    path: PathBuf,
    file: Arc<str>,
    input: Box<dyn Read + Send>,
    options: BlockOptions,
    /// The beginning of a line whose end was not read yet.
    rest: Vec<u8>,
    /// The number of that line, from 1.
    line: u64,
    at_start: bool,
    at_end: bool,
}

impl Blocks {
    /// Opens a file, gzip or not: its first bytes say so, whatever its name.
    pub(super) fn open(path: &Path, options: BlockOptions) -> Result<Self, Error> {
        let input = unpacked(path).map_err(|source| Error::Read { doing: "open", path: path.to_owned(), source })?;
        Ok(Self {
            path: path.to_owned(),
            file: path.display().to_string().into(),
            input,
            options,
            rest: Vec::new(),
            line: 1,
            at_start: true,
            at_end: false,
        })
    }

    /// The file's name, for messages.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// The next block; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Block>, Error> {
        let Some(bytes) = self.read_lines()? else { return Ok(None) };
        let at = if self.at_start && bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        self.at_start = false;
        let (bytes, failed) = self.check_utf8(bytes, at);
        let block = Block {
            file: self.file.clone(),
            at,
            line: self.line,
            line_bytes_max: self.options.line_bytes_max,
            failed,
            bytes: Buffer::from_vec(bytes),
        };
        self.line += memchr::memchr_iter(b'\n', &block.bytes).count() as u64;
        Ok(Some(block))
    }

    /// Reads at least one whole line; none at the end of the file.
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
                let (file, max) = (self.file.to_string(), self.options.line_bytes_max);
                return Err(Error::LineTooLong { file, line: self.line, max });
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

    /// Reads until there are `room` bytes or the file ends.
    fn fill(&mut self, bytes: &mut Vec<u8>, room: usize) -> Result<(), Error> {
        while !self.at_end && bytes.len() < room {
            let missing = (room - bytes.len()) as u64;
            let read = self.input.by_ref().take(missing).read_to_end(bytes);
            let read = read.map_err(|source| Error::Read { doing: "read", path: self.path.clone(), source })?;
            self.at_end = (read as u64) < missing;
        }
        Ok(())
    }

    /// The bytes as valid UTF-8: as they are, with replacements, or up to the first bad line and what is wrong there.
    fn check_utf8(&self, mut bytes: Vec<u8>, at: usize) -> (Vec<u8>, Option<Error>) {
        let Err(error) = std::str::from_utf8(&bytes) else { return (bytes, None) };
        if self.options.replace_invalid_utf8 {
            return (String::from_utf8_lossy(&bytes).into_owned().into_bytes(), None);
        }
        let wrong = error.valid_up_to();
        let start = memchr::memrchr(b'\n', &bytes[..wrong]).map_or(at, |end| end + 1);
        let line = self.line + memchr::memchr_iter(b'\n', &bytes[..start]).count() as u64;
        bytes.truncate(start);
        (bytes, Some(Error::NotUtf8 { file: self.file.to_string(), line, byte: wrong - start + 1 }))
    }
}

fn unpacked(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    file.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut head)?;
    let is_gzip = head == GZIP_MAGIC;
    let whole = Cursor::new(head).chain(file);
    Ok(match is_gzip {
        true => Box::new(MultiGzDecoder::new(BufReader::with_capacity(COMPRESSED_BYTES, whole))),
        false => Box::new(whole),
    })
}
