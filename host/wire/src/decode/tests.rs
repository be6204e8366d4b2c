//! Batches come back as they went out; bytes that are none are refused.

use arrow_array::{Array, BinaryViewArray, StringViewArray, cast::AsArray};
use proptest::prelude::*;
use wasmill_model::Field;

use super::*;
use crate::{Assembly, Checksum, Decoder, Encoder, Frame};

fn layout(nullable: bool, event_times: bool, key_hashes: bool) -> Arc<Layout> {
    let field = |data_type: DataType| Field { name: data_type.to_string(), data_type, nullable };
    let fields: Vec<Field> =
        DataType::ALL.into_iter().map(field).chain([Field::new("unread", DataType::Utf8)]).collect();
    let wanted: Vec<bool> = fields.iter().map(|field| field.name != "unread").collect();
    Arc::new(Layout::new(&fields, &wanted, event_times, key_hashes))
}

/// Rows of all types: numbers, and text short and long; none where `null` says so.
fn batch(layout: &Layout, rows: &[(i64, String, bool)]) -> Batch {
    let nullable = layout.columns[0].expect("it is present").nullable;
    let value = |(number, text, null): &(i64, String, bool)| (!(nullable && *null)).then(|| (*number, text.clone()));
    let values: Vec<Option<(i64, String)>> = rows.iter().map(value).collect();
    let numbers: ArrayRef = Arc::new(values.iter().map(|v| v.as_ref().map(|v| v.0)).collect::<Int64Array>());
    let floats = values.iter().map(|v| v.as_ref().map(|v| v.0 as f64 / 3.0)).collect::<Float64Array>();
    let booleans = values.iter().map(|v| v.as_ref().map(|v| v.0 % 2 == 0)).collect::<BooleanArray>();
    let text = values.iter().map(|v| v.as_ref().map(|v| v.1.as_str())).collect::<StringViewArray>();
    let bytes = values.iter().map(|v| v.as_ref().map(|v| v.1.as_bytes())).collect::<BinaryViewArray>();
    let columns: Vec<ArrayRef> =
        vec![numbers.clone(), Arc::new(floats), numbers, Arc::new(booleans), Arc::new(text), Arc::new(bytes)];
    let mut batch = Batch::new(rows.len(), columns);
    batch.columns.push(None);
    batch.event_times = layout.event_times.then(|| rows.iter().map(|row| row.0 + 1).collect());
    batch.key_hashes = layout.key_hashes.then(|| rows.iter().map(|row| row.0 as u64).collect());
    batch.read_at_us = rows.first().map(|row| row.0).filter(|us| *us != i64::MIN);
    batch
}

/// The bytes of the message, through frames and back.
fn message(layout: &Arc<Layout>, batch: &Batch) -> Vec<u8> {
    let body = Encoder::new(layout.clone()).encode(batch).expect("it can be sent");
    let length = body.len();
    let (pieces, frames) = body.frames(1, 40, Checksum::Crc32c);
    let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.as_slice()).copied().collect();
    let (mut decoder, mut assembly, mut rest) = (Decoder::new(Checksum::Crc32c), Assembly::default(), &bytes[..]);
    for number in 0..frames {
        let frame = decoder.feed(&mut rest).expect("it was just written").expect("it is whole");
        let Frame::Data { channel: 1, sequence, more, body } = frame else { panic!("found {frame:?}") };
        assert_eq!((sequence, more), (40 + number, number + 1 < frames));
        if let Some(whole) = assembly.add(body, more).expect("it is small") {
            assert!(rest.is_empty());
            assert_eq!(whole.len(), length);
            return whole;
        }
    }
    panic!("no end comes")
}

fn assert_same(layout: &Layout, left: &Batch, right: &Batch) {
    assert_eq!((left.rows, &left.event_times, &left.key_hashes), (right.rows, &right.event_times, &right.key_hashes));
    assert_eq!(left.read_at_us, right.read_at_us);
    for (place, column) in layout.columns.iter().enumerate() {
        assert_eq!(left.columns[place], right.columns[place]);
        if let Some(array) = column.and(right.columns[place].as_ref()) {
            array.to_data().validate_full().expect("it is a valid array");
        }
    }
}

fn rows() -> impl Strategy<Value = Vec<(i64, String, bool)>> {
    prop::collection::vec((any::<i32>().prop_map(i64::from), "\\PC{0,40}", any::<bool>()), 0..80)
}

