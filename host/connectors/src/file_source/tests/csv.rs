//! The rules of the format `csv`.

use serde_json::{Value, json};

use super::{config, folder, put, read, shown};
use crate::testing::{drain, rows, source};

fn read_text(keys: &str, text: &str) -> (Vec<Value>, Result<(), String>) {
    let folder = folder();
    put(folder.path(), "a.csv", text);
    let (rows, result) = read(&config(folder.path(), &format!("path = \"a.csv\"\nformat = \"csv\"\n{keys}")));
    (rows, shown(folder.path(), result))
}

const TWO: &str = "schema = { n = \"int64?\", s = \"utf8?\" }";

#[test]
fn records() {
    let check = |keys: &str, text: &str, expected: Value| {
        let (rows, result) = read_text(&format!("{TWO}\n{keys}"), text);
        assert_eq!(result, Ok(()), "{text}");
        assert_eq!(rows.iter().map(|row| json!([row["n"], row["s"]])).collect::<Value>(), expected, "{text}");
    };
    check("", "", json!([]));
    check("", "n,s", json!([]));
    check("", "n,s\n1,a\n2,b\n", json!([[1, "a"], [2, "b"]]));
    check("", "n,s\r\n1,a\r\n2,b", json!([[1, "a"], [2, "b"]]));
    check("", "\u{feff}n,s\n1,a\n", json!([[1, "a"]]));
    // By name, in any order; others are ignored.
    check("", "x,s,n,y\n0,a,1,0\n", json!([[1, "a"]]));
    check("", "s,n,s\na,1,b\n", json!([[1, "a"]]));
    // Quotes.
    check("", "n,s\n\"1\",\"a,\"\"b\"\"\nc\"\n2,\n", json!([[1, "a,\"b\"\nc"], [2, ""]]));
    check("", "n,\"s\"\n1,\"\"\n", json!([[1, ""]]));
    // Empty: a null, but for text. Empty lines are no rows.
    check("", "n,s\n,\n\n\r\n,x\n", json!([[null, ""], [null, "x"]]));
    check("delimiter = \"\\t\"\nquote = \"'\"", "n\ts\n1\t'a\tb'\n", json!([[1, "a\tb"]]));
    check("header = false", "1,a\n2,b\n", json!([[1, "a"], [2, "b"]]));
    check("", "n,s\n1,longer than a view can hold itself\n", json!([[1, "longer than a view can hold itself"]]));
}

#[test]
fn values() {
    let check = |data_type: &str, text: &str, expected: Value| {
        let keys = format!("schema = {{ v = \"{data_type}\" }}\nheader = false");
        let (rows, result) = read_text(&keys, &format!("{text}\n"));
        assert_eq!(result, Ok(()), "{text}");
        assert_eq!(rows[0]["v"], expected, "{text}");
    };
    check("int64", "-17", json!(-17));
    check("int64", "007", json!(7));
    check("int64", "1.0", json!(1));
    check("int64", "1e3", json!(1_000));
    check("float64", "1.5", json!(1.5));
    check("float64", ".5", json!(0.5));
    check("timestamp", "1517966773840", json!(1_517_966_773_840_i64));
    check("timestamp", "2018-02-07T01:26:13.840Z", json!(1_517_966_773_840_i64));
    check("boolean", "true", json!(true));
    check("boolean", "false", json!(false));
    check("utf8", "\" a \"", json!(" a "));
    check("int64?", "\"\"", Value::Null);
    check("utf8?", "\"\"", json!(""));
}

#[test]
fn bad_rows() {
    let check = |data_type: &str, text: &str, reason: &str| {
        let keys = format!("schema = {{ v = \"{data_type}\", w = \"utf8\" }}");
        let (rows, result) = read_text(&keys, &format!("v,w\n\n{text},\"two\nlines\"\n"));
        assert_eq!(rows.len(), 0);
        assert_eq!(result, Err(format!("could not read DIR/a.csv:3: column `v`: {reason}")), "{text}");
    };
    check("int64", "a", "expected int64, found \"a\"");
    check("int64", "", "expected int64, found \"\"");
    check("int64", " 1", "expected int64, found \" 1\"");
    check("int64", "1.5", "expected int64, found \"1.5\", which is not whole");
    check("int64?", "9223372036854775808", "expected int64, found \"9223372036854775808\", which is out of range");
    check("float64", "1-5", "expected float64, found \"1-5\"");
    check("timestamp", "yesterday", "expected timestamp, found \"yesterday\"");
    check("boolean", "TRUE", "expected boolean, found \"TRUE\"");
    check("boolean", "", "expected boolean, found \"\"");
}

