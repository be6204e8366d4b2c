//! Columns of CSV: the names of the header, and what the fields under them look like.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use wasmill_model::{DataType, Field};

use super::{InferOptions, Inferred, InferredColumn, Kinds, kinds::Found};
use crate::{
    Error, Split,
    file_source::{Block, Blocks, Piece},
    number::{Number, rfc3339_ms},
    source_columns::SourceColumn,
};

const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Fields that a row may have.
const FIELDS_MAX: usize = 65_536;

/// The character that most often stands between the fields of the first line; `None` if none of them is there.
pub(super) fn delimiter_of(text: &[u8]) -> Option<u8> {
    let mut counts = [0; DELIMITERS.len()];
    let mut quoted = false;
    for byte in text {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            byte if !quoted => {
                if let Some(place) = DELIMITERS.iter().position(|delimiter| delimiter == byte) {
                    counts[place] += 1;
                }
            }
            _ => {}
        }
    }
    let most = counts.iter().copied().max().filter(|most| *most > 0)?;
    counts.iter().position(|count| *count == most).map(|place| DELIMITERS[place])
}

/// The rows of a file, one by one.
struct Rows {
    blocks: Blocks,
    block: Option<Block>,
    core: Reader,
    /// Whether the file ended inside of a row: in a quoted field.
    broken_off: bool,
}

impl Rows {
    /// The next row's fields; `None` at the end.
    fn next(&mut self) -> Result<Option<Vec<String>>, Error> {
        let (mut text, mut ends) = (vec![0; 4 << 10], vec![0; 16]);
        let (mut written, mut fields, mut begun) = (0, 0, false);
        loop {
            let Some(block) = &mut self.block else {
                self.broken_off = begun;
                return Ok(None);
            };
            if !begun {
                while let Some(b'\r' | b'\n') = block.bytes.get(block.at) {
                    block.at += 1;
                }
            }
            if block.at == block.bytes.len() {
                self.block = match self.blocks.next()? {
                    Some(Piece::Lines(block)) => Some(block),
                    _ => None,
                };
                continue;
            }
            let (result, read, more, found) =
                self.core.read_record(&block.bytes[block.at..], &mut text[written..], &mut ends[fields..]);
            block.at += read;
            begun |= read > 0;
            written += more;
            fields += found;
            match result {
                ReadRecordResult::OutputFull => text.resize(2 * text.len(), 0),
                ReadRecordResult::OutputEndsFull if ends.len() < FIELDS_MAX => ends.resize(2 * ends.len(), 0),
                ReadRecordResult::OutputEndsFull | ReadRecordResult::Record => break,
                ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
            }
        }
        let starts = std::iter::once(0).chain(ends[..fields].iter().copied());
        let fields = starts.zip(&ends[..fields]).map(|(start, end)| String::from_utf8_lossy(&text[start..*end]));
        Ok(Some(fields.map(|field| field.into_owned()).collect()))
    }
}

pub(super) fn infer(
    split: &Split,
    blocks: Blocks,
    first: Option<Block>,
    options: InferOptions<'_>,
) -> Result<Inferred, Error> {
    let sniffed = first.as_ref().and_then(|block| delimiter_of(&block.bytes[block.at..]));
    let delimiter = options.delimiter.or(sniffed).unwrap_or(b',');
    let mut rows =
        Rows { blocks, block: first, core: ReaderBuilder::new().delimiter(delimiter).build(), broken_off: false };
    let Some(header) = rows.next()? else {
        let reason = "it is empty: nothing says which columns it has".to_owned();
        return Err(Error::Columns { file: split.to_string(), reason, hint: None });
    };
    let mut kinds = vec![Kinds::default(); header.len()];
    let (mut count, mut odd, mut complete) = (0, 0, true);
    while let Some(row) = rows.next()? {
        if count == options.rows_max {
            complete = false;
            break;
        }
        count += 1;
        if row.len() != header.len() {
            odd += 1;
            continue;
        }
        row.iter().zip(&mut kinds).for_each(|(field, kinds)| look(field, kinds));
    }
    let mut notes = Vec::new();
    if odd > 0 {
        notes.push(format!(
            "{odd} of the rows do not have {} fields, as the header has, and cannot be read",
            header.len()
        ));
    }
    if rows.broken_off {
        let row = count + 1;
        notes.push(format!(
            "a quoted field of row {row} is not closed before the end of the file, which cannot be read"
        ));
    }
    let mut columns: Vec<InferredColumn> = Vec::new();
    for (name, kinds) in header.iter().zip(&kinds) {
        if columns.iter().any(|column| column.name == *name) {
            notes.push(format!("several columns are called `{name}`: the first is read"));
            continue;
        }
        columns.push(column(name, kinds, count));
    }
    Ok(Inferred { format: "csv", delimiter: Some(delimiter), rows: count, complete, columns, notes })
}

fn look(field: &str, kinds: &mut Kinds) {
    // A number that begins with a zero is more likely a code, which would lose it.
    let is_code = |text: &str| text.len() > 1 && text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    match field {
        "" => kinds.null = true,
        "true" | "false" => kinds.boolean = true,
        "NaN" | "inf" | "-inf" => kinds.float = true,
        text if is_code(text) => kinds.text = true,
        text => match Number::scan(text.as_bytes()) {
            Some((number, length)) if length == text.len() => match number.integer() {
                Ok(value) if !text.contains(['.', 'e', 'E']) => kinds.integer(value),
                _ => kinds.float = true,
            },
            _ if rfc3339_ms(text).is_some() => kinds.time = true,
            _ => kinds.text = true,
        },
    }
}

fn column(name: &str, kinds: &Kinds, rows: u64) -> InferredColumn {
    let (data_type, note) = match kinds.found() {
        Found::One(data_type) => (data_type, None),
        Found::Mixed(kinds) => (DataType::Utf8, Some(format!("{kinds} were seen"))),
        Found::Nothing if rows == 0 => (DataType::Utf8, Some("there are no rows: nothing says what it holds".into())),
        Found::Nothing => (DataType::Utf8, Some("only empty fields were seen".to_owned())),
    };
    // An empty field is empty text, not a null.
    let nullable = kinds.null && data_type != DataType::Utf8;
    let column = SourceColumn::plain(Field { name: name.to_owned(), data_type, nullable });
    let note = note.or_else(|| {
        let unit = kinds.time_unit(name)?;
        let mut time = column.clone();
        time.field.data_type = DataType::Timestamp;
        time.unit = unit;
        Some(format!("may be a time: {}", time.toml()))
    });
    InferredColumn::new(&column, note)
}
