//! Values inside of objects and arrays, and as JSON text; times as numbers.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{config, folder, put};
use crate::testing::{read, source};

fn rows(schema: &str, text: &str) -> Result<Vec<Value>, String> {
    let folder = folder();
    put(folder.path(), "a", text);
    let (rows, result) =
        read(&config(folder.path(), &format!("path = \"a\"\nformat = \"json\"\nschema = {{ {schema} }}")));
    result.map(|()| rows).map_err(|e| e.to_string().replace(&*folder.path().to_string_lossy(), "DIR"))
}

#[test]
fn paths_lead_into_objects_and_arrays() {
    let schema = "place = { type = \"utf8?\", path = \"properties.place\" }, \
                  lon = { type = \"float64?\", path = \"geometry.coordinates[0]\" }, \
                  lat = { type = \"float64?\", path = \"geometry.coordinates.1\" }, \
                  odd = { type = \"int64?\", path = [\"a.b\", \"0\"] }, id = \"int64\"";
    let check = |text: &str, expected: Value| assert_eq!(rows(schema, text), Ok(vec![expected]), "{text}");
    check(
        r#"{"geometry": {"type": "Point", "coordinates": [1.5, 2, 3]}, "id": 1, "properties": {"x": {"place": 1}, "place": "Tōkyō"}}"#,
        json!({"place": "Tōkyō", "lon": 1.5, "lat": 2.0, "odd": null, "id": 1}),
    );
    check(
        r#"{"id": 2, "properties": null, "geometry": {"coordinates": []}, "a.b": {"0": 7}}"#,
        json!({"place": null, "lon": null, "lat": null, "odd": 7, "id": 2}),
    );
    check(
        r#"{"id": 3, "properties": [], "geometry": {"coordinates": {"0": 4, "1": null}}}"#,
        json!({"place": null, "lon": 4.0, "lat": null, "odd": null, "id": 3}),
    );
    check(
        r#"{"properties": {"place": "first"}, "properties": {}, "geometry": 5, "id": 4}"#,
        json!({"place": null, "lon": null, "lat": null, "odd": null, "id": 4}),
    );
}

#[test]
fn a_path_that_leads_nowhere_is_a_bad_row_unless_it_may_be_null() {
    let schema = "place = { type = \"utf8\", path = \"properties.place\" }";
    let error = rows(schema, "{\"properties\": {}}").expect_err("there is none");
    assert_eq!(error, "could not read DIR/a:1: column `place`: expected utf8, found no such key");
}

#[test]
fn json_text_is_taken_as_it_stands() {
    let schema = "all = { type = \"utf8?\", path = \"p\", json = true }, x = { type = \"int64?\", path = \"p.x\" }";
    let check = |value: &str, all: Value, x: Value| {
        let row = json!({"all": all, "x": x});
        assert_eq!(rows(schema, &format!("{{\"p\": {value} }}")), Ok(vec![row]), "{value}");
    };
    check(r#"{"x": 5, "y": [1, "\u00e4"]}"#, json!(r#"{"x": 5, "y": [1, "\u00e4"]}"#), json!(5));
    check("[1, 2]", json!("[1, 2]"), Value::Null);
    check("\"text\"", json!("\"text\""), Value::Null);
    check("1.50", json!("1.50"), Value::Null);
    check("null", Value::Null, Value::Null);
    let error = rows(schema, "{\"p\": [1, }").expect_err("not JSON");
    assert!(error.contains("column `all`: not JSON"), "{error}");
}

#[test]
fn times_in_every_unit_and_zone() {
    let check = |unit: &str, value: &str, expected: Result<i64, &str>| {
        let schema = format!("at = {{ type = \"timestamp\", unit = \"{unit}\" }}");
        let found = rows(&schema, &format!("{{\"at\": {value}}}"));
        match expected {
            Ok(ms) => assert_eq!(found, Ok(vec![json!({"at": ms})]), "{value} {unit}"),
            Err(reason) => assert!(found.clone().is_err_and(|e| e.contains(reason)), "{value} {unit}: {found:?}"),
        }
    };
    check("s", "1517966773", Ok(1_517_966_773_000));
    check("s", "1517966773.84", Ok(1_517_966_773_840));
    check("ms", "1517966773840", Ok(1_517_966_773_840));
    check("us", "1517966773840999", Ok(1_517_966_773_840));
    check("ns", "1517966773840999999", Ok(1_517_966_773_840));
    check("s", "\"2018-02-07T02:26:13.840+01:00\"", Ok(1_517_966_773_840));
    check("s", "9223372036854775807", Err("which is out of range"));
    check("ms", "1.5", Err("which is not whole"));
    check("us", "\"soon\"", Err("as us since the epoch or as in RFC 3339"));
}

#[test]
fn tables_of_columns_that_are_refused() {
    let check = |format: &str, column: &str, expected: &str| {
        let text = format!("connector = \"file\"\npath = \"a\"\nformat = \"{format}\"\nschema = {{ c = {column} }}");
        let error = source(&text, Path::new(".")).expect_err(column).to_string();
        assert!(error.contains(expected), "{column}: {error}");
    };
    check("json", "{ path = \"a\" }", "`type` is missing");
    check("json", "{ type = \"int46\" }", "did you mean `int64`?");
    check("json", "{ type = \"int64\", unit = \"s\" }", "only a timestamp counts time, not int64");
    check("json", "{ type = \"timestamp\", unit = \"m\" }", "expected one of \"s\", \"ms\", \"us\" or \"ns\"");
    check("json", "{ type = \"int64\", json = true }", "only a utf8 column takes JSON text, not int64");
    check("json", "{ type = \"int64\", path = \"a..b\" }", "expected a path such as");
    check("json", "{ type = \"int64\", path = [] }", "expected 1 to 32 steps, found 0");
    check("json", "{ type = \"int64\", pth = \"a\" }", "unknown key `pth`\n  hint: did you mean `path`?");
    check("csv", "{ type = \"int64\", path = \"a\" }", "unknown key `path`");
}

#[test]
fn earthquakes_if_they_are_there() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let Ok(text) = fs::read_to_string(shared.join("earthquakes.jsonl")) else {
        println!("skipped: no ../shared/data");
        return;
    };
    let first: String =
        text.lines().map(|line| format!("{{\"type\": \"Feature\", \"properties\": {line}}}\n")).collect();
    let schema = "at = { type = \"timestamp\", path = \"properties.at\" }, \
                  magnitude = { type = \"float64?\", path = \"properties.magnitude\" }, \
                  place = { type = \"utf8\", path = \"properties.place\" }";
    let found = rows(schema, &first).expect("good rows");
    let expected = text.lines().map(|line| {
        let row: Value = serde_json::from_str(line).expect("JSON");
        json!({"at": row["at"], "magnitude": row["magnitude"].as_f64(), "place": row["place"]})
    });
    assert_eq!(found, expected.collect::<Vec<_>>());
}
