//! Splits text into words, at Unicode white space. The README says how to configure it.
//!
//! It works on whole columns. A call's words are its text without the white space: every byte is copied to where the next
//! one belongs, and the place moves on only behind a byte that is no space. That has no branch a processor could guess
//! wrongly. In blocks of eight bytes it takes 13 ns a word, host included, byte by byte 24.

#![cfg_attr(not(test), no_std)]

use wasmill_sdk::{
    Call, Config, Error, Operator, config,
    data::{Column, Context, DataType, Descriptor, Failure, Field, Input, Outcome, Port, Reads, Reply, Shape},
    prelude::*,
};

wasmill_sdk::no_std!();
wasmill_sdk::export!(Tokenizer);

#[derive(Config)]
struct Settings {
    /// The column to split.
    #[config(default = "line")]
    column: String,
    /// The column of words.
    #[config(default = "word")]
    output: String,
}

struct Tokenizer {
    words: Words,
}

impl Operator for Tokenizer {
    fn describe(config: &str, inputs: &[Input]) -> Result<Descriptor, Error> {
        let settings: Settings = config::parse(config).map_err(Error::new)?;
        let [input] = inputs else { return Err(Error::new("the operator has one input")) };
        input.require(&settings.column, DataType::Utf8, true).map_err(Error::new)?;
        let mut reads = Reads::columns([settings.column.as_str()]);
        reads.event_times = input.event_times;
        let schema = vec![Field::new(&settings.output, DataType::Utf8)];
        let port = Port::new("out", Shape::New(schema)).event_times(input.event_times);
        Ok(Descriptor::new(vec![reads], vec![port]))
    }

    fn open(_: &Context) -> Result<Self, Error> {
        Ok(Self { words: Words::default() })
    }

    fn process(&mut self, call: &Call<'_>) -> Result<Reply, Failure> {
        let lines = call.rows.strs(0);
        self.words.clear(lines.text().len());
        let mut event_times = call.rows.event_times().map(|_| Vec::new());
        for (row, line) in lines.iter().enumerate() {
            let before = self.words.count;
            self.words.split(line);
            if let (Some(times), Some(given)) = (&mut event_times, call.rows.event_times()) {
                let time = given.get(row).copied().unwrap_or_default();
                times.extend(core::iter::repeat_n(time, self.words.count - before));
            }
        }
        if self.words.count == 0 {
            return Ok(Reply::none());
        }
        let (count, column) = self.words.take();
        Ok(Reply::rows(Outcome::replace(count, vec![column], event_times.as_deref())))
    }
}

/// Bytes of a line that are split at a time. The room for the ends of words grows with the words, not with the text.
const CHUNK_BYTES: usize = 4_096;

/// Bytes that are split without a branch.
const BLOCK_BYTES: usize = 8;

/// Whether an ASCII byte is Unicode white space.
#[inline]
fn is_ascii_space(byte: u8) -> bool {
    byte == b' ' || byte.wrapping_sub(b'\t') < 5
}

/// Words in the making.
#[derive(Default)]
struct Words {
    /// The words' text, and room behind it.
    text: Vec<u8>,
    /// Where the next byte belongs.
    end: usize,
    /// 0, then where each word ends, and room behind that. Kept from call to call.
    ends: Vec<u32>,
    count: usize,
}

impl Words {
    /// Makes room for the words of so many bytes of text.
    fn clear(&mut self, bytes: usize) {
        // More than the words can have: a block is written whole, and only its letters count.
        self.text = vec![0; bytes + BLOCK_BYTES];
        (self.end, self.count) = (0, 0);
    }

    /// Makes room for the ends of so many more words.
    fn reserve(&mut self, words: usize) {
        let ends = self.count + words + 1;
        if self.ends.len() < ends {
            self.ends.resize(ends, 0);
        }
    }

