//! Rows as bytes of a format: what the `file` and `stdout` sinks write.

use std::{io, sync::Arc};

use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringViewArray, cast::AsArray, types};
use wasmill_model::{
    Batch, DataType, Field, Schema,
    settings::{self, Settings},
};

use crate::csv_options::CsvOptions;

mod arrow;
mod csv;
mod json;
mod parquet;
mod record;

pub(crate) use arrow::Container;
use arrow::{ArrowEncoder, ArrowOptions};
use parquet::{ParquetEncoder, ParquetOptions};

/// How a sink writes rows.
#[derive(Debug, Clone)]
pub(crate) enum EncoderConfig {
    Json,
    Csv(CsvOptions),
    /// The column to write; none: the only one.
    Lines(Option<String>),
    Parquet(ParquetOptions),
    Arrow(ArrowOptions),
}

impl EncoderConfig {
    /// Reads `format`, `json` if it is missing, and the keys that belong to it.
    pub(crate) fn read(settings: &Settings) -> Result<Self, settings::Error> {
        let format = settings.optional("format", |s| s.choice(&["json", "lines", "csv", "parquet", "arrow"]))?;
        Ok(match format {
            None | Some(0) => Self::Json,
            Some(1) => Self::Lines(settings.optional("column", |s| s.string().map(str::to_owned))?),
            Some(2) => Self::Csv(CsvOptions::read(settings)?),
            Some(3) => Self::Parquet(ParquetOptions::read(settings)?),
            Some(_) => Self::Arrow(ArrowOptions::read(settings)?),
        })
    }

    /// Whether rows become lines of text, which can be packed and written by several in turns.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Json | Self::Csv(_) | Self::Lines(_))
    }

    /// Whether rows of this schema can be written; if not, why.
    pub(crate) fn check(&self, schema: &Schema) -> Result<(), String> {
        if let Self::Lines(column) = self {
            return line_column(column.as_deref(), schema).map(|_| ());
        }
        if !self.is_text() {
            return match schema.is_empty() {
                true => Err("the rows have no columns, which the format cannot hold".to_owned()),
                false => Ok(()),
            };
        }
        match schema.fields().iter().find(|field| field.data_type == DataType::Binary) {
            Some(field) => Err(format!("column `{}` is of type binary, which a text format cannot hold", field.name)),
            None => Ok(()),
        }
    }

    pub(crate) fn columns_read(&self, schema: &Schema) -> Vec<bool> {
        match self {
            Self::Json | Self::Csv(_) | Self::Parquet(_) | Self::Arrow(_) => vec![true; schema.len()],
            Self::Lines(column) => {
                let read = line_column(column.as_deref(), schema).expect("the schema was checked");
                (0..schema.len()).map(|place| place == read).collect()
            }
        }
    }

    /// # Panics
    /// If [`EncoderConfig::check`] refuses the schema.
    pub(crate) fn open(&self, schema: &Schema, container: Container) -> Encoder {
        match self {
            Self::Json => Encoder::Json(json::JsonEncoder::new(schema)),
            Self::Csv(options) => Encoder::Csv(csv::CsvEncoder::new(*options, schema)),
            Self::Lines(column) => {
                Encoder::Lines(line_column(column.as_deref(), schema).expect("the schema was checked"))
            }
            Self::Parquet(options) => Encoder::Parquet(Box::new(ParquetEncoder::new(*options, schema))),
            Self::Arrow(options) => Encoder::Arrow(Box::new(ArrowEncoder::new(*options, schema, container))),
        }
    }
}

/// The place of the column that the format `lines` writes.
fn line_column(column: Option<&str>, schema: &Schema) -> Result<usize, String> {
    let place = match column {
        Some(name) => schema.index_of(name).ok_or_else(|| format!("there is no column `{name}` among {schema}"))?,
        None if schema.len() == 1 => 0,
        None => return Err(format!("the format `lines` writes one column; choose one of {schema} with `column`")),
    };
    let field = &schema.fields()[place];
    match field.data_type {
        DataType::Utf8 => Ok(place),
        _ => Err(format!("the format `lines` writes a utf8 column, and this is `{field}`")),
    }
}

/// Writes rows of one schema. Errors are those of data that the format cannot hold.
#[derive(Debug)]
pub(crate) enum Encoder {
    Json(json::JsonEncoder),
    Csv(csv::CsvEncoder),
    /// The place of the column.
    Lines(usize),
    Parquet(Box<ParquetEncoder>),
    Arrow(Box<ArrowEncoder>),
}

