//! The encoding byte by byte, what it must keep, and the key groups.

use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*};

use super::*;

fn fields(types: &[DataType]) -> Vec<Field> {
    types.iter().enumerate().map(|(i, &t)| Field::nullable(format!("k{i}"), t)).collect()
}

fn ints(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringViewArray::from_iter(values.iter().copied()))
}

fn booleans(values: &[Option<bool>]) -> ArrayRef {
    Arc::new(BooleanArray::from(values.to_vec()))
}

fn bytes(values: &[Option<&[u8]>]) -> ArrayRef {
    Arc::new(BinaryViewArray::from_iter(values.iter().copied()))
}

fn encode(types: &[DataType], columns: &[&ArrayRef]) -> EncodedKeys {
    let mut encoder = KeyEncoder::new(&fields(types)).expect("key types");
    encoder.encode(columns, columns[0].len()).expect("short keys").clone()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Values that all implementations must agree on, as the documentation prints them.
#[test]
fn golden_vectors_are_those_of_the_documentation() {
    use DataType::*;
    let vectors: [(&[DataType], &[ArrayRef], &str); 12] = [
        (&[Int64], &[ints(&[Some(0)])], "int64 `0`"),
        (&[Int64], &[ints(&[Some(1)])], "int64 `1`"),
        (&[Int64], &[ints(&[Some(-1)])], "int64 `-1`"),
        (&[Int64], &[ints(&[Some(i64::MIN)])], "int64 `-9223372036854775808`"),
        (&[Int64], &[ints(&[None])], "int64 null"),
        (&[Timestamp], &[ints(&[Some(1_700_000_000_000)])], "timestamp `2023-11-14T22:13:20Z`"),
        (&[Boolean], &[booleans(&[Some(true)])], "boolean `true`"),
        (&[Utf8], &[texts(&[Some("")])], "utf8 `\"\"`"),
        (&[Utf8], &[texts(&[Some("wasm")])], "utf8 `\"wasm\"`"),
        (&[Utf8], &[texts(&[Some("Zoë")])], "utf8 `\"Zoë\"`"),
        (&[Binary], &[bytes(&[Some(&[0, 255])])], "binary `00 ff`"),
        (
            &[Utf8, Int64, Boolean],
            &[texts(&[Some("a")]), ints(&[Some(7)]), booleans(&[None])],
            "utf8 `\"a\"`, int64 `7`, boolean null",
        ),
    ];
    let documentation = include_str!("../../../../docs/reference/key-encoding.md");
    for (types, columns, name) in vectors {
        let keys = encode(types, &columns.iter().collect::<Vec<_>>());
        let hash = keys.hash()[0];
        let group = KeyGroups::default().key_group(hash);
        let line = format!("| {name} | `{}` | `{hash:016x}` | {group} |", hex(keys.get(0)));
        assert!(documentation.contains(&line), "the documentation does not have the line\n{line}");
    }
}

#[test]
fn float64_is_refused() {
    let fields = [Field::new("a", DataType::Int64), Field::new("price", DataType::Float64)];
    let expect = Err(Error::FloatKey { column: "price".into() });
    assert_eq!(check_key_types(&fields), expect);
    assert_eq!(KeyEncoder::new(&fields).map(|_| ()), expect);
    assert_eq!(check_key_types(&fields[..1]), Ok(()));
}

#[test]
fn keys_that_are_too_long_are_refused_and_leave_nothing_behind() {
    let longest = "x".repeat(KEY_BYTES_MAX - 5);
    let longer = "x".repeat(KEY_BYTES_MAX - 4);
    let mut encoder = KeyEncoder::new(&fields(&[DataType::Utf8])).expect("a key type");
    let column = texts(&[Some("a"), Some(&longest), Some(&longer)]);
    assert_eq!(encoder.encode(&[&column], 2).expect("within the limit").len(), 2);
    let error = encoder.encode(&[&column], 3).expect_err("over the limit");
    assert_eq!(error, Error::KeyTooLong { row: 2, bytes: KEY_BYTES_MAX + 1 });
    assert!(encoder.keys().is_empty());
    assert_eq!(encoder.encode(&[&column], 1).expect("short").len(), 1);
}

#[test]
fn only_keys_of_these_columns_are_decoded() {
    let check = |types: &[DataType], key: &[u8], column: Option<&str>| {
        let result = decode([key].into_iter(), &fields(types)).map(|_| ());
        let expect = column.map_or(Ok(()), |c| Err(Error::Malformed { key: 0, column: c.into() }));
        assert_eq!(result, expect, "{key:?} as {types:?}");
    };
    use DataType::*;
    check(&[Boolean, Boolean], &[1, 1, 0], None);
    check(&[Boolean, Boolean], &[1, 1], Some("k1"));
    check(&[Boolean, Boolean], &[1, 1, 0, 0], Some("k1"));
    check(&[Boolean], &[2], Some("k0"));
    check(&[Boolean], &[1, 2], Some("k0"));
    check(&[Int64], &[1, 0, 0, 0], Some("k0"));
    check(&[Utf8], &[1, 0, 0, 0, 2, b'a'], Some("k0"));
    check(&[Utf8], &[1, 255, 255, 255, 255, b'a'], Some("k0"));
    check(&[Utf8], &[1, 0, 0, 0, 1, 0xFF], Some("k0"));
    check(&[Binary], &[1, 0, 0, 0, 1, 0xFF], None);
    check(&[], &[], None);
}

#[test]
fn fixed_is_given_for_keys_of_one_length_only() {
    let keys = |keys: &[&[u8]]| {
        let mut encoded = EncodedKeys::default();
        keys.iter().for_each(|key| encoded.push(key));
        encoded
    };
    assert_eq!(keys(&[b"ab", b"cd"]).fixed::<2>(), Some(&[*b"ab", *b"cd"][..]));
    assert_eq!(keys(&[b"a", b"bcd"]).fixed::<2>(), None);
    assert_eq!(keys(&[b"ab", b"c"]).fixed::<2>(), None);
    let mut extended = keys(&[b"x"]);
    extended.extend_fixed([b"ab", b"cd"].into_iter());
    assert_eq!(extended, keys(&[b"x", b"ab", b"cd"]));
}

#[test]
fn key_groups_are_spread_over_subtasks_as_in_flink() {
    let check = |count: u32, parallelism: u32, expect: &[Range<u32>]| {
        let groups = KeyGroups::new(count).expect("a number of key groups");
        let ranges: Vec<_> = (0..parallelism).map(|subtask| groups.range(subtask, parallelism)).collect();
        assert_eq!(ranges, expect, "{count} key groups, parallelism {parallelism}");
    };
    check(2, 2, &[0..1, 1..2]);
    check(128, 3, &[0..43, 43..86, 86..128]);
    check(10, 4, &[0..3, 3..5, 5..8, 8..10]);
    check(4, 4, &[0..1, 1..2, 2..3, 3..4]);
    for bad in [0, KEY_GROUPS_MAX + 1] {
        assert_eq!(KeyGroups::new(bad), Err(Error::KeyGroups { count: bad }));
    }
    assert_eq!(KeyGroups::new(KEY_GROUPS_MAX).map(KeyGroups::count), Ok(KEY_GROUPS_MAX));
}

/// A row of a key of every type.
type Row = (Option<i64>, Option<bool>, Option<String>, Option<Vec<u8>>);

fn columns(rows: &[Row]) -> [ArrayRef; 4] {
    [
        ints(&rows.iter().map(|r| r.0).collect::<Vec<_>>()),
        booleans(&rows.iter().map(|r| r.1).collect::<Vec<_>>()),
        texts(&rows.iter().map(|r| r.2.as_deref()).collect::<Vec<_>>()),
        bytes(&rows.iter().map(|r| r.3.as_deref()).collect::<Vec<_>>()),
    ]
}

const TYPES: [DataType; 4] = [DataType::Int64, DataType::Boolean, DataType::Utf8, DataType::Binary];

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let text = prop_oneof!["[a-c]{0,3}", "\\PC{0,20}"];
    vec(
        (option::of(any::<i64>()), option::of(any::<bool>()), option::of(text), option::of(vec(any::<u8>(), 0..20))),
        0..40,
    )
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(rows in rows()) {
        let columns = columns(&rows);
        let keys = encode(&TYPES, &columns.each_ref());
        let decoded = decode(keys.iter(), &fields(&TYPES)).expect("it was encoded");
        for (before, after) in columns.iter().zip(&decoded) {
            prop_assert_eq!(before.to_data(), after.to_data());
        }
    }

    #[test]
    fn keys_are_equal_exactly_if_their_values_are_and_none_begins_another(rows in rows()) {
        let keys = encode(&TYPES, &columns(&rows).each_ref());
        let mut seen = BTreeMap::new();
        for (row, key) in rows.iter().zip(keys.iter()) {
            prop_assert_eq!(seen.entry(key).or_insert(row), &row);
        }
        for (a, b) in seen.keys().zip(seen.keys().skip(1)) {
            prop_assert!(!b.starts_with(a));
        }
    }

    #[test]
    fn fast_ways_encode_as_the_general_one_does(values in vec(any::<i64>(), 0..40), text in vec("\\PC{0,20}", 0..40)) {
        let present = ints(&values.iter().copied().map(Some).collect::<Vec<_>>());
        let mut with_null: Vec<Option<i64>> = values.iter().copied().map(Some).collect();
        with_null.push(None);
        let (fast, slow) = (encode(&[DataType::Int64], &[&present]), encode(&[DataType::Int64], &[&ints(&with_null)]));
        prop_assert!(fast.iter().eq(slow.iter().take(values.len())));
        prop_assert!(fast.hash().iter().eq(slow.hash().iter().take(values.len())));
        let text = texts(&text.iter().map(|t| Some(t.as_str())).collect::<Vec<_>>());
        let flags = booleans(&vec![None; text.len()]);
        let (one, two) = (
            encode(&[DataType::Utf8], &[&text]),
            encode(&[DataType::Utf8, DataType::Boolean], &[&text, &flags]),
        );
        prop_assert!(one.iter().map(|k| [k, &[0]].concat()).eq(two.iter().map(<[u8]>::to_vec)));
    }

    #[test]
    fn the_order_of_numbers_is_the_order_of_their_keys(a in option::of(any::<i64>()), b in option::of(any::<i64>())) {
        let keys = encode(&[DataType::Timestamp], &[&ints(&[a, b])]);
        prop_assert_eq!(keys.get(0).cmp(keys.get(1)), a.cmp(&b));
    }

    #[test]
    fn a_subtask_keeps_the_key_groups_of_its_range(
        count in 1..=KEY_GROUPS_MAX, parallelism in 1..=KEY_GROUPS_MAX, hash in any::<u64>()
    ) {
        let (groups, parallelism) = (KeyGroups::new(count).expect("in range"), parallelism.min(count));
        let group = groups.key_group(hash);
        prop_assert_eq!(u64::from(group), hash % u64::from(count));
        let subtask = groups.subtask(group, parallelism);
        prop_assert!(subtask < parallelism && groups.range(subtask, parallelism).contains(&group));
        prop_assert_eq!(groups.range(parallelism - 1, parallelism).end, count);
        let next = groups.range((subtask + 1) % parallelism, parallelism).start;
        prop_assert_eq!(next, groups.range(subtask, parallelism).end % count);
    }
}