    /// The number of words, and their column.
    fn take(&mut self) -> (usize, Column) {
        let mut text = core::mem::take(&mut self.text);
        text.truncate(self.end);
        let offsets = self.ends.get(..=self.count).unwrap_or_default();
        (self.count, Column::of_parts(offsets, text))
    }

    fn split(&mut self, line: &str) {
        if !self.split_ascii(line.as_bytes()) {
            self.split_unicode(line);
        }
    }

    /// Adds the words of a line; false, and no words, if there is a byte beyond ASCII.
    fn split_ascii(&mut self, line: &[u8]) -> bool {
        let (line_end, line_count) = (self.end, self.count);
        let (mut all, mut in_word) = (0, false);
        for chunk in line.chunks(CHUNK_BYTES) {
            // A space ends a word at every other byte at most; then the line's own end, and room to write a block.
            self.reserve(chunk.len() / 2 + 1 + BLOCK_BYTES);
            let (blocks, rest) = chunk.as_chunks();
            for block in blocks {
                self.split_block(block, &mut in_word);
                all |= block.iter().fold(0, |all, byte| all | byte);
            }
            for &byte in rest {
                self.split_byte(byte, &mut in_word);
                all |= byte;
            }
        }
        if all >= 0x80 {
            (self.end, self.count) = (line_end, line_count);
            return false;
        }
        if in_word {
            self.end_word();
        }
        true
    }

    /// Adds a block of a line's bytes. Written out for eight bytes, it checks bounds, and the host its deadline, once.
    #[inline]
    fn split_block(&mut self, block: &[u8; BLOCK_BYTES], in_word: &mut bool) {
        let text = self.text.get_mut(self.end..).and_then(|text| text.first_chunk_mut::<BLOCK_BYTES>());
        let ends = self.ends.get_mut(self.count + 1..).and_then(|ends| ends.first_chunk_mut::<BLOCK_BYTES>());
        let (Some(text), Some(ends)) = (text, ends) else { return };
        let (mut end, mut count) = (0, 0);
        for &byte in block {
            let is_space = is_ascii_space(byte);
            // Neither number reaches the block's length before its last byte: the masks only tell the compiler so.
            text[end % BLOCK_BYTES] = byte;
            ends[count % BLOCK_BYTES] = (self.end + end) as u32;
            end += usize::from(!is_space);
            count += usize::from(is_space & *in_word);
            *in_word = !is_space;
        }
        (self.end, self.count) = (self.end + end, self.count + count);
    }

    fn split_byte(&mut self, byte: u8, in_word: &mut bool) {
        let is_space = is_ascii_space(byte);
        if is_space && *in_word {
            self.end_word();
        }
        if let (false, Some(place)) = (is_space, self.text.get_mut(self.end)) {
            *place = byte;
            self.end += 1;
        }
        *in_word = !is_space;
    }

    fn end_word(&mut self) {
        if let Some(word_end) = self.ends.get_mut(self.count + 1) {
            *word_end = self.end as u32;
            self.count += 1;
        }
    }