proptest! {
    #[test]
    fn batches_come_back(
        rows in rows(),
        flags in any::<(bool, bool, bool)>(),
        cut in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let layout = layout(flags.0, flags.1, flags.2);
        let whole = batch(&layout, &rows);
        let start = cut.0.index(rows.len() + 1);
        let part = whole.slice(start, cut.1.index(rows.len() - start + 1));
        for batch in [whole, part] {
            assert_same(&layout, &batch, &decode(&layout, message(&layout, &batch)).expect("it was just written"));
        }
    }

    #[test]
    fn changed_bytes_give_an_error_or_a_valid_batch(
        rows in rows(),
        nullable in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let layout = layout(nullable, true, true);
        let mut bytes = message(&layout, &batch(&layout, &rows));
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if cut {
            bytes.truncate(end.index(bytes.len()));
        }
        if let Ok(batch) = decode(&layout, bytes) {
            assert_same(&layout, &batch, &batch.clone());
            for column in batch.columns.iter().flatten() {
                assert_eq!(column.len(), batch.rows);
            }
        }
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(&layout(true, true, true), bytes).is_err());
    }
}

#[test]
fn large_batches_travel_in_several_frames() {
    let layout = layout(false, true, false);
    let rows: Vec<(i64, String, bool)> =
        (0..60_000).map(|n| (n, format!("a text that is long enough {n}"), false)).collect();
    let batch = batch(&layout, &rows);
    let bytes = message(&layout, &batch);
    assert!(bytes.len() > 2 * crate::FRAME_BYTES_MAX);
    assert_same(&layout, &batch, &decode(&layout, bytes).expect("it was just written"));
}

#[test]
fn a_part_of_a_large_block_is_sent_without_the_rest() {
    let field = Field::new("text", DataType::Utf8);
    let layout = Arc::new(Layout::new(&[field], &[true], false, false));
    let all: StringViewArray = (0..20_000).map(|n| Some(format!("a text that is long enough {n}"))).collect();
    let batch = Batch::new(20_000, vec![Arc::new(all)]);
    let held: usize = batch.column(0).as_string_view().data_buffers().iter().map(Buffer::len).sum();
    let part = batch.slice(5_000, 10);
    let bytes = message(&layout, &part);
    assert!(bytes.len() < 1_000 && held > 500_000, "{} of {held} bytes", bytes.len());
    assert_same(&layout, &part, &decode(&layout, bytes).expect("it was just written"));
}

#[test]
fn a_row_of_a_large_batch_does_not_carry_its_neighbours() {
    let layout = Arc::new(Layout::new(&[Field::new("text", DataType::Utf8)], &[true], false, false));
    let text = "x".repeat(20 << 20);
    let both = Batch::new(2, vec![Arc::new(StringViewArray::from_iter_values([&text, &text]))]);
    for row in 0..2 {
        let body = Encoder::new(layout.clone()).encode(&both.slice(row, 1)).expect("one is not too large");
        assert!(body.len() < (20 << 20) + 1_000);
    }
    assert!(matches!(Encoder::new(layout).encode(&both), Err(Error::TooLarge { .. })));
}

#[test]
fn what_the_layout_does_not_say_is_refused() {
    let rows: Vec<(i64, String, bool)> = (0..9).map(|n| (n, "text".to_owned(), n % 2 == 0)).collect();
    let nullable = layout(true, true, true);
    let with_nulls = message(&nullable, &batch(&nullable, &rows));
    for other in [layout(false, true, true), layout(true, false, true), layout(true, true, false)] {
        assert!(decode(&other, with_nulls.clone()).is_err());
    }
    let never = layout(false, false, false);
    assert!(Encoder::new(never.clone()).encode(&batch(&nullable, &rows)).is_err(), "a null where there is none");
    assert!(Encoder::new(nullable).encode(&batch(&never, &rows)).is_err(), "no event times");
    let mut fewer = Layout::clone(&never);
    fewer.columns.pop();
    fewer.columns.pop();
    assert!(decode(&fewer, message(&never, &batch(&never, &rows))).is_err(), "a column that nobody knows");
}

#[test]
fn bytes_at_an_odd_place_are_moved() {
    let layout = layout(true, true, true);
    let rows: Vec<(i64, String, bool)> = (0..9).map(|n| (n, "text".to_owned(), n % 2 == 0)).collect();
    let batch = batch(&layout, &rows);
    let bytes = message(&layout, &batch);
    // Wherever the allocator puts it, the batch is the same.
    for _ in 0..8 {
        assert_same(&layout, &batch, &decode(&layout, bytes.clone()).expect("it was just written"));
    }
}

#[test]
fn layouts_have_fingerprints_of_their_own() {
    let all: std::collections::BTreeSet<u64> =
        (0..8).map(|bits| layout(bits & 1 > 0, bits & 2 > 0, bits & 4 > 0).fingerprint()).collect();
    assert_eq!(all.len(), 8);
}
