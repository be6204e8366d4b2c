//! Parquet and Arrow files: types, projection, damage.

use std::{fs, path::Path, sync::Arc};

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array,
    Int8Array, Int64Array, LargeStringArray, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt32Array, UInt64Array, types::*,
};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, GzipLevel, ZstdLevel},
    file::properties::WriterProperties,
};
use serde_json::{Value, json};

use super::{config, folder, put, shown};
use crate::testing::{all, drain, read, read_past_bad_rows, source};

const FORMATS: [&str; 3] = ["parquet", "arrow", "stream"];

fn bytes(format: &str, batches: &[RecordBatch]) -> Vec<u8> {
    let schema = batches[0].schema();
    let mut out = Vec::new();
    match format {
        "parquet" => {
            let mut writer = ArrowWriter::try_new(&mut out, schema, None).expect("a writer");
            batches.iter().for_each(|batch| writer.write(batch).expect("memory takes everything"));
            writer.close().expect("memory takes everything");
        }
        "arrow" => {
            let mut writer = FileWriter::try_new(&mut out, &schema).expect("a writer");
            batches.iter().for_each(|batch| writer.write(batch).expect("memory takes everything"));
            writer.finish().expect("memory takes everything");
        }
        _ => {
            let mut writer = StreamWriter::try_new(&mut out, &schema).expect("a writer");
            batches.iter().for_each(|batch| writer.write(batch).expect("memory takes everything"));
            writer.finish().expect("memory takes everything");
        }
    }
    out
}

/// A file of numbers, in record batches of odd sizes.
pub(super) fn of_numbers(format: &str, rows: i64) -> Vec<u8> {
    let cuts = (0..rows).step_by(3_333);
    let part = |from: i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(from..rows.min(from + 3_333))) };
    bytes(format, &cuts.map(|from| batch(vec![("n", part(from))])).collect::<Vec<_>>())
}

/// What a job file calls the format.
fn name(format: &str) -> &str {
    if format == "stream" { "arrow" } else { format }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .expect("columns of one length")
}

fn keys(format: &str, more: &str) -> String {
    format!("path = \"a\"\nformat = \"{}\"\n{more}", name(format))
}

/// The rows of a file of these batches, or why the source is refused or fails.
fn rows_of(format: &str, batches: &[RecordBatch], more: &str) -> Result<Vec<Value>, String> {
    let folder = folder();
    put(folder.path(), "a", bytes(format, batches));
    let text = format!("connector = \"file\"\n{}", keys(format, more));
    let config =
        source(&text, folder.path()).map_err(|e| e.to_string().replace(&*folder.path().to_string_lossy(), "DIR"))?;
    let (rows, result) = read(&config);
    shown(folder.path(), result).map(|()| rows)
}

