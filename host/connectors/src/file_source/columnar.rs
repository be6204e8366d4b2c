//! Reading files that hold columns: which of them, as what, and batch by batch.

use std::{
    borrow::Cow,
    collections::VecDeque,
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
};

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::{ArrowError, DataType as ArrowType, Field as ArrowField, SchemaRef};
use serde_json::Value;
use wasmill_model::{
    Batch, DataType, Field, Schema,
    fault::Code,
    portions::{Asks, Given},
};

use crate::{
    BadRow, Error, Polled, Source, Split,
    bad_row::{AT_ONCE_MAX, kept_text},
    columns::ROWS_MAX,
    encode::row_as_json,
    file_source::Files,
    file_source::{
        arrow::ArrowFile,
        convert::{Converted, can_read, convert, own_type, without_nulls},
        nested_json,
        parquet::ParquetFile,
    },
    source_columns::SourceColumn,
};

/// The rows of a file as its format brings them.
pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// A format that holds columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Columnar {
    Parquet,
    Arrow,
}

/// A file whose schema was read.
pub(crate) enum Opened {
    Parquet(ParquetFile),
    Arrow(ArrowFile),
}

impl Columnar {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Arrow => "Arrow",
        }
    }

    fn damaged(self, split: &Split, reason: String) -> Error {
        Error::Damaged { file: split.to_string(), format: self.name(), reason }
    }

    /// Opens a file and reads its schema.
    pub(crate) fn open(self, split: &Split) -> Result<Opened, Error> {
        if split.is_standard_input() {
            assert_eq!(self, Self::Arrow, "Parquet from standard input is refused when the table is read");
            let opened = guarded(ArrowFile::open_standard_input);
            return opened.map(Opened::Arrow).map_err(|reason| self.damaged(split, reason));
        }
        let file = File::open(&split.path);
        let file = file.map_err(|source| Error::Read { doing: "open", path: split.path.clone(), source })?;
        let opened = guarded(|| match self {
            Self::Parquet => ParquetFile::open(file).map(Opened::Parquet),
            Self::Arrow => ArrowFile::open(file).map(Opened::Arrow),
        });
        opened.map_err(|reason| self.damaged(split, reason))
    }

    /// The columns of a file, all of them, as the types they have by themselves.
    pub(crate) fn columns_of(self, split: &Split) -> Result<Vec<SourceColumn>, Error> {
        let schema = self.open(split)?.schema();
        let refuse = |reason, hint| Error::Columns { file: split.to_string(), reason, hint };
        if let Some(found) = schema.fields().iter().find(|found| own_type(found.data_type()).is_none()) {
            let reason = format!("column `{}` is {}, which no type can hold", found.name(), found.data_type());
            return Err(refuse(reason, Some(hint_to_leave_out(&schema, found))));
        }
        let columns: Vec<SourceColumn> = schema.fields().iter().filter_map(|found| column_of(found)).collect();
        SourceColumn::schema(&columns).map_err(|e| refuse(e.to_string(), None))?;
        Ok(columns)
    }

    /// Checks that a file has all columns of a schema; returns the place of each in the file.
    pub(crate) fn places(
        self,
        split: &Split,
        schema: &SchemaRef,
        columns: &[SourceColumn],
    ) -> Result<Vec<usize>, Error> {
        let refuse = |reason, hint| Error::Columns { file: split.to_string(), reason, hint };
        let place = |column: &SourceColumn| {
            let Field { name, data_type, .. } = &column.field;
            let Some((place, found)) = schema.column_with_name(name) else {
                let names = schema.fields().iter().map(|field| format!("`{}`", field.name())).collect::<Vec<_>>();
                let hint = format!("it has {}", names.join(", "));
                return Err(refuse(format!("it has no column `{name}`"), Some(hint)));
            };
            if can_read(found.data_type(), column) {
                return Ok(place);
            }
            let reason = format!("column `{name}`: expected {data_type}, found {}", describe(found.data_type()));
            let hint = match own_type(found.data_type()) {
                _ if column.json => None,
                Some(own) => Some(format!("it can be read as {own}")),
                None if nested_json::can_write(found.data_type()) => {
                    let text = Field { data_type: DataType::Utf8, ..column.field.clone() };
                    let text = SourceColumn { json: true, ..SourceColumn::plain(text) };
                    Some(format!("`{}` reads it as JSON text", text.toml()))
                }
                None => Some(format!("leave `{name}` out of the schema: no type can hold it")),
            };
            Err(refuse(reason, hint))
        };
        columns.iter().map(place).collect()
    }

    pub(crate) fn source(self, files: Files, columns: &[SourceColumn], wanted: &[bool]) -> ColumnarSource {
        let schema = SourceColumn::schema(columns).expect("checked when the table was read");
        let wanted = (0..columns.len()).filter(|&place| wanted[place]).collect();
        ColumnarSource { format: self, files, columns: columns.to_vec(), schema, wanted, open: None, bad_max: 1 }
    }
}

