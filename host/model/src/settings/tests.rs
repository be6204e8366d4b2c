//! What a person sees who mistypes a job file.

use super::*;

fn parse(text: &str) -> Settings {
    Settings::parse(Path::new("job.toml"), text).expect("the test's TOML is valid")
}

fn shown<T: fmt::Debug>(result: Result<T, Error>) -> String {
    result.expect_err("must be refused").to_string()
}

#[test]
fn syntax_error_names_the_line() {
    let error = Settings::parse(Path::new("job.toml"), "[job]\nname = \"a\nx = 1\n").expect_err("unclosed string");
    assert!(error.to_string().starts_with("job.toml:2: "), "{error}");
}

#[test]
fn wrong_type_names_line_and_key() {
    let settings = parse("[source.a]\npath = 3\n");
    let table = settings.require("source").and_then(Setting::table).and_then(|t| t.require("a")).expect("is there");
    let path = table.table().and_then(|t| t.require("path")).expect("is there");
    assert_eq!(shown(path.string()), "job.toml:2: source.a.path: expected a string, found an integer");
    assert_eq!(shown(path.boolean()), "job.toml:2: source.a.path: expected true or false, found an integer");
    assert_eq!(shown(path.integer(4, 9)), "job.toml:2: source.a.path: expected a number from 4 to 9, found 3");
    assert_eq!(path.integer(0, 9), Ok(3));
    assert!(shown(path.duration()).contains("expected a duration such as"));
    assert_eq!(shown(path.strings()), "job.toml:2: source.a.path: expected an array of strings, found an integer");
    assert_eq!(shown(path.table()), "job.toml:2: source.a.path: expected a table, found an integer");
}

#[test]
fn unknown_and_misspelt_keys() {
    let settings = parse("conector = \"file\"\nzebra = 1\n");
    assert_eq!(
        shown(settings.require("connector")),
        "job.toml:1: conector: unknown key `conector`\n  hint: did you mean `connector`?"
    );
    assert_eq!(shown(settings.require("path")), "job.toml:1: `path` is missing");
    assert!(settings.finish().is_err());
    let settings = parse("zebra = 1\n");
    settings.get("path");
    settings.get("format");
    assert_eq!(shown(settings.finish()), "job.toml:1: zebra: unknown key `zebra`\n  hint: known keys: format, path");
    settings.get("zebra");
    assert_eq!(settings.finish(), Ok(()));
}

#[test]
fn choices_and_schemas() {
    let settings = parse("format = \"jsn\"\nschema = { a = \"utf8?\", b = \"in64\" }\n");
    assert_eq!(
        shown(settings.require("format").and_then(|s| s.choice(&["json", "csv"]))),
        "job.toml:1: format: expected one of \"json\" or \"csv\", found \"jsn\"\n  hint: did you mean `json`?"
    );
    let error = shown(settings.require("schema").and_then(Setting::schema));
    assert!(error.starts_with("job.toml:2: schema.b: expected a type, one of \"int64\""), "{error}");
    assert!(error.ends_with("hint: did you mean `int64`?"), "{error}");
    let good = parse("schema = { a = \"utf8?\", b = \"int64\" }\n");
    let schema = good.require("schema").and_then(Setting::schema).expect("is a schema");
    assert_eq!(schema.to_string(), "{ a: utf8?, b: int64 }");
}

#[test]
fn set_replaces_adds_and_falls_back_to_a_string() {
    let mut settings = parse("[job]\nname = \"a\"\n");
    for assignment in ["job.parallelism=7", "source.text.path=../x y.txt", "job.name = \"b\"", "a.b=[1, 2]"] {
        settings.set(assignment).expect("is well formed");
    }
    let job = settings.require("job").and_then(Setting::table).expect("is a table");
    assert_eq!(job.require("parallelism").and_then(|s| s.integer(1, 9)), Ok(7));
    assert_eq!(job.require("name").and_then(|s| s.string().map(str::to_owned)), Ok("b".to_owned()));
    assert_eq!(
        settings.require("source").map(Setting::json),
        Ok(serde_json::json!({ "text": { "path": "../x y.txt" } }))
    );
    let error = job.require("parallelism").and_then(|s| s.string().map(str::to_owned));
    assert_eq!(shown(error), "--set job.parallelism=7: job.parallelism: expected a string, found an integer");
    assert!(shown(settings.set("job.name.x=1")).contains("`name` is a string, not a table"));
    assert!(shown(settings.set("job.name")).contains("expected key=value"));
    assert!(shown(settings.set("job..x=1")).contains("empty part"));
}
