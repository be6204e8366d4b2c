//! Rows as Parquet and Arrow, read back by the libraries of those formats.

use std::{io::Cursor, sync::Arc};

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow_array::{
    ArrayRef, BinaryViewArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray, cast::AsArray,
    types::TimestampMillisecondType,
};
use arrow_schema::{DataType as ArrowType, TimeUnit};
use tempfile::TempDir;
use wasmill_model::{Batch, DataType, Field, Schema};

use super::{Container, EncoderConfig};
use crate::testing::settings;

fn schema() -> Schema {
    let mut fields: Vec<Field> = DataType::ALL.map(|of| Field::nullable(of.name(), of)).to_vec();
    fields.push(Field::new("n", DataType::Int64));
    Schema::new(fields).expect("the names differ")
}

/// Rows of all types, every third value of each column null but in the last.
fn batch(from: usize, rows: usize) -> Batch {
    let some = |row: usize, shift: usize| !(row + shift).is_multiple_of(3);
    let row = |shift: usize| (from..from + rows).map(move |row| some(row, shift).then_some(row));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(row(0).map(|r| r.map(|r| r as i64 - 5)).collect::<Int64Array>()),
        Arc::new(row(1).map(|r| r.map(|r| r as f64 / 4.0)).collect::<Float64Array>()),
        Arc::new(row(2).map(|r| r.map(|r| 1_700_000_000_000 + r as i64)).collect::<Int64Array>()),
        Arc::new(row(0).map(|r| r.map(|r| r.is_multiple_of(2))).collect::<BooleanArray>()),
        Arc::new(row(1).map(|r| r.map(|r| format!("żółw {r} of many"))).collect::<StringViewArray>()),
        Arc::new(row(2).map(|r| r.map(|r| vec![0, r as u8, 255])).collect::<BinaryViewArray>()),
        Arc::new((from..from + rows).map(|r| r as i64).collect::<Int64Array>()),
    ];
    Batch::new(rows, columns)
}

/// What a sink would write of these batches.
fn written(keys: &str, container: Container, batches: &[Batch]) -> Vec<u8> {
    let config = EncoderConfig::read(&settings(keys)).expect("valid settings");
    assert_eq!(config.check(&schema()), Ok(()));
    let mut encoder = config.open(&schema(), container);
    let mut out = Vec::new();
    encoder.begin(&mut out);
    batches.iter().for_each(|batch| encoder.rows(batch, &mut out).expect("memory takes everything"));
    encoder.end(&mut out).expect("memory takes everything");
    assert_eq!(encoder.held_bytes(), 0);
    out
}

fn parquet(bytes: Vec<u8>) -> Vec<RecordBatch> {
    let folder = TempDir::new().expect("room for a folder");
    let path = folder.path().join("rows.parquet");
    std::fs::write(&path, bytes).expect("room on disk");
    let file = std::fs::File::open(path).expect("it is there");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build());
    reader.expect("Parquet").collect::<Result<_, _>>().expect("rows")
}

fn arrow_file(bytes: Vec<u8>) -> Vec<RecordBatch> {
    let reader = arrow_ipc::reader::FileReader::try_new(Cursor::new(bytes), None).expect("an Arrow file");
    reader.collect::<Result<_, _>>().expect("rows")
}

fn arrow_stream(bytes: Vec<u8>) -> Vec<RecordBatch> {
    let reader = arrow_ipc::reader::StreamReader::try_new(Cursor::new(bytes), None).expect("an Arrow stream");
    reader.collect::<Result<_, _>>().expect("rows")
}

/// Every value is as `batch(0, rows)` has it, under types that say what they are.
fn check(read: &[RecordBatch], rows: usize) {
    assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), rows);
    let mut from = 0;
    for record in read {
        let expected = batch(from, record.num_rows());
        let fields = record.schema();
        let names: Vec<&str> = fields.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, schema().names().collect::<Vec<_>>());
        assert_eq!(*fields.field(2).data_type(), ArrowType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())));
        assert!(fields.field(0).is_nullable() && !fields.field(6).is_nullable());
        for place in [0, 1, 3, 6] {
            assert_eq!(record.column(place), expected.column(place), "{}", names[place]);
        }
        let times = record.column(2).as_primitive::<TimestampMillisecondType>();
        assert!(times.iter().eq(expected.column(2).as_primitive::<arrow_array::types::Int64Type>().iter()));
        assert!(record.column(4).as_string::<i32>().iter().eq(expected.column(4).as_string_view().iter()));
        assert!(record.column(5).as_binary::<i32>().iter().eq(expected.column(5).as_binary_view().iter()));
        from += record.num_rows();
    }
}

#[test]
fn parquet_holds_all_types_and_nulls() {
    for compression in ["zstd", "snappy", "lz4", "gzip", "none"] {
        let keys = format!("format = \"parquet\"\ncompression = \"{compression}\"");
        check(&parquet(written(&keys, Container::File, &[batch(0, 100), batch(100, 4_000)])), 4_100);
    }
    check(&parquet(written("format = \"parquet\"", Container::Stream, &[])), 0);
}

#[test]
fn arrow_holds_all_types_and_nulls() {
    for compression in ["zstd", "lz4", "none"] {
        let keys = format!("format = \"arrow\"\ncompression = \"{compression}\"");
        let batches = [batch(0, 100), batch(100, 4_000)];
        check(&arrow_file(written(&keys, Container::File, &batches)), 4_100);
        check(&arrow_stream(written(&keys, Container::Stream, &batches)), 4_100);
    }
    check(&arrow_file(written("format = \"arrow\"", Container::File, &[])), 0);
}

#[test]
fn small_batches_become_few_record_batches() {
    let batches: Vec<Batch> = (0..1_000).map(|place| batch(place * 100, 100)).collect();
    let read = arrow_file(written("format = \"arrow\"", Container::File, &batches));
    check(&read, 100_000);
    assert!(read.len() < 20, "{} record batches", read.len());
}

/// More than is held in memory at once.
#[test]
fn row_groups_are_bounded() {
    let config =
        EncoderConfig::read(&settings("format = \"parquet\"\ncompression = \"none\"")).expect("valid settings");
    let schema = Schema::new(vec![Field::new("text", DataType::Utf8)]).expect("one name");
    let mut encoder = config.open(&schema, Container::File);
    let (mut out, mut held_max) = (Vec::new(), 0);
    for place in 0..200_000_usize.div_ceil(4_096) {
        // Too different for a dictionary, so that every byte counts.
        let value = |row: usize| Some(format!("{:0>1000}", (place * 4_096 + row).wrapping_mul(0x9e37_79b9)));
        let column: ArrayRef = Arc::new((0..4_096).map(value).collect::<StringViewArray>());
        encoder.rows(&Batch::new(4_096, vec![column]), &mut out).expect("memory takes everything");
        held_max = held_max.max(encoder.held_bytes());
    }
    assert!(!out.is_empty() && held_max < 80 << 20, "{held_max} bytes were held");
}

#[test]
fn rows_without_columns_are_refused() {
    for format in ["parquet", "arrow"] {
        let config = EncoderConfig::read(&settings(&format!("format = \"{format}\""))).expect("valid settings");
        let none = Schema::new(Vec::new()).expect("no names");
        assert_eq!(config.check(&none), Err("the rows have no columns, which the format cannot hold".to_owned()));
    }
}