fn sample() -> RecordBatch {
    let dictionary: DictionaryArray<Int32Type> =
        [Some("x"), None, Some("longer than twelve bytes")].into_iter().collect();
    batch(vec![
        ("tiny", Arc::new(Int8Array::from(vec![Some(-1), None, Some(3)]))),
        ("u32", Arc::new(UInt32Array::from(vec![Some(u32::MAX), None, Some(0)]))),
        ("u64", Arc::new(UInt64Array::from(vec![Some(7), None, Some(i64::MAX as u64)]))),
        ("f32", Arc::new(Float32Array::from(vec![Some(0.5), None, Some(-2.0)]))),
        (
            "money",
            Arc::new(
                Decimal128Array::from(vec![Some(12_345), None, Some(10_i128.pow(25) + 1)])
                    .with_precision_and_scale(38, 2)
                    .expect("digits that fit"),
            ),
        ),
        ("day", Arc::new(Date32Array::from(vec![Some(1), None, Some(-1)]))),
        ("s", Arc::new(TimestampSecondArray::from(vec![Some(2), None, Some(-2)]))),
        ("us", Arc::new(TimestampMicrosecondArray::from(vec![Some(1_500), None, Some(-1)]).with_timezone("+02:00"))),
        ("ns", Arc::new(TimestampNanosecondArray::from(vec![Some(2_999_999), None, Some(-1)]))),
        ("text", Arc::new(StringArray::from(vec![Some("käse"), None, Some("longer than twelve bytes")]))),
        ("large", Arc::new(LargeStringArray::from(vec![Some(""), None, Some("longer than twelve bytes")]))),
        ("word", Arc::new(dictionary)),
        ("yes", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("raw", Arc::new(BinaryArray::from(vec![Some(&b"\xff\0"[..]), None, Some(b"")]))),
    ])
}

#[test]
fn every_type_comes_out_as_one_of_ours() {
    let long = "longer than twelve bytes";
    let expected = [
        json!({"tiny": -1, "u32": 4_294_967_295_u32, "u64": 7, "f32": 0.5, "money": 123.45, "day": 86_400_000,
            "s": 2_000, "us": 1, "ns": 2, "text": "käse", "large": "", "word": "x", "yes": true, "raw": [255, 0]}),
        json!({"tiny": null, "u32": null, "u64": null, "f32": null, "money": null, "day": null,
            "s": null, "us": null, "ns": null, "text": null, "large": null, "word": null, "yes": null, "raw": null}),
        json!({"tiny": 3, "u32": 0, "u64": i64::MAX, "f32": -2.0, "money": 1.000_000_000_000_000_1e23, "day": -86_400_000,
            "s": -2_000, "us": -1, "ns": -1, "text": long, "large": long, "word": long, "yes": false, "raw": []}),
    ];
    for format in FORMATS {
        assert_eq!(rows_of(format, &[sample()], "").as_deref(), Ok(&expected[..]), "{format}");
    }
}

#[test]
fn a_schema_checks_projects_and_reorders() {
    let schema = "schema = { money = \"utf8?\", u32 = \"float64?\", tiny = { type = \"timestamp?\", unit = \"s\" } }";
    let expected = [
        json!({"money": "123.45", "u32": 4_294_967_295.0, "tiny": -1_000}),
        json!({"money": null, "u32": null, "tiny": null}),
        json!({"money": "100000000000000000000000.01", "u32": 0.0, "tiny": 3_000}),
    ];
    for format in FORMATS {
        assert_eq!(rows_of(format, &[sample()], schema).as_deref(), Ok(&expected[..]), "{format}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_what_was_expected_and_found() {
    let check = |schema: &str, expected: &str| {
        for format in FORMATS {
            let result = rows_of(format, &[sample()], &format!("schema = {{ {schema} }}"));
            assert_eq!(result, Err(format!("could not read DIR/a: {expected}")), "{format}");
        }
    };
    check(
        "f32 = \"int64\"",
        "column `f32`: expected int64, found float64 (Float32)\n  hint: it can be read as float64",
    );
    check("yes = \"utf8\"", "column `yes`: expected utf8, found boolean (Boolean)\n  hint: it can be read as boolean");
    check(
        "Text = \"utf8\"",
        "it has no column `Text`\n  hint: it has `tiny`, `u32`, `u64`, `f32`, `money`, `day`, `s`, `us`, `ns`, `text`, \
         `large`, `word`, `yes`, `raw`",
    );
    let odd = rows_of("parquet", &[sample()], "schema = { tiny = { type = \"int64\", path = \"a\" } }");
    assert!(odd.expect_err("no paths here").contains("unknown key `path`"));
    let text = "connector = \"file\"\npath = \"-\"\nformat = \"parquet\"";
    let error = source(text, Path::new(".")).expect_err("it has no end").to_string();
    assert!(error.contains("standard input"), "{error}");
}

fn nested() -> RecordBatch {
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None, Some(Vec::new())]);
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a\"b", "c", "d"]));
    let fields = vec![arrow_schema::Field::new("name", arrow_schema::DataType::Utf8, false)];
    let people = StructArray::new(fields.into(), vec![names], None);
    batch(vec![("n", Arc::new(Int64Array::from(vec![1, 2, 3]))), ("tags", Arc::new(list)), ("who", Arc::new(people))])
}

