//! The table of routes is whole, and so are the descriptions made from it.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::Path,
};

use serde_json::Value;

use super::*;
use crate::{names::Form, options::Limits};

#[test]
fn every_route_stands_at_its_number_and_once() {
    let mut seen = BTreeSet::new();
    for (number, route) in ROUTES.iter().enumerate() {
        assert_eq!(route.id as usize, number, "{:?}", route.id);
        assert!(seen.insert((route.method.method().to_string(), route.path)), "{} stands twice", route.path);
        assert!(route.about.ends_with('.'), "{}", route.about);
    }
    assert_eq!(ROUTES[ROUTES.len() - 1].id, Id::GetComponent, "the last one");
}

#[test]
fn every_part_of_a_path_has_a_form() {
    for route in ROUTES {
        for part in route.path.split('/').filter_map(|part| part.strip_prefix('{')) {
            let name = part.trim_end_matches('}');
            assert!(Form::of(name).is_some(), "{name} of {}", route.path);
        }
    }
}

#[test]
fn what_changes_something_takes_a_role() {
    for route in ROUTES.iter().filter(|route| route.method != Verb::Get) {
        let expect = if route.path.starts_with("/v1/tm/") { &[WORKER][..] } else { &[DEPLOYER, ADMIN] };
        assert!(expect.contains(&route.access), "{}", route.path);
    }
    for route in ROUTES.iter().filter(|route| route.path.starts_with("/v1/tm/")) {
        assert_eq!(route.access, WORKER);
    }
}

#[test]
fn the_description_for_programs_has_every_route_and_every_shape() {
    let document: Value = serde_json::from_str(crate::openapi::document()).expect("it is JSON");
    let mut count = 0;
    for route in ROUTES {
        let operation = &document["paths"][route.path][route.method.method().as_str().to_ascii_lowercase()];
        assert_eq!(operation["operationId"], route.id.name(), "{}", route.path);
        assert_eq!(operation["security"].is_array(), route.access != Access::Anyone);
        count += 1;
    }
    let paths = document["paths"].as_object().expect("it is a table");
    assert_eq!(paths.values().map(|path| path.as_object().map_or(0, serde_json::Map::len)).sum::<usize>(), count);
    let mut named = BTreeSet::new();
    references(&document, &mut named);
    for name in named {
        let name = name.strip_prefix("#/components/schemas/").expect("there are only shapes");
        assert!(document["components"]["schemas"][name].is_object(), "there is no shape {name}");
    }
    for (item, path) in
        [("JobSummary", "/v1/jobs"), ("Event", "/v1/jobs/{job}/events"), ("LogLine", "/v1/jobs/{job}/logs")]
    {
        let shape =
            &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(*shape, format!("#/components/schemas/{item}Page"));
        let items = &document["components"]["schemas"][format!("{item}Page")]["properties"]["items"]["items"];
        assert_eq!(items["$ref"], format!("#/components/schemas/{item}"));
    }
    assert!(document["components"]["schemas"]["JobSummary"]["properties"]["rows_read"].is_object());
}

/// All `$ref`s below a value.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(table) => {
            found.extend(table.get("$ref").and_then(Value::as_str).map(str::to_owned));
            table.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// `UPDATE_EXPECT=1` writes them.
#[test]
fn the_tables_of_the_page_are_those_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/rest.md");
    let page = fs::read_to_string(&path).expect("it is there");
    let expect = put(
        &put(&page, "<!-- made from the routes -->\n", &table_of_routes()),
        "<!-- made from the limits -->\n",
        &table_of_limits(),
    );
    if env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &expect).expect("it is ours");
    } else {
        assert_eq!(page, expect, "UPDATE_EXPECT=1 writes it");
    }
}

fn put(page: &str, begin: &str, table: &str) -> String {
    let (before, rest) = page.split_once(begin).expect("the page has its marks");
    let (_, after) = rest.split_once("<!-- end -->").expect("the page has its marks");
    format!("{before}{begin}{table}<!-- end -->{after}")
}

fn table_of_routes() -> String {
    let mut table = "| route | role | |\n|---|---|---|\n".to_owned();
    for route in ROUTES {
        let role = if let Access::Only(role) = route.access { role.as_str() } else { "" };
        let query: Vec<String> = route.query.iter().map(|(name, _)| format!("`{name}`")).collect();
        let query = if query.is_empty() { String::new() } else { format!(" Query: {}.", query.join(", ")) };
        let method = route.method.method();
        writeln!(table, "| `{method} {}` | {role} | {}{query} |", route.path, route.about)
            .expect("it takes everything");
    }
    table
}

/// The defaults, in the order in which they stand in the source, with what is said of them there.
fn table_of_limits() -> String {
    let defaults = serde_json::to_value(Limits::default()).expect("they are plain data");
    let source = include_str!("../options.rs");
    let (_, fields) = source.split_once("pub struct Limits {\n").expect("it is there");
    let (fields, _) = fields.split_once("\n}\n").expect("it ends");
    let (mut table, mut about) = ("| limit | default | |\n|---|---|---|\n".to_owned(), String::new());
    let mut seen = BTreeMap::new();
    for line in fields.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            about.push_str(text);
        } else if let Some((name, _)) = line.strip_prefix("pub ").and_then(|field| field.split_once(':')) {
            writeln!(table, "| `{name}` | {} |{about} |", defaults[name]).expect("it takes everything");
            seen.insert(name, std::mem::take(&mut about));
        }
    }
    assert_eq!(seen.len(), defaults.as_object().map_or(0, serde_json::Map::len));
    table
}