impl Encoder {
    /// Appends what stands before the first row.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Csv(encoder) => encoder.header(out),
            Self::Arrow(encoder) => encoder.begin(out),
            Self::Json(_) | Self::Lines(_) | Self::Parquet(_) => {}
        }
    }

    /// Appends the rows: as text, each with its line's end; else as soon as enough have come together.
    pub(crate) fn rows(&mut self, batch: &Batch, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Json(encoder) => encoder.rows(batch, out),
            Self::Csv(encoder) => encoder.rows(batch, out),
            Self::Lines(place) => lines(batch.column(*place).as_string_view(), out),
            Self::Parquet(encoder) => encoder.rows(batch, out)?,
            Self::Arrow(encoder) => encoder.rows(batch, out)?,
        }
        Ok(())
    }

    /// Bytes of rows that it has taken and not appended yet.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Self::Json(_) | Self::Csv(_) | Self::Lines(_) => 0,
            Self::Parquet(encoder) => encoder.held_bytes(),
            Self::Arrow(encoder) => encoder.held_bytes(),
        }
    }

    /// Appends all rows that it has taken, where the format can be read before its end.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Arrow(encoder) => encoder.flush(out),
            _ => Ok(()),
        }
    }

    /// Appends what is left, and what stands behind the last row.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Json(_) | Self::Csv(_) | Self::Lines(_) => Ok(()),
            Self::Parquet(encoder) => encoder.end(out),
            Self::Arrow(encoder) => encoder.end(out),
        }
    }
}

/// The one row of a batch as a JSON object. Bytes of a `binary` column are written as hexadecimal text; columns that the
/// batch does not hold are left out.
pub fn row_as_json(schema: &Schema, row: &Batch) -> String {
    rows_as_json(schema, row).trim_end().to_owned()
}

/// The rows of a batch as JSON lines, in the same way.
pub fn rows_as_json(schema: &Schema, batch: &Batch) -> String {
    let (schema, batch) = printable(schema, batch);
    let mut text = Vec::new();
    json::JsonEncoder::new(&schema).rows(&batch, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The rows of batches as CSV with a header, in the same way.
pub fn rows_as_csv(schema: &Schema, batches: &[Batch]) -> String {
    let options = CsvOptions::default();
    let mut text = Vec::new();
    csv::CsvEncoder::new(options, schema).header(&mut text);
    for batch in batches {
        let (schema, batch) = printable(schema, batch);
        csv::CsvEncoder::new(options, &schema).rows(&batch, &mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The columns that a batch holds, bytes as hexadecimal text.
fn printable(schema: &Schema, batch: &Batch) -> (Schema, Batch) {
    let present =
        schema.fields().iter().zip(&batch.columns).filter_map(|(field, column)| Some((field, column.as_ref()?)));
    let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = present
        .map(|(field, column)| match field.data_type {
            DataType::Binary => {
                let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
                let text: StringViewArray = column.as_binary_view().iter().map(|value| value.map(hex)).collect();
                (Field { data_type: DataType::Utf8, ..field.clone() }, Arc::new(text) as ArrayRef)
            }
            _ => (field.clone(), column.clone()),
        })
        .unzip();
    (Schema::new(fields).expect("columns of a schema are named once"), Batch::new(batch.rows, columns))
}

/// A null is an empty line. Text with line ends in it makes several lines.
fn lines(column: &StringViewArray, out: &mut Vec<u8>) {
    for text in column {
        out.extend_from_slice(text.unwrap_or_default().as_bytes());
        out.push(b'\n');
    }
}

/// A column of a text format, ready to be read row by row.
enum Cells<'a> {
    Integers(&'a Int64Array),
    Floats(&'a Float64Array),
    Booleans(&'a BooleanArray),
    Text(&'a StringViewArray),
}

impl<'a> Cells<'a> {
    /// The columns of a batch, all of which are there.
    fn of(batch: &'a Batch, schema: &Schema) -> Vec<Self> {
        let cells = |(place, field): (usize, &wasmill_model::Field)| {
            let column = batch.column(place);
            match field.data_type {
                DataType::Int64 | DataType::Timestamp => Self::Integers(column.as_primitive::<types::Int64Type>()),
                DataType::Float64 => Self::Floats(column.as_primitive::<types::Float64Type>()),
                DataType::Boolean => Self::Booleans(column.as_boolean()),
                DataType::Utf8 => Self::Text(column.as_string_view()),
                DataType::Binary => unreachable!("refused when the schema was checked"),
            }
        };
        schema.fields().iter().enumerate().map(cells).collect()
    }

    #[inline]
    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Integers(array) => array.is_null(row),
            Self::Floats(array) => array.is_null(row),
            Self::Booleans(array) => array.is_null(row),
            Self::Text(array) => array.is_null(row),
        }
    }
}

#[cfg(test)]
mod columnar_tests;
#[cfg(test)]
mod tests;
