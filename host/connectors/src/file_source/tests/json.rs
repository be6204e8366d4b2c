//! The rules of the format `json`.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{config, folder, put, read, shown};
use crate::testing::{drain, rows};

const SCHEMA: &str =
    "{ i = \"int64?\", f = \"float64?\", t = \"timestamp?\", b = \"boolean?\", s = \"utf8?\", x = \"utf8?\" }";

/// What comes of these lines under a schema: the rows, and what went wrong behind them.
fn read_lines(schema: &str, text: &str) -> (Vec<Value>, Result<(), String>) {
    let folder = folder();
    put(folder.path(), "a.jsonl", text);
    let keys = format!("path = \"a.jsonl\"\nformat = \"json\"\nschema = {schema}");
    let (rows, result) = read(&config(folder.path(), &keys));
    (rows, shown(folder.path(), result))
}

/// The value of a column in the one row of a text.
fn value(name: &str, text: &str) -> Value {
    let (rows, result) = read_lines(SCHEMA, text);
    assert_eq!(result, Ok(()), "{text}");
    assert_eq!(rows.len(), 1, "{text}");
    rows[0][name].clone()
}

#[test]
fn values() {
    let check = |name: &str, text: &str, expected: Value| {
        for text in [format!("{{\"{name}\":{text}}}"), format!("\t{{ \"{name}\" :  {text}\t, \"y\": 1 }} \r\n")] {
            assert_eq!(value(name, &text), expected, "{text}");
        }
    };
    check("i", "-17", json!(-17));
    check("i", "1.0", json!(1));
    check("i", "1e3", json!(1_000));
    check("i", "9223372036854775807", json!(i64::MAX));
    check("i", "null", Value::Null);
    check("f", "17", json!(17.0));
    check("f", "-1.5e-3", json!(-0.0015));
    check("f", "0.1", json!(0.1));
    check("t", "1517966773840", json!(1_517_966_773_840_i64));
    check("t", "\"2018-02-07T01:26:13.840Z\"", json!(1_517_966_773_840_i64));
    check("t", "\"2018-02-07T03:26:13.84+02:00\"", json!(1_517_966_773_840_i64));
    check("b", "true", json!(true));
    check("b", "false", json!(false));
    check("b", "null", Value::Null);
    check("s", "\"\"", json!(""));
    check("s", "\"twelve bytes\"", json!("twelve bytes"));
    check("s", "\"thirteen byte\"", json!("thirteen byte"));
    check("s", "\"käse \u{1f600}, as it stands here\"", json!("käse \u{1f600}, as it stands here"));
    check("s", r#""\"\\\/\b\f\n\r\t""#, json!("\"\\/\u{8}\u{c}\n\r\t"));
    check("s", r#""\u00e4\u20AC\ud83d\ude00 and more text""#, json!("ä€\u{1f600} and more text"));
    check("s", r#""\u0000""#, json!("\0"));
    check("s", "\"null\"", json!("null"));
}

#[test]
fn keys() {
    let check = |text: &str, expected: Value| assert_eq!(value("i", text), expected, "{text}");
    check("{}", Value::Null);
    check(r#"{"s":"a"}"#, Value::Null);
    check(r#"{"s":"a","i":1}"#, json!(1));
    check(r#"{"i":1,"s":"a"}"#, json!(1));
    // The last of the same name wins, also over another type's rules.
    check(r#"{"i":1,"i":2}"#, json!(2));
    check(r#"{"i":1,"i":null}"#, Value::Null);
    check(r#"{"i":null,"i":3}"#, json!(3));
    check(r#"{"\u0069":1}"#, json!(1));
    check(r#"{"I":1,"i ":2,"":3,"\ud800":4}"#, Value::Null);
    check(r#"{"y":{"i":7,"z":[1,{"i":8}]},"i":1,"w":"\"}"}"#, json!(1));
}

#[test]
fn rows_of_many_shapes() {
    let text = r#"{"i":1,"s":"a"}

{"s":"b","i":2}
   	
{"i":3}
{"z":[],"s":"d"}
{"i":5,"z":{},"s":"e"}
"#;
    let (rows, result) = read_lines("{ i = \"int64?\", s = \"utf8?\" }", text);
    assert_eq!(result, Ok(()));
    let expected = [json!([1, "a"]), json!([2, "b"]), json!([3, null]), json!([null, "d"]), json!([5, "e"])];
    assert_eq!(rows.iter().map(|row| json!([row["i"], row["s"]])).collect::<Vec<_>>(), expected);
}

#[test]
fn more_keys_than_are_remembered() {
    let keys = |from: u32| (from..from + 100).map(|k| format!("\"k{k}\":{k},")).collect::<String>();
    let text: String = (0..50).map(|row| format!("{{{}\"i\":{row}}}\n", keys(row * 10))).collect();
    let (rows, result) = read_lines("{ i = \"int64\", k500 = \"int64?\" }", &text);
    assert_eq!(result, Ok(()));
    for (row, value) in rows.iter().enumerate() {
        let k500 = if (row * 10..row * 10 + 100).contains(&500) { json!(500) } else { Value::Null };
        assert_eq!((&value["i"], &value["k500"]), (&json!(row), &k500));
    }
}

#[test]
fn bad_rows() {
    let schema = "{ i = \"int64\", f = \"float64\", t = \"timestamp\", b = \"boolean\", s = \"utf8\" }";
    let good = [("i", "1"), ("f", "1.5"), ("t", "0"), ("b", "true"), ("s", "\"a\"")];
    let row = |name: &str, text: &str| {
        let cells = good.map(|(key, value)| format!("\"{key}\":{}", if key == name { text } else { value }));
        format!("{{{}}}\n", cells.join(","))
    };
    let check = |name: &str, text: &str, reason: &str| {
        let (rows, result) = read_lines(schema, &[row("", ""), "\n".into(), row(name, text)].concat());
        assert_eq!(rows.len(), 1, "the good row before it comes first");
        assert_eq!(result, Err(format!("could not read DIR/a.jsonl:3: column `{name}`: {reason}")), "{text}");
    };
    check("i", "1.5", "expected int64, found 1.5, which is not whole");
    check("i", "9223372036854775808", "expected int64, found 9223372036854775808, which is out of range");
    check("i", "\"12\"", "expected int64, found the string \"12\"");
    check("i", "true", "expected int64, found true");
    check("i", "null", "expected int64, found null");
    check("i", "{\"a\":1}", "expected int64, found an object");
    check("i", "[1]", "expected int64, found an array");
    check("f", "\"1.5\"", "expected float64, found the string \"1.5\"");
    check("f", "1e999", "expected float64, found 1e999, which is out of range");
    check("f", "NaN", "expected float64, found not JSON: expected a value at byte 12, found `N`");
    check("t", "1.5", "expected timestamp, found 1.5, which is not whole");
    check(
        "t",
        "\"yesterday\"",
        "expected timestamp, as ms since the epoch or as in RFC 3339, found the string \"yesterday\"",
    );
    check("b", "1", "expected boolean, found 1");
    check("b", "\"true\"", "expected boolean, found the string \"true\"");
    check("s", "17", "expected utf8, found 17");
    check("s", "null", "expected utf8, found null");
    check("s", r#""\ud800""#, "expected utf8, found half a surrogate pair, which is no character");
    check("s", r#""\udc00\ud800 ""#, "expected utf8, found half a surrogate pair, which is no character");
    let long = format!("\"{}\"", "x".repeat(100));
    check("i", &long, &format!("expected int64, found the string \"{}...\"", "x".repeat(40)));
}

#[test]
fn rows_that_lack_a_column() {
    let (_, result) = read_lines("{ a = \"int64\", b = \"utf8\" }", "{\"a\":1,\"b\":\"\"}\n{\"a\":1}\n");
    let message = "could not read DIR/a.jsonl:2: column `b`: expected utf8, found no such key";
    assert_eq!(result, Err(message.to_owned()));
}

#[test]
fn text_that_is_not_json() {
    let check = |text: &str, reason: &str| {
        let (rows, result) = read_lines("{ a = \"int64?\", s = \"utf8?\" }", text);
        assert_eq!(rows.len(), 0, "{text}");
        assert_eq!(result, Err(format!("could not read DIR/a.jsonl:1: {reason}")), "{text}");
    };
    check("[1]", "expected an object, found an array");
    check("17", "expected an object, found 17");
    check("\"a\"", "expected an object, found the string \"a\"");
    check("{", "not JSON: expected `\"` at byte 2, found the end of the line");
    check("{\"a\"", "not JSON: expected `:` at byte 5, found the end of the line");
    check("{\"a\":1", "not JSON: expected `,` or `}` at byte 7, found the end of the line");
    check("{\"a\":1,}", "not JSON: expected `\"` at byte 8, found `}`");
    check("{\"a\":1 \"b\":2}", "not JSON: expected `,` or `}` at byte 8, found `\"`");
    check("{a:1}", "not JSON: expected `\"` at byte 2, found `a`");
    check("{\"a\":1} {\"a\":2}", "not JSON: expected the end of the line at byte 9, found `{`");
    check("{\"a\n\":1}", "not JSON: expected the end of a string at byte 4, found the end of the line");
    check("{\"z\":tru}", "not JSON: expected a value at byte 6, found `t`");
    check("{\"z\":01}", "not JSON: expected a number at byte 6, found `0`");
    check("{\"z\":[1,}", "not JSON: expected a value at byte 9, found `}`");
    check("{\"z\":[1}", "not JSON: expected `,` or `]` at byte 8, found `}`");
    check("{\"z\":{\"y\":1]}", "not JSON: expected `,` or `}` at byte 12, found `]`");
    check("{\"z\":\"\\x\"}", "not JSON: unknown escape at byte 7");
    check("{\"z\":\"\\u12g4\"}", "not JSON: unknown escape at byte 7");
    check("{\"z\":\"\u{1}\"}", "not JSON: expected the end of a string at byte 7, found the control character U+0001");
    check("{\"a\":01}", "column `a`: not JSON: expected a number at byte 6, found `0`");
    check("{\"a\":-}", "column `a`: not JSON: expected a number at byte 6, found `-`");
    check("{\"s\":\"abc}", "column `s`: not JSON: expected the end of a string at byte 11, found the end of the line");
    check("{\"ä\":ö}", "not JSON: expected a value at byte 7, found `ö`");
}

#[test]
fn half_a_surrogate_pair_is_replaced_where_bad_text_is() {
    let folder = folder();
    put(folder.path(), "a.jsonl", r#"{"s":"a\ud800b\udc00\ud83d\ude00"}"#);
    let keys = "path = \"a.jsonl\"\nformat = \"json\"\nschema = { s = \"utf8\" }\ninvalid_utf8 = \"replace\"";
    let (rows, result) = read(&config(folder.path(), keys));
    result.expect("replaced");
    assert_eq!(rows, [json!({"s": "a\u{fffd}b\u{fffd}\u{1f600}"})]);
}

#[test]
fn nesting_as_deep_as_a_line_is_long() {
    let depth = 2_000_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let text = format!("{{\"z\":{}1{},\"i\":7}}", open.repeat(depth), close.repeat(depth));
        assert_eq!(value("i", &text), json!(7));
    }
}

#[test]
fn columns_that_nobody_reads_are_left_out_and_not_checked() {
    let folder = folder();
    put(folder.path(), "a.jsonl", "{\"a\":\"no number\",\"b\":1}\n{\"b\":2}\n");
    let schema = "{ a = \"int64\", b = \"int64\" }";
    let config = config(folder.path(), &format!("path = \"a.jsonl\"\nformat = \"json\"\nschema = {schema}"));
    let splits = config.splits().expect("it is there");
    let (batches, result) = drain(config.open(0, 1, &splits, &[Some(vec![false, true])], None).expect("it opens"));
    result.expect("column `a` is not read");
    assert_eq!(rows(&batches[0].1, &config.ports()[0].schema), [json!({"b": 1}), json!({"b": 2})]);
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".*", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever another writer writes is read, and what is unknown is passed over.
    #[test]
    fn reads_what_serde_writes(rows in prop::collection::vec((any::<i64>(), any::<f64>(), ".*", any_value()), 1..20)) {
        let lines = rows.iter().map(|(i, f, s, z)| json!({"z": z, "i": i, "zz": [z], "f": f, "s": s}));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        let (read, result) = read_lines("{ i = \"int64\", f = \"float64\", s = \"utf8\" }", &text);
        prop_assert_eq!(result, Ok(()));
        let expected: Vec<Value> = rows.iter().map(|(i, f, s, _)| json!({"i": i, "f": f, "s": s})).collect();
        prop_assert_eq!(read, expected);
    }

    /// A line is accepted exactly if it is JSON.
    #[test]
    fn accepts_what_serde_accepts(
        value in any_value(),
        at in any::<prop::sample::Index>(),
        byte in prop::sample::select(b"{}[]\",:\\ 0aetn-.".to_vec()),
    ) {
        let mut text = format!("{{\"z\":{value}}}").into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(text) = String::from_utf8(text) {
            let (_, result) = read_lines("{ i = \"int64?\" }", &text);
            let is_json = serde_json::from_str::<serde_json::Map<String, Value>>(&text);
            // The other refuses also where nobody reads it what is JSON and yet no value of its own: half a surrogate
            // pair, which takes an escape by `u`, and a number beyond float64.
            let narrower = |e: &serde_json::Error| e.to_string().starts_with("number out of range") || text.contains("\\u");
            let agrees = match (&result, &is_json) {
                (Ok(()), Err(error)) => narrower(error),
                (Err(_), Ok(_)) => false,
                _ => true,
            };
            prop_assert!(agrees, "{} {:?} {:?}", text, result, is_json);
        }
    }
}