impl Opened {
    pub(crate) fn schema(&self) -> SchemaRef {
        match self {
            Self::Parquet(file) => file.schema(),
            Self::Arrow(file) => file.schema(),
        }
    }

    /// The rows, of the columns at these places, in ascending order.
    pub(crate) fn read(self, places: Vec<usize>) -> Result<Batches, String> {
        match self {
            Self::Parquet(file) => file.read(&places),
            Self::Arrow(file) => file.read(places),
        }
    }
}

fn describe(found: &ArrowType) -> String {
    match own_type(found) {
        Some(own) => format!("{own} ({found})"),
        None => found.to_string(),
    }
}

/// What to write if one column cannot be read: a schema of all that can.
fn hint_to_leave_out(schema: &SchemaRef, odd: &ArrowField) -> String {
    let columns: Vec<String> = schema.fields().iter().filter_map(|found| column_of(found)).map(|c| c.toml()).collect();
    let what = match nested_json::can_write(odd.data_type()) {
        true => "with `json = true` it is read as JSON text",
        false => "leave it out",
    };
    format!("{what}: schema = {{ {} }}", columns.join(", "))
}

/// What a column of a file is read as if nothing is said: itself, or JSON text; `None` if it cannot be read.
pub(crate) fn column_of(found: &ArrowField) -> Option<SourceColumn> {
    let own = own_type(found.data_type());
    let nullable = found.is_nullable() || *found.data_type() == ArrowType::Null;
    let json = own.is_none() && nested_json::can_write(found.data_type());
    let data_type = own.or(json.then_some(DataType::Utf8))?;
    Some(SourceColumn { json, ..SourceColumn::plain(Field { name: found.name().clone(), data_type, nullable }) })
}

/// What reading foreign bytes comes to. The libraries that do it should not panic, whatever the bytes; if one does, it is
/// the file's fault all the same.
pub(crate) fn guarded<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(message.unwrap_or("it cannot be decoded").to_owned())
    })
}

/// Reads its files one after another.
pub(crate) struct ColumnarSource {
    format: Columnar,
    files: Files,
    columns: Vec<SourceColumn>,
    schema: Schema,
    /// The places, in `columns`, of those that somebody reads.
    wanted: Vec<usize>,
    open: Option<OpenFile>,
    /// Bad rows to bring at once: whoever polls on after the first one can take more.
    bad_max: usize,
}

struct OpenFile {
    split: Split,
    batches: Batches,
    /// For each column that is read: its place in the file's batches.
    places: Vec<usize>,
    /// Rows of the file that were read.
    rows_read: u64,
    /// Good rows that were not handed out yet, and how many of them were.
    ready: Option<(Batch, usize)>,
    bad: Option<Bad>,
}

/// Bad rows of a record batch that were not handed out yet.
struct Bad {
    /// The whole record batch.
    batch: Batch,
    /// Rows of the file before it.
    rows_before: u64,
    /// Row number in the batch, place of the column at fault, what was found there.
    rows: VecDeque<(usize, usize, Cow<'static, str>)>,
}

impl ColumnarSource {
    fn open(&self, split: Split) -> Result<OpenFile, Error> {
        let opened = self.format.open(&split)?;
        let wanted: Vec<SourceColumn> = self.wanted.iter().map(|&place| self.columns[place].clone()).collect();
        let in_file = self.format.places(&split, &opened.schema(), &wanted)?;
        let mut projection = in_file.clone();
        projection.sort_unstable();
        projection.dedup();
        let place = |place: &usize| projection.binary_search(place).expect("it is one of them");
        let places = in_file.iter().map(place).collect();
        let batches = guarded(|| opened.read(projection.clone()));
        let batches = batches.map_err(|reason| self.format.damaged(&split, reason))?;
        Ok(OpenFile { split, batches, places, rows_read: 0, ready: None, bad: None })
    }

