//! Rows that cannot be read, for whoever reads on behind them.

use serde_json::{Value, json};

use super::{config, folder, put};
use crate::{BadRow, testing::read_past_bad_rows};

/// Line, column, reason and text.
type Bad = (u64, Option<String>, String, String);

/// The good rows of a file, and the bad ones as line, column, reason and text.
fn read(keys: &str, bytes: impl AsRef<[u8]>) -> (Vec<Value>, Vec<Bad>) {
    let folder = folder();
    put(folder.path(), "a", bytes);
    let (good, bad, result) = read_past_bad_rows(&config(folder.path(), &format!("path = \"a\"\n{keys}")));
    result.expect("only rows are bad");
    let parts = |row: BadRow| {
        assert_eq!(row.file, folder.path().join("a").display().to_string());
        (row.line, row.column, row.reason, row.text)
    };
    (good, bad.into_iter().map(parts).collect())
}

fn bad(line: u64, column: &str, reason: &str, text: &str) -> Bad {
    (line, (!column.is_empty()).then(|| column.to_owned()), reason.to_owned(), text.to_owned())
}

#[test]
fn json_rows() {
    let keys = "format = \"json\"\nschema = { n = \"int64\", s = \"utf8?\" }";
    let text = "{\"n\": 1, \"s\": \"a\"}\nnot json\n{\"s\": \"half read\", \"n\": \"x\"}\n\n{\"s\": \"b\"}\n{\"n\": 2}";
    let (good, found) = read(keys, text);
    assert_eq!(good, [json!({"n": 1, "s": "a"}), json!({"n": 2, "s": null})]);
    let expected = [
        bad(2, "", "expected an object, found not JSON: expected a value at byte 1, found `n`", "not json"),
        bad(3, "n", "expected int64, found the string \"x\"", "{\"s\": \"half read\", \"n\": \"x\"}"),
        bad(5, "n", "expected int64, found no such key", "{\"s\": \"b\"}"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn csv_rows() {
    let keys = "format = \"csv\"\nschema = { n = \"int64\", s = \"utf8\" }";
    let text = b"n,x,s\n1,,a\n2\n\"x\",\"a\nb\",c\n3,,b,4,5\n4,\xff,c\n5,,\xff\n6,,d\n";
    let (good, found) = read(keys, text);
    let row = |n: i64, s: &str| json!({"n": n, "s": s});
    assert_eq!(good, [row(1, "a"), row(4, "c"), row(6, "d")], "a column that nobody reads is not checked");
    let expected = [
        bad(3, "x", "expected 3 fields, found 1", "2"),
        bad(4, "n", "expected int64, found \"x\"", "\"x\",\"a\nb\",c"),
        bad(6, "", "expected 3 fields, found 5", "3,,b,4,5"),
        bad(8, "s", "byte 1 of the field is not UTF-8", "5,,\u{fffd}"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn bytes_that_are_no_text_cost_their_line() {
    let (good, found) = read("format = \"lines\"", b"a\n\xff\n\nb\xc3\nc\n\xff\xff");
    assert_eq!(good, [json!({"line": "a"}), json!({"line": ""}), json!({"line": "c"})]);
    let reason = |byte: u64| format!("byte {byte} of the line is not UTF-8");
    let expected = [
        bad(2, "", &reason(1), "\u{fffd}"),
        bad(4, "", &reason(2), "b\u{fffd}"),
        bad(6, "", &reason(1), "\u{fffd}\u{fffd}"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_line_that_is_too_long_is_passed_over() {
    // One that ends in the block it begins in, and one that fills several.
    for long in [200, 3 << 20] {
        let text = ["short\n", &"x".repeat(long), "\nlast\n", &"y".repeat(long)].concat();
        let (good, found) = read("format = \"lines\"\nline_bytes_max = 100", text);
        assert_eq!(good, [json!({"line": "short"}), json!({"line": "last"})]);
        let lines: Vec<u64> = found.iter().map(|(line, ..)| *line).collect();
        assert_eq!(lines, [2, 4]);
        assert!(found.iter().all(|(_, _, reason, text)| {
            reason == "the line is longer than 100 bytes" && text.len() == long.min(64 << 10)
        }));
    }
}

#[test]
fn many_bad_rows_come_a_few_at_a_time_and_none_is_lost() {
    let rows = 20_000;
    let text: String =
        (0..rows).map(|i| if i % 3 == 0 { "bad\n".to_owned() } else { format!("{{\"n\": {i}}}\n") }).collect();
    let (good, found) = read("format = \"json\"\nschema = { n = \"int64\" }", text);
    assert!(good.iter().map(|row| row["n"].as_i64()).eq((0..rows).filter(|i| i % 3 != 0).map(Some)));
    assert!(found.iter().map(|(line, ..)| *line as i64 - 1).eq((0..rows).filter(|i| i % 3 == 0)));
}

#[test]
fn the_text_of_a_bad_row_is_cut() {
    let (_, found) = read("format = \"json\"\nschema = { n = \"int64\" }", format!("[\"{}\"]", "ä".repeat(100_000)));
    assert!(found[0].3.len() <= 64 << 10 && found[0].3.len() > 65_530 && found[0].3.starts_with("[\"ää"));
    let record = format!("n,s\nx,\"{}\"\n", "line\n".repeat(300_000));
    let (_, found) = read("format = \"csv\"\nschema = { n = \"int64\" }", record);
    assert!(found[0].3.len() == 64 << 10 && found[0].3.starts_with("x,\"line\nline"), "{}", found[0].3.len());
}
