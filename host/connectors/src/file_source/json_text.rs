//! Reading one line of JSON: a cursor over its bytes.
//!
//! A line ends in `\n`, which no JSON token contains, so that looking one byte ahead never leaves the line.

use crate::number::Number;

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The place of the column at fault among those that are read; none if the row as a whole is.
    pub(crate) column: Option<usize>,
    pub(crate) reason: String,
}

/// Characters of a value that are shown in messages.
const SHOWN_CHARS: usize = 40;

/// Where a string lies, between its quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quoted {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) escaped: bool,
}

/// A place in a line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    /// Valid UTF-8 that ends in `\n`.
    pub(crate) line: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(crate) fn peek(&self) -> u8 {
        self.line[self.at]
    }

    #[inline]
    pub(crate) fn skip_space(&mut self) {
        while matches!(self.line[self.at], b' ' | b'\t' | b'\r') {
            self.at += 1;
        }
    }

    /// Passes this byte, if it is next.
    #[inline]
    pub(crate) fn pass(&mut self, byte: u8) -> bool {
        // No arithmetic with the outcome of a comparison that is also branched on: rustc 1.95 miscompiles that
        // (rust-lang/rust#158206).
        if self.line[self.at] == byte {
            self.at += 1;
            return true;
        }
        false
    }

    #[inline]
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.pass(byte) { Ok(()) } else { Err(self.expected(&format!("`{}`", byte as char))) }
    }

    #[inline]
    pub(crate) fn pass_word(&mut self, word: &[u8]) -> bool {
        if self.line[self.at..].starts_with(word) {
            self.at += word.len();
            return true;
        }
        false
    }

    /// Not JSON, because something else should stand here.
    #[cold]
    pub(crate) fn expected(&self, what: &str) -> Fault {
        let rest = self.line[self.at..].trim_ascii_end();
        let found = match rest.first() {
            None => "the end of the line".to_owned(),
            Some(byte) if *byte < 0x20 => format!("the control character U+{byte:04X}"),
            Some(_) => format!("`{}`", String::from_utf8_lossy(rest).chars().next().unwrap_or('\u{fffd}')),
        };
        Fault { column: None, reason: format!("not JSON: expected {what} at byte {}, found {found}", self.at + 1) }
    }

    /// Passes a string whose opening quote was passed.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Quoted, Fault> {
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += plain_text(&self.line[self.at..]);
            match self.line[self.at] {
                b'"' => {
                    self.at += 1;
                    return Ok(Quoted { start, end: self.at - 1, escaped });
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(self.expected("the end of a string")),
            }
        }
    }

    /// Passes an escape, at its backslash.
    fn escape(&mut self) -> Result<(), Fault> {
        let length = match self.line[self.at + 1] {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
            b'u' if self.line[self.at + 2..].iter().take(4).filter(|b| b.is_ascii_hexdigit()).count() == 4 => 6,
            _ => {
                let byte = self.at + 1;
                return Err(Fault { column: None, reason: format!("not JSON: unknown escape at byte {byte}") });
            }
        };
        self.at += length;
        Ok(())
    }

    /// Passes a number.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<Number<'a>, Fault> {
        let (number, length) = Number::scan(&self.line[self.at..]).ok_or_else(|| self.expected("a number"))?;
        self.at += length;
        Ok(number)
    }

    /// Passes a value of any kind and depth. `nesting` is scratch memory: the kinds of what is open, true for an
    /// object; it takes the place of a call stack, which a deep value would overflow.
    pub(crate) fn skip_value(&mut self, nesting: &mut Vec<bool>) -> Result<(), Fault> {
        nesting.clear();
        loop {
            self.skip_space();
            match self.peek() {
                b'{' => {
                    self.at += 1;
                    self.skip_space();
                    if !self.pass(b'}') {
                        nesting.push(true);
                        self.skip_key()?;
                        continue;
                    }
                }
                b'[' => {
                    self.at += 1;
                    self.skip_space();
                    if !self.pass(b']') {
                        nesting.push(false);
                        continue;
                    }
                }
                _ => self.skip_scalar()?,
            }
            if self.skip_closings(nesting)? {
                return Ok(());
            }
        }
    }

    /// Passes what may follow a nested value, up to the next one. Returns whether all that was open is closed.
    fn skip_closings(&mut self, nesting: &mut Vec<bool>) -> Result<bool, Fault> {
        while let Some(&in_object) = nesting.last() {
            self.skip_space();
            if self.pass(b',') {
                if in_object {
                    self.skip_space();
                    self.skip_key()?;
                }
                return Ok(false);
            }
            let closing = if in_object { b'}' } else { b']' };
            if !self.pass(closing) {
                return Err(self.expected(&format!("`,` or `{}`", closing as char)));
            }
            nesting.pop();
        }
        Ok(true)
    }

    fn skip_key(&mut self) -> Result<(), Fault> {
        self.expect(b'"')?;
        self.string()?;
        self.skip_space();
        self.expect(b':')
    }

    fn skip_scalar(&mut self) -> Result<(), Fault> {
        let passed = match self.peek() {
            b'"' => {
                self.at += 1;
                self.string()?;
                true
            }
            b'-' | b'0'..=b'9' => {
                self.number()?;
                true
            }
            _ => self.pass_word(b"true") || self.pass_word(b"false") || self.pass_word(b"null"),
        };
        if passed { Ok(()) } else { Err(self.expected("a value")) }
    }

    /// The value that stands here, for messages.
    #[cold]
    pub(crate) fn describe(&self) -> String {
        let mut rest = *self;
        match self.peek() {
            b'{' => "an object".to_owned(),
            b'[' => "an array".to_owned(),
            b'"' => {
                rest.at += 1;
                let text = match rest.string() {
                    Ok(quoted) => &self.line[quoted.start..quoted.end],
                    Err(_) => self.line[self.at + 1..].trim_ascii_end(),
                };
                format!("the string \"{}\"", shorten(&String::from_utf8_lossy(text)))
            }
            _ => match rest.skip_scalar() {
                Ok(()) => shorten(&String::from_utf8_lossy(&self.line[self.at..rest.at])),
                Err(fault) => fault.reason,
            },
        }
    }
}