    /// Reads the next record batch of the open file. False: there is none.
    fn advance(&self, open: &mut OpenFile) -> Result<bool, Error> {
        let damaged = |reason| self.format.damaged(&open.split, reason);
        let next = guarded(|| open.batches.next().transpose().map_err(|e| e.to_string())).map_err(damaged)?;
        let Some(found) = next else { return Ok(false) };
        let rows = found.num_rows();
        let mut columns: Vec<Option<ArrayRef>> = vec![None; self.columns.len()];
        let mut bad: Vec<(usize, usize, Cow<'static, str>)> = Vec::new();
        for (&place, &in_file) in self.wanted.iter().zip(&open.places) {
            let column = &self.columns[place];
            let converted = guarded(|| convert(found.column(in_file), column)).map_err(damaged)?;
            let Converted { array, bad: wrong } = converted;
            bad.extend(wrong.into_iter().map(|(row, reason)| (row, place, reason.into())));
            if !column.field.nullable
                && let Some(nulls) = array.nulls()
            {
                let nulls = (0..rows).filter(|&row| nulls.is_null(row));
                bad.extend(nulls.map(|row| (row, place, "found null".into())));
            }
            columns[place] = Some(array);
        }
        let mut batch = Batch { rows, event_times: None, columns, key_hashes: None, read_at_us: None };
        if !bad.is_empty() {
            bad.sort_by_key(|(row, place, _)| (*row, *place));
            bad.dedup_by_key(|(row, ..)| *row);
            let mut mask = vec![true; rows];
            bad.iter().for_each(|(row, ..)| mask[*row] = false);
            let good = batch.keep(&BooleanArray::from(mask));
            open.bad = Some(Bad { batch, rows_before: open.rows_read, rows: bad.into() });
            batch = good;
        }
        for &place in &self.wanted {
            if !self.columns[place].field.nullable {
                batch.columns[place] = Some(without_nulls(batch.column(place)));
            }
        }
        open.rows_read += rows as u64;
        open.ready = (batch.rows > 0).then_some((batch, 0));
        Ok(true)
    }

    /// The next bad rows of a record batch.
    fn take_bad(&self, bad: &mut Bad, split: &Split) -> Vec<BadRow> {
        let count = bad.rows.len().min(self.bad_max);
        let rows = bad.rows.drain(..count).map(|(row, place, found)| {
            let field = &self.columns[place].field;
            BadRow {
                code: Code::BadRow,
                file: split.to_string(),
                line: bad.rows_before + row as u64 + 1,
                column: Some(field.name.clone()),
                reason: format!("expected {}, {found}", field.data_type),
                hint: None,
                text: kept_text(row_as_json(&self.schema, &bad.batch.slice(row, 1)).as_bytes()),
            }
        });
        rows.collect()
    }
}

impl OpenFile {
    /// The next good rows, as many as make a batch.
    fn take_ready(&mut self) -> Option<Batch> {
        let (batch, taken) = self.ready.take()?;
        let rows = ROWS_MAX.min(batch.rows - taken);
        let next = if rows == batch.rows { batch.clone() } else { batch.slice(taken, rows) };
        if taken + rows < batch.rows {
            self.ready = Some((batch, taken + rows));
        }
        Some(next)
    }
}

impl Source for ColumnarSource {
    fn poll(&mut self, now_ms: i64) -> Result<Polled, Error> {
        loop {
            let Some(mut open) = self.open.take() else {
                let Some((split, _)) = self.files.begin() else { return Ok(self.files.nothing_waits(now_ms)) };
                self.open = Some(self.open(split)?);
                continue;
            };
            if let Some(batch) = open.take_ready() {
                self.open = Some(open);
                match self.files.good(batch) {
                    Some(batch) => return Ok(Polled::Batch { port: 0, batch }),
                    None => continue,
                }
            }
            if let Some(bad) = &mut open.bad {
                let rows = self.take_bad(bad, &open.split);
                if bad.rows.is_empty() {
                    open.bad = None;
                }
                self.open = Some(open);
                let rows = self.files.bad(rows);
                if rows.is_empty() {
                    continue;
                }
                self.bad_max = AT_ONCE_MAX;
                return Ok(Polled::Bad(rows));
            }
            match self.advance(&mut open)? {
                true => self.open = Some(open),
                false => self.files.end(),
            }
        }
    }

    fn positions(&self) -> Vec<Value> {
        self.files.positions()
    }

    fn asks(&self) -> Option<Asks> {
        // How many bytes of an open file were read is not known: a large one counts until it has ended.
        self.files.asks(0)
    }

    fn give(&mut self, given: &Given) {
        self.files.give(given);
    }
}
