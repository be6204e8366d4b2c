//! Text in memory, read as a file of rows would be: for tools that have the text already, and want rows or a message with
//! file and line.

use std::sync::Arc;

use wasmill_model::{Batch, Schema};

use super::{
    LINE_BYTES_MAX_DEFAULT,
    blocks::Block,
    csv::CsvDecoder,
    json::JsonDecoder,
    text::{BadRows, Decoded, Decoder},
};
use crate::{Error, csv_options::CsvOptions, source_columns::SourceColumn};

/// A format of rows as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// An object a line.
    Json,
    /// With a header, fields divided by `,` and quoted by `"`.
    Csv,
}

/// Reads rows from the text of one file, piece by piece.
pub struct TextReader {
    decoder: Box<dyn Decoder>,
    file: Arc<str>,
    /// The line that comes next, from 1.
    line: u64,
}

impl std::fmt::Debug for TextReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextReader").field("file", &self.file).field("line", &self.line).finish_non_exhaustive()
    }
}

impl TextReader {
    /// A reader of rows of this schema. `file` is the name for messages.
    ///
    /// # Panics
    /// If the schema has a column of type `binary`, which no text format can hold.
    pub fn new(format: TextFormat, schema: &Schema, file: &str) -> Self {
        let columns: Vec<SourceColumn> = schema.fields().iter().cloned().map(SourceColumn::plain).collect();
        let wanted = vec![true; schema.len()];
        let mut decoder: Box<dyn Decoder> = match format {
            TextFormat::Json => Box::new(JsonDecoder::new(&columns, &wanted, false)),
            TextFormat::Csv => {
                Box::new(CsvDecoder::new(&CsvOptions::default(), &columns, &wanted, LINE_BYTES_MAX_DEFAULT))
            }
        };
        decoder.begin();
        Self { decoder, file: file.into(), line: 1 }
    }

    /// The rows of the next piece of the text, which is made of whole lines; the last one may lack its end. Blank lines are
    /// no rows, but they are counted.
    ///
    /// # Errors
    /// The first line that is no row of the schema.
    pub fn read(&mut self, text: &str) -> Result<Vec<Batch>, Error> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let mut block = Block::of_text(self.file.clone(), text, self.line, LINE_BYTES_MAX_DEFAULT);
        self.line += text.matches('\n').count() as u64 + u64::from(!text.ends_with('\n'));
        let (mut batches, mut bad) = (Vec::new(), BadRows::up_to(1));
        loop {
            let Decoded { batch, used_up, failed } = self.decoder.decode(&mut block, &mut bad);
            if let Some(row) = bad.take().into_iter().next() {
                return Err(Error::BadRow(Box::new(row)));
            }
            if let Some(error) = failed {
                return Err(error);
            }
            if batch.rows > 0 {
                batches.push(batch);
            }
            if used_up {
                return Ok(batches);
            }
        }
    }

    /// The text has ended.
    ///
    /// # Errors
    /// Of CSV, if a quote is not closed.
    pub fn end(mut self) -> Result<(), Error> {
        self.decoder.end(&self.file)
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{cast::AsArray, types::Int64Type};
    use wasmill_model::{DataType, Field};

    use super::*;

    fn reader(format: TextFormat) -> TextReader {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64)]).expect("one name");
        TextReader::new(format, &schema, "rows")
    }

    fn numbers(batches: &[Batch]) -> Vec<i64> {
        batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    #[test]
    fn pieces_are_read_one_after_another() {
        for (format, pieces) in [
            (TextFormat::Json, ["{\"n\":1}\n\n{\"n\":2}\n", "", "\n{\"n\":3}"]),
            (TextFormat::Csv, ["m,n\n0,1\n\n0,2\n", "", "\n0,3"]),
        ] {
            let mut reader = reader(format);
            let read = pieces.map(|piece| numbers(&reader.read(piece).expect("good rows")));
            assert_eq!(read, [vec![1, 2], vec![], vec![3]], "{format:?}");
            reader.end().expect("nothing is open");
        }
    }

    #[test]
    fn errors_name_the_line_of_the_whole_text() {
        for (format, first, second) in
            [(TextFormat::Json, "{\"n\":1}\n\n", "\n{\"n\":true}\n"), (TextFormat::Csv, "n\n1\n\n", "true\n")]
        {
            let mut reader = reader(format);
            reader.read(first).expect("good rows");
            let error = reader.read(second).expect_err("a boolean is no number").to_string();
            assert!(error.starts_with("could not read rows:4: column `n`: expected int64"), "{format:?}: {error}");
        }
    }

    #[test]
    fn a_batch_has_no_more_rows_than_it_should() {
        let text: String = (0..10_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
        let batches = reader(TextFormat::Json).read(&text).expect("good rows");
        assert!(batches.len() > 2 && batches.iter().all(|batch| batch.rows <= 4_096));
        assert_eq!(numbers(&batches).len(), 10_000);
    }
}