#[test]
fn nested_columns_are_refused_or_read_as_json_text() {
    for format in FORMATS {
        let error = rows_of(format, &[nested()], "").expect_err("no type can hold a list");
        assert!(error.contains("column `tags` is List("), "{error}");
        let hint = "schema = { n = \"int64?\", tags = { type = \"utf8?\", json = true }, \
                    who = { type = \"utf8?\", json = true } }";
        assert!(error.ends_with(hint), "{error}");
        let rows = rows_of(format, &[nested()], hint).expect("what the hint says can be pasted");
        let expected = [
            json!({"n": 1, "tags": "[1,null]", "who": "{\"name\":\"a\\\"b\"}"}),
            json!({"n": 2, "tags": null, "who": "{\"name\":\"c\"}"}),
            json!({"n": 3, "tags": "[]", "who": "{\"name\":\"d\"}"}),
        ];
        assert_eq!(rows, expected, "{format}");
    }
}

fn numbers(from: i64, rows: i64) -> RecordBatch {
    let values = from..from + rows;
    batch(vec![
        ("n", Arc::new(Int64Array::from_iter_values(values.clone()))),
        ("half", Arc::new(Float64Array::from_iter_values(values.clone().map(|n| n as f64 / 2.0)))),
        ("name", Arc::new(StringArray::from_iter_values(values.map(|n| format!("the number {n} in words"))))),
    ])
}

#[test]
fn large_files_come_in_batches_that_stay_small_whatever_packs_them() {
    let gzip = Compression::GZIP(GzipLevel::default());
    let zstd = Compression::ZSTD(ZstdLevel::default());
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, gzip, zstd, Compression::LZ4_RAW] {
        let properties =
            WriterProperties::builder().set_max_row_group_row_count(Some(7_000)).set_compression(compression);
        let mut out = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut out, numbers(0, 1).schema(), Some(properties.build())).expect("a writer");
        (0..5).for_each(|i| writer.write(&numbers(i * 10_000, 10_000)).expect("memory takes everything"));
        writer.close().expect("memory takes everything");
        check_numbers("parquet", out);
    }
    let batches: Vec<RecordBatch> = (0..5).map(|i| numbers(i * 10_000, 10_000)).collect();
    check_numbers("arrow", bytes("arrow", &batches));
    check_numbers("arrow", bytes("stream", &batches));
}

fn check_numbers(format: &str, bytes: Vec<u8>) {
    let folder = folder();
    put(folder.path(), "a", bytes);
    let config = config(folder.path(), &keys(format, ""));
    let splits = config.splits().expect("it is there");
    let (batches, result) =
        drain(config.open(0, 1, &splits, &[Some(vec![true, false, true])], None).expect("it opens"));
    result.expect("good rows");
    let mut next = 0;
    for (_, batch) in &batches {
        assert!((1..=4_096).contains(&batch.rows) && batch.columns[1].is_none());
        for (row, text) in crate::testing::rows(batch, &config.ports()[0].schema).iter().zip(next..) {
            assert_eq!(*row, json!({"n": text, "name": format!("the number {text} in words")}));
        }
        next += batch.rows as i64;
    }
    assert_eq!(next, 50_000);
    let (batches, _) = drain(config.open(0, 1, &splits, &[None], None).expect("it opens"));
    assert_eq!(batches.iter().map(|(_, batch)| batch.rows).sum::<usize>(), 50_000, "counted though nobody reads them");
}