    fn split_unicode(&mut self, line: &str) {
        for word in line.split_whitespace() {
            self.reserve(1);
            let end = self.end + word.len();
            if let Some(place) = self.text.get_mut(self.end..end) {
                place.copy_from_slice(word.as_bytes());
                self.end = end;
                self.end_word();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::{Row, Timestamp, testing::Harness};

    #[derive(Row, Clone)]
    struct Line<'a> {
        line: &'a str,
    }

    #[derive(Row, Debug, PartialEq)]
    struct Word {
        word: String,
    }

    const LINES: &[&str] = &[
        "to be, or not to be",
        "",
        "   ",
        " leading and trailing\t\n",
        "a\u{b}b\u{c}c\rd",
        "no\u{1c}break\u{1f}here\u{0}",
        "x",
        "żółw\u{a0}łąka\u{3000}漢字\u{2028}end\u{85}",
        "zero\u{200b}width",
        "mixed ascii żółw again",
        "\u{a0}",
        "last",
    ];

    #[test]
    fn a_line_longer_than_a_chunk_is_split_as_any_other() {
        let line: String = (0..3 * CHUNK_BYTES).map(|i| if i % 7 == 3 || i % 11 == 0 { ' ' } else { 'x' }).collect();
        let dense = "a ".repeat(CHUNK_BYTES);
        let one_word = "y".repeat(2 * CHUNK_BYTES + 1);
        let late = format!("{}ż end", "ab ".repeat(CHUNK_BYTES));
        let lines = [line.as_str(), &dense, &one_word, &late];
        let mut harness = Harness::<Tokenizer>::setup().input::<Line>().open().expect("it opens");
        harness.process(lines.map(|line| Line { line })).expect("no row fails");
        let expect: Vec<&str> = lines.iter().flat_map(|line| line.split_whitespace()).collect();
        let words = harness.take::<Word>("out");
        assert_eq!(words.iter().map(|word| word.word.as_str()).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn words_are_those_of_split_whitespace() {
        let expect: Vec<&str> = LINES.iter().flat_map(|line| line.split_whitespace()).collect();
        for lines_per_call in [1, 5, LINES.len()] {
            let mut harness = Harness::<Tokenizer>::setup().input::<Line>().open().expect("it opens");
            for lines in LINES.chunks(lines_per_call) {
                harness.process(lines.iter().map(|line| Line { line })).expect("no row fails");
            }
            let words = harness.take::<Word>("out");
            assert_eq!(words.iter().map(|word| word.word.as_str()).collect::<Vec<_>>(), expect);
        }
    }

    #[test]
    fn every_character_splits_or_not_as_the_standard_library_says() {
        let mut harness = Harness::<Tokenizer>::setup().input::<Line>().open().expect("it opens");
        let lines: Vec<String> = ('\0'..='\u{3100}').map(|c| format!("a{c}b")).collect();
        harness.process(lines.iter().map(|line| Line { line })).expect("no row fails");
        let expect: Vec<&str> = lines.iter().flat_map(|line| line.split_whitespace()).collect();
        let words = harness.take::<Word>("out");
        assert_eq!(words.iter().map(|word| word.word.as_str()).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn words_have_their_lines_event_time() {
        let mut harness = Harness::<Tokenizer>::setup().input::<Line>().with_event_times().open().expect("it opens");
        let lines = [
            (Timestamp(5), Line { line: "a b" }),
            (Timestamp(4), Line { line: "" }),
            (Timestamp(3), Line { line: "c" }),
        ];
        harness.process_at(lines).expect("no row fails");
        let times: Vec<_> =
            harness.take_at::<Word>("out").into_iter().map(|(time, word)| (time.0, word.word)).collect();
        assert_eq!(times, [(5, "a".to_owned()), (5, "b".to_owned()), (3, "c".to_owned())]);
    }

    #[test]
    fn columns_can_be_named_and_nulls_have_no_words() {
        #[derive(Row)]
        struct Post<'a> {
            id: i64,
            body: Option<&'a str>,
        }
        #[derive(Row, Debug, PartialEq)]
        struct Token {
            token: String,
        }
        let mut harness = Harness::<Tokenizer>::setup()
            .config(r#"{"column":"body","output":"token"}"#)
            .input::<Post>()
            .open()
            .expect("it opens");
        harness.process([Post { id: 1, body: None }, Post { id: 2, body: Some(" hi ") }]).expect("no row fails");
        assert_eq!(harness.take::<Token>("out"), [Token { token: "hi".to_owned() }]);
    }

    #[test]
    fn a_wrong_column_is_refused() {
        let setup = Harness::<Tokenizer>::setup().config(r#"{"column":"text"}"#).input::<Line>();
        assert_eq!(setup.open().expect_err("there is no text"), "the input has no column `text`; its columns: line");
    }
}
