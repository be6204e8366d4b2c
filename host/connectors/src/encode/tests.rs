//! Rows as JSON, CSV and lines, to the byte.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryViewArray, BooleanArray, Float64Array, Int64Array, StringViewArray};
use proptest::prelude::*;
use wasmill_model::{Batch, DataType, Field, Schema};

use super::{Container, EncoderConfig};
use crate::{
    SinkPlace,
    csv_options::CsvOptions,
    testing::{read, rows, settings, source},
};

const CSV: CsvOptions = CsvOptions { header: true, delimiter: b',', quote: b'"' };

fn schema() -> Schema {
    Schema::new(vec![
        Field::nullable("i", DataType::Int64),
        Field::nullable("f", DataType::Float64),
        Field::nullable("t", DataType::Timestamp),
        Field::nullable("b", DataType::Boolean),
        Field::nullable("a \"name\"", DataType::Utf8),
    ])
    .expect("the names differ")
}

type Row<'a> = (Option<i64>, Option<f64>, Option<i64>, Option<bool>, Option<&'a str>);

fn batch(rows: &[Row]) -> Batch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.3).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| row.4).collect::<StringViewArray>()),
    ];
    Batch::new(rows.len(), columns)
}

fn text(config: &EncoderConfig, schema: &Schema, batch: &Batch) -> String {
    let mut encoder = config.open(schema, Container::File);
    let mut out = Vec::new();
    encoder.begin(&mut out);
    encoder.rows(batch, &mut out).and_then(|()| encoder.end(&mut out)).expect("text takes everything");
    String::from_utf8(out).expect("text")
}