#[test]
fn values_without_a_place_are_bad_rows() {
    let batch = batch(vec![
        ("big", Arc::new(UInt64Array::from(vec![Some(1), Some(u64::MAX), Some(3), None]))),
        ("at", Arc::new(TimestampSecondArray::from(vec![Some(1), Some(2), Some(i64::MAX), Some(4)]))),
    ]);
    for format in ["arrow", "stream"] {
        let folder = folder();
        put(folder.path(), "a", bytes(format, std::slice::from_ref(&batch)));
        let config = config(folder.path(), &keys(format, "schema = { big = \"int64\", at = \"timestamp\" }"));
        let (good, bad, result) = read_past_bad_rows(&config);
        result.expect("only rows are bad");
        assert_eq!(good, [json!({"big": 1, "at": 1_000})]);
        let shown: Vec<String> = bad.iter().map(ToString::to_string).collect();
        let file = folder.path().join("a").display().to_string();
        let expected = [
            "2: column `big`: expected int64, found 18446744073709551615, which is out of range",
            "3: column `at`: expected timestamp, found 9223372036854775807, which is out of range",
            "4: column `big`: expected int64, found null",
        ];
        assert_eq!(shown, expected.map(|text| format!("could not read {file}:{text}")), "{format}");
        assert_eq!(bad[2].text, "{\"big\":null,\"at\":4000}");
    }
}

#[test]
fn another_file_may_have_other_columns_beside_those_that_are_read() {
    let folder = folder();
    put(folder.path(), "1.parquet", bytes("parquet", &[numbers(0, 2)]));
    put(folder.path(), "2.parquet", bytes("parquet", &[nested()]));
    let text = "path = \"*.parquet\"\nformat = \"parquet\"\nschema = { n = \"int64\" }";
    let (rows, result) = read(&config(folder.path(), text));
    assert_eq!((rows.len(), shown(folder.path(), result)), (5, Ok(())));
    let text = "path = \"*.parquet\"\nformat = \"parquet\"";
    let (rows, result) = read(&config(folder.path(), text));
    let error = shown(folder.path(), result).expect_err("the second has no column `half`");
    assert_eq!(rows.len(), 2);
    assert_eq!(error, "could not read DIR/2.parquet: it has no column `half`\n  hint: it has `n`, `tags`, `who`");
}

#[test]
fn damaged_files_are_errors_that_name_the_file() {
    for format in FORMATS {
        let whole = bytes(format, &[sample(), sample()]);
        let schema = "schema = { text = \"utf8?\", word = \"utf8?\", u64 = \"int64?\", money = \"float64?\" }";
        let mut damaged: Vec<Vec<u8>> = (0..40).map(|i| whole[..whole.len() * i / 40].to_vec()).collect();
        for place in (0..whole.len()).step_by(whole.len() / 200 + 1) {
            let mut bytes = whole.clone();
            bytes[place] ^= 0xff;
            damaged.push(bytes);
        }
        let mut failed = 0;
        for bytes in damaged {
            let folder = folder();
            put(folder.path(), "a", bytes);
            let config = config(folder.path(), &keys(format, schema));
            let splits = match config.splits() {
                Ok(splits) => splits,
                Err(error) => {
                    assert!(shown(folder.path(), Err(error)).expect_err("it is one").contains("DIR/a"));
                    failed += 1;
                    continue;
                }
            };
            if let (_, Err(error)) =
                drain(config.open(0, 1, &splits, &all(&config), None).expect("nothing is opened yet"))
            {
                assert!(shown(folder.path(), Err(error)).expect_err("it is one").contains("DIR/a"));
                failed += 1;
            }
        }
        assert!(failed >= 40, "{format}: only {failed} damaged files were noticed");
    }
}

#[test]
fn a_text_file_is_no_parquet_file() {
    let folder = folder();
    fs::write(folder.path().join("a"), "{\"n\": 1}\n".repeat(10)).expect("room for a file");
    for format in ["parquet", "arrow"] {
        let error =
            source(&format!("connector = \"file\"\n{}", keys(format, "")), folder.path()).expect_err("it is text");
        let name = if format == "parquet" { "Parquet" } else { "Arrow" };
        assert!(error.to_string().contains(&format!("it is no {name} file, or damaged: ")), "{error}");
    }
}