/// The beginning of a text, to show.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Bytes up to the first quote, backslash or control character. There is one: the line's end.
#[inline]
fn plain_text(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word;
    let mut at = 0;
    // Eight at a time: the first marked byte is exact, those behind it need not be.
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let quote = zero_bytes(word ^ (ONES * u64::from(b'"')));
        let backslash = zero_bytes(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quote | backslash | control) & HIGH;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + bytes[at..].iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f)).expect("a line ends in a newline")
}

/// Appends the text of a string that has escapes, which [`Cursor::string`] has checked.
///
/// Half a surrogate pair is no character: it becomes U+FFFD if `replace` says so, else it is a fault.
pub(crate) fn unescape(raw: &[u8], replace: bool, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut at = 0;
    while let Some(plain) = memchr::memchr(b'\\', &raw[at..]) {
        out.extend_from_slice(&raw[at..at + plain]);
        at += plain;
        let simple = match raw[at + 1] {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (character, length) = unicode_escape(&raw[at..]);
                at += length;
                if character.is_none() && !replace {
                    return Err("half a surrogate pair, which is no character");
                }
                let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            itself => itself,
        };
        out.push(simple);
        at += 2;
    }
    out.extend_from_slice(&raw[at..]);
    Ok(())
}

/// The character of `\uXXXX`, or of two of them that make a surrogate pair, and their length.
fn unicode_escape(raw: &[u8]) -> (Option<char>, usize) {
    let unit = |at: usize| -> Option<u32> {
        let digits = raw.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let first = unit(0).unwrap_or(0);
    if let 0xd800..=0xdbff = first
        && let Some(second @ 0xdc00..=0xdfff) = unit(6)
    {
        return (char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)), 12);
    }
    (char::from_u32(first), 6)
}