#[test]
fn rows_of_another_width() {
    let check = |keys: &str, text: &str, line: u32, reason: &str| {
        let (_, result) = read_text(&format!("{TWO}\n{keys}"), text);
        assert_eq!(result, Err(format!("could not read DIR/a.csv:{line}: {reason}")), "{text}");
    };
    check("", "n,s\n1,a\n2\n", 3, "column `s`: expected 2 fields, found 1");
    check("", "n,s\r\n1,a\r\n2,b,c\r\n", 3, "expected 2 fields, found 3");
    check("", "n,s,x\n1,a\n", 2, "column `x`: expected 3 fields, found 2");
    check("", &format!("n,s\n1,a{}\n", ",".repeat(1_000)), 2, "expected 2 fields, found 1002");
    check("header = false", "1\n", 1, "column `s`: expected 2 fields, found 1");
    check("", "n,s\n1,\"a\n2,b\n", 2, "not CSV: a quoted field is not closed before the end of the file");
}

#[test]
fn a_header_without_a_column() {
    let (_, result) = read_text(TWO, "n,S,x\n1,a,b\n");
    let message = "could not read DIR/a.csv: its header has no column `s`\n  hint: it has `n`, `S`, `x`";
    assert_eq!(result, Err(message.to_owned()));
}

#[test]
fn a_row_longer_than_a_line_may_be() {
    let check = |bytes: usize, good: bool| {
        let text = format!("n,s\n1,\"{}\"\n", "x\n".repeat(bytes / 2));
        let (rows, result) = read_text(&format!("{TWO}\nline_bytes_max = 1000"), &text);
        let message = "could not read DIR/a.csv:2: the row is longer than 1000 bytes\n  \
                       hint: raise `line_bytes_max` if such rows are meant to be; else a quote is not closed";
        assert_eq!(result, if good { Ok(()) } else { Err(message.to_owned()) });
        assert_eq!(rows.len(), usize::from(good));
    };
    check(998, true);
    check(1_002, false);
    check(10_000_000, false);
}

#[test]
fn the_header_of_each_file_counts_for_itself() {
    let folder = folder();
    put(folder.path(), "1.csv", "n,s\n1,a\n");
    put(folder.path(), "2.csv", "s,n\nb,2\n");
    let (rows, result) = read(&config(folder.path(), &format!("path = \"*.csv\"\nformat = \"csv\"\n{TWO}")));
    result.expect("good rows");
    assert_eq!(rows, [json!({"n": 1, "s": "a"}), json!({"n": 2, "s": "b"})]);
}

#[test]
fn records_cross_blocks_and_batches_whole() {
    let folder = folder();
    let text = |i: usize| format!("line {i}\n{}", "x".repeat(i % 300));
    let records: String = (0..20_000).map(|i| format!("{i},\"{}\"\n", text(i))).collect();
    put(folder.path(), "a.csv", format!("n,s\n{records}"));
    let config = config(folder.path(), &format!("path = \"a.csv\"\nformat = \"csv\"\n{TWO}"));
    let splits = config.splits().expect("it is there");
    let (batches, result) = drain(config.open(0, 1, &splits, &[Some(vec![true, true])], None).expect("it opens"));
    result.expect("good rows");
    assert!(batches.len() > 4 && batches.iter().all(|(_, batch)| (1..=4_096).contains(&batch.rows)));
    let schema = &config.ports()[0].schema;
    let rows: Vec<Value> = batches.iter().flat_map(|(_, batch)| rows(batch, schema)).collect();
    let expected: Vec<Value> = (0..20_000).map(|i| json!({"n": i, "s": text(i)})).collect();
    assert!(rows == expected, "every row once, in order");
}

#[test]
fn settings_that_are_refused() {
    let check = |keys: &str, expected: &str| {
        let text = format!("connector = \"file\"\npath = \"a\"\nformat = \"csv\"\n{TWO}\n{keys}");
        assert_eq!(source(&text, ".".as_ref()).expect_err(keys).to_string(), expected);
    };
    let character = "expected one ASCII character that ends no line, as in \",\" or \"\\t\"";
    check("delimiter = \"\"", &format!("job.toml:5: delimiter: {character}"));
    check("delimiter = \";;\"", &format!("job.toml:5: delimiter: {character}"));
    check("quote = \"ä\"", &format!("job.toml:5: quote: {character}"));
    check("delimiter = \"\\n\"", &format!("job.toml:5: delimiter: {character}"));
    check("quote = \",\"", "job.toml:1: `delimiter` and `quote` are the same character");
}