#[test]
fn json() {
    let check = |row: Row, expected: &str| {
        assert_eq!(text(&EncoderConfig::Json, &schema(), &batch(&[row])), format!("{expected}\n"));
    };
    check(
        (Some(-17), Some(0.1), Some(1_517_966_773_840), Some(true), Some("a")),
        r#"{"i":-17,"f":0.1,"t":1517966773840,"b":true,"a \"name\"":"a"}"#,
    );
    check((None, None, None, None, None), r#"{"i":null,"f":null,"t":null,"b":null,"a \"name\"":null}"#);
    check(
        (Some(i64::MIN), Some(f64::NAN), Some(i64::MAX), Some(false), Some("")),
        r#"{"i":-9223372036854775808,"f":null,"t":9223372036854775807,"b":false,"a \"name\"":""}"#,
    );
    check(
        (Some(0), Some(f64::INFINITY), Some(0), None, Some("\"\\/\u{8}\u{c}\n\r\t\0\u{1f}\u{7f}ä\u{1f600}")),
        r#"{"i":0,"f":null,"t":0,"b":null,"a \"name\"":"\"\\/\b\f\n\r\t\u0000\u001fXä😀"}"#
            .replace('X', "\u{7f}")
            .as_str(),
    );
    check((None, Some(1e300), None, None, None), r#"{"i":null,"f":1e300,"t":null,"b":null,"a \"name\"":null}"#);
    check((None, Some(-0.0), None, None, None), r#"{"i":null,"f":-0.0,"t":null,"b":null,"a \"name\"":null}"#);
}

#[test]
fn json_without_columns() {
    let schema = Schema::new(Vec::new()).expect("no names");
    let batch = Batch { rows: 2, event_times: None, columns: Vec::new(), key_hashes: None, read_at_us: None };
    assert_eq!(text(&EncoderConfig::Json, &schema, &batch), "{}\n{}\n");
}

#[test]
fn csv() {
    let header = "i,f,t,b,\"a \"\"name\"\"\"\n";
    let check = |row: Row, expected: &str| {
        assert_eq!(text(&EncoderConfig::Csv(CSV), &schema(), &batch(&[row])), format!("{header}{expected}\n"));
    };
    check((Some(-17), Some(0.1), Some(0), Some(true), Some("a")), "-17,0.1,0,true,a");
    check((None, None, None, None, None), ",,,,");
    check((None, Some(f64::NAN), None, None, Some("a,b")), ",NaN,,,\"a,b\"");
    check((None, Some(f64::NEG_INFINITY), None, None, Some("say \"a\"")), ",-inf,,,\"say \"\"a\"\"\"");
    check((None, None, None, None, Some("a\nb\r")), ",,,,\"a\nb\r\"");
    check((None, None, None, None, Some(" a ;")), ",,,, a ;");
    assert_eq!(text(&EncoderConfig::Csv(CSV), &schema(), &batch(&[])), header, "a header also without rows");
}

#[test]
fn csv_as_the_table_wants_it() {
    let schema = Schema::new(vec![Field::nullable("s", DataType::Utf8)]).expect("one name");
    let column: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a'b;c"), None, Some("")]));
    let options = CsvOptions { header: false, delimiter: b';', quote: b'\'' };
    // A line with nothing on it would be no row.
    assert_eq!(text(&EncoderConfig::Csv(options), &schema, &Batch::new(3, vec![column])), "'a''b;c'\n''\n''\n");
}

#[test]
fn lines() {
    let schema = schema();
    let config = EncoderConfig::Lines(Some("a \"name\"".into()));
    assert_eq!(config.check(&schema), Ok(()));
    assert_eq!(config.columns_read(&schema), [false, false, false, false, true]);
    let mut batch = batch(&[(None, None, None, None, Some("a")), (None, None, None, None, None)]);
    batch.columns[..4].fill(None);
    assert_eq!(text(&config, &schema, &batch), "a\n\n", "columns it does not read may be missing");
}

#[test]
fn schemas_that_are_refused() {
    let check = |config: &EncoderConfig, fields: Vec<Field>, expected: Result<(), &str>| {
        let schema = Schema::new(fields).expect("the names differ");
        assert_eq!(config.check(&schema), expected.map_err(str::to_owned), "{config:?}");
    };
    let binary = || vec![Field::new("a", DataType::Int64), Field::new("raw", DataType::Binary)];
    let refused = Err("column `raw` is of type binary, which a text format cannot hold");
    check(&EncoderConfig::Json, binary(), refused);
    check(&EncoderConfig::Csv(CSV), binary(), refused);
    let lines = |column: Option<&str>| EncoderConfig::Lines(column.map(str::to_owned));
    check(&lines(None), vec![Field::nullable("s", DataType::Utf8)], Ok(()));
    check(
        &lines(None),
        binary(),
        Err("the format `lines` writes one column; choose one of { a: int64, raw: binary } with `column`"),
    );
    check(&lines(Some("b")), binary(), Err("there is no column `b` among { a: int64, raw: binary }"));
    check(&lines(Some("a")), binary(), Err("the format `lines` writes a utf8 column, and this is `a: int64`"));
    check(&lines(Some("raw")), binary(), Err("the format `lines` writes a utf8 column, and this is `raw: binary`"));
}

#[test]
fn the_blackhole_takes_every_schema_and_reads_all_of_it() {
    let schema = Schema::new(vec![Field::new("raw", DataType::Binary)]).expect("one name");
    let config = crate::testing::sink("connector = \"blackhole\"", ".".as_ref()).expect("valid settings");
    assert_eq!(config.check(&schema), Ok(()));
    assert_eq!(config.columns_read(&schema), [true]);
    let mut sink = config.open(&schema, SinkPlace::only(true), None).expect("nothing to open");
    let column: ArrayRef = Arc::new(BinaryViewArray::from_iter_values([b"a"]));
    sink.write(&Batch::new(1, vec![column])).expect("it takes everything");
    sink.prepare().and_then(|_| sink.commit()).expect("nothing to do");
}

#[test]
fn settings_that_are_refused() {
    let read = |text: &str| EncoderConfig::read(&settings(text)).map(|_| ()).map_err(|e| e.to_string());
    assert_eq!(read(""), Ok(()), "json unless said otherwise");
    assert_eq!(
        read("format = \"jsonl\""),
        Err("job.toml:1: format: expected one of \"json\", \"lines\", \"csv\", \"parquet\" or \"arrow\", found \"jsonl\"\n  \
             hint: did you mean `json`?"
            .into())
    );
    assert_eq!(
        read("format = \"csv\"\nheader = 1"),
        Err("job.toml:2: header: expected true or false, found an integer".into())
    );
}

fn cell_text() -> impl Strategy<Value = String> {
    prop_oneof![".*", "[\"',;\\\\\\n\\r\\t a]*", "[a-z]{10,15}"]
}

proptest! {
    /// What is written is read back the same, but for what the format cannot tell apart.
    #[test]
    fn round_trips(
        cells in prop::collection::vec(
            (any::<Option<i64>>(), any::<Option<f64>>(), any::<Option<i64>>(), any::<Option<bool>>(), cell_text(), any::<bool>()),
            1..50,
        ),
    ) {
        let row = |(i, f, t, b, s, null): &(_, _, _, _, String, bool)| (*i, *f, *t, *b, (!null).then_some(s.clone()));
        let owned: Vec<_> = cells.iter().map(row).collect();
        let borrowed: Vec<Row> = owned.iter().map(|(i, f, t, b, s)| (*i, *f, *t, *b, s.as_deref())).collect();
        let batch = batch(&borrowed);
        let folder = tempfile::tempdir().expect("room for a folder");
        for (format, config) in [("json", EncoderConfig::Json), ("csv", EncoderConfig::Csv(CSV))] {
            let path = folder.path().join("rows");
            std::fs::write(&path, text(&config, &schema(), &batch)).expect("room for a file");
            let types = "{ i = \"int64?\", f = \"float64?\", t = \"timestamp?\", b = \"boolean?\", 'a \"name\"' = \"utf8?\" }";
            let table = format!("connector = \"file\"\npath = \"rows\"\nformat = \"{format}\"\nschema = {types}");
            let (read, result) = read(&source(&table, folder.path()).expect("valid settings"));
            prop_assert!(result.is_ok(), "{format} {:?}", result);
            let mut expected = rows(&batch, &schema());
            if format == "csv" {
                // In CSV, no text is empty text.
                expected.iter_mut().filter(|row| row["a \"name\""].is_null()).for_each(|row| row["a \"name\""] = "".into());
            }
            prop_assert_eq!(read, expected, "{}", format);
        }
    }
}
