//! Which crate may depend on which: arrows only downwards, never sideways. The names are places: a crate that has no
//! code yet already has one.

use toml::Table;

use crate::{File, Finding};

/// Host crates from the bottom up. A crate may depend on crates of lower rows only.
const ROWS: [&[&str]; 7] = [
    &["model", "durable"],
    &["state", "plugin", "connectors", "control", "wire", "rest"],
    &["flow", "snapshot"],
    &["runtime"],
    &["cluster"],
    &["api", "cli", "sim"],
    &["wasmill"],
];
/// What a crate must do without, and why it can.
const WITHOUT: [(&[&str], &[&str]); 6] = [
    (&["model", "wire", "rest", "control", "state", "flow"], &["tokio", "redb", "rand", "axum", "crossbeam-channel"]),
    (&["snapshot"], &["tokio", "axum"]),
    (&["plugin"], &["tokio", "redb", "axum"]),
    (&["runtime", "cluster"], &["axum"]),
    (&["api"], &["redb"]),
    (&["sdk/rust", "sdk/rust-macros"], &["tokio"]),
];

/// Reads all manifests and reports each dependency that points the wrong way.
#[must_use]
pub fn layers(files: &[File]) -> Vec<Finding> {
    files.iter().filter(|file| file.name() == "Cargo.toml").flat_map(manifest).collect()
}

fn manifest(file: &File) -> Vec<Finding> {
    let folder = file.path.strip_suffix("/Cargo.toml").unwrap_or_default();
    let Ok(table) = file.text.parse::<Table>() else {
        return vec![Finding::new(&file.path, 0, "is no TOML")];
    };
    let row = folder.strip_prefix("host/").map(row_of);
    if row == Some(None) {
        return vec![Finding::new(&file.path, 0, "has no place among the layers; give it one in tests/house")];
    }
    let place = Place { folder, row: row.flatten(), sandboxed: is_sandboxed(folder, &table) };
    let mut findings = Vec::new();
    for name in ["dependencies", "dev-dependencies", "build-dependencies"].iter().flat_map(|kind| keys(&table, kind)) {
        if let Some(why) = place.refuses(name) {
            findings.push(Finding::new(&file.path, 0, format!("must not depend on {name}: {why}")));
        }
    }
    findings
}

/// Where a package stands.
struct Place<'a> {
    folder: &'a str,
    /// Of host crates.
    row: Option<usize>,
    sandboxed: bool,
}

impl Place<'_> {
    /// Why the package may not depend on another; none if it may.
    fn refuses(&self, name: &str) -> Option<&'static str> {
        let here = self.folder.strip_prefix("host/").unwrap_or(self.folder);
        let there = host_crate(name);
        if let (Some(row), Some(there)) = (self.row, there)
            && row_of(there).is_none_or(|below| below >= row)
        {
            return Some("arrows point downwards only");
        }
        if there.is_some() && self.sandboxed {
            return Some("operators and their SDK know the contract, never the host");
        }
        if self.row.is_some() && here != "plugin" && (name == "wasmtime" || name.starts_with("wasmtime-")) {
            return Some("only `plugin` knows the engine");
        }
        let without = WITHOUT.iter().find(|(crates, names)| crates.contains(&here) && names.contains(&name));
        without.map(|_| "what it does needs none of it")
    }
}

/// Whether a package is an operator, or the SDK that operators are written with.
fn is_sandboxed(folder: &str, table: &Table) -> bool {
    let kinds = table.get("lib").and_then(|lib| lib.get("crate-type")).and_then(toml::Value::as_array);
    let is_component = kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind.as_str() == Some("cdylib")));
    folder.starts_with("sdk/") || is_component
}

fn row_of(host_crate: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&host_crate))
}

/// The folder below `host/` of one of our crates; none for the SDK and for crates of others.
fn host_crate(package: &str) -> Option<&str> {
    let name = if package == "wasmill" { package } else { package.strip_prefix("wasmill-")? };
    row_of(name).map(|_| name)
}

fn keys<'a>(table: &'a Table, kind: &str) -> Vec<&'a str> {
    let direct = table.get(kind).and_then(toml::Value::as_table).into_iter();
    let targets = table.get("target").and_then(toml::Value::as_table).into_iter().flat_map(Table::values);
    let by_target = targets.filter_map(move |target| target.get(kind).and_then(toml::Value::as_table));
    direct.chain(by_target).flat_map(Table::keys).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, manifest: &str, expect: &[&str]) {
        let found: Vec<String> = layers(&[File::new(path, manifest)]).iter().map(ToString::to_string).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn downwards_is_allowed() {
        check(
            "host/runtime/Cargo.toml",
            "[dependencies]\nwasmill-flow.workspace = true\nwasmill-plugin.workspace = true\n",
            &[],
        );
        check("host/plugin/Cargo.toml", "[dependencies]\nwasmtime.workspace = true\n", &[]);
        check("plugins/count/Cargo.toml", "[dependencies]\nwasmill-sdk.workspace = true\n", &[]);
        check("benches/Cargo.toml", "[dependencies]\nwasmill-connectors.workspace = true\n", &[]);
    }

    #[test]
    fn upwards_and_sideways_are_not() {
        let up = "host/flow/Cargo.toml: must not depend on wasmill-runtime: arrows point downwards only";
        check("host/flow/Cargo.toml", "[dependencies]\nwasmill-runtime.workspace = true\n", &[up]);
        let side = "host/state/Cargo.toml: must not depend on wasmill-plugin: arrows point downwards only";
        check("host/state/Cargo.toml", "[dev-dependencies]\nwasmill-plugin.workspace = true\n", &[side]);
        check("host/state/Cargo.toml", "[target.'cfg(unix)'.dependencies]\nwasmill-plugin.workspace = true\n", &[side]);
        let engine = "host/runtime/Cargo.toml: must not depend on wasmtime: only `plugin` knows the engine";
        check("host/runtime/Cargo.toml", "[dependencies]\nwasmtime.workspace = true\n", &[engine]);
        let impure = "host/control/Cargo.toml: must not depend on tokio: what it does needs none of it";
        check("host/control/Cargo.toml", "[dependencies]\ntokio = \"1\"\n", &[impure]);
        let host = "sdk/rust/Cargo.toml: must not depend on wasmill-model: operators and their SDK know the contract, never the host";
        check("sdk/rust/Cargo.toml", "[dependencies]\nwasmill-model.workspace = true\n", &[host]);
    }

    #[test]
    fn operators_know_no_host_and_what_tests_them_does() {
        let dependency = "[dependencies]\nwasmill-plugin.workspace = true\n";
        let operator = format!("[lib]\ncrate-type = [\"cdylib\"]\n{dependency}");
        let host = "plugins/count/Cargo.toml: must not depend on wasmill-plugin: operators and their SDK know the contract, never the host";
        check("plugins/count/Cargo.toml", &operator, &[host]);
        check("plugins/conformance/Cargo.toml", dependency, &[]);
    }

    #[test]
    fn a_crate_needs_a_place() {
        let homeless = "host/misc/Cargo.toml: has no place among the layers; give it one in tests/house";
        check("host/misc/Cargo.toml", "[dependencies]\n", &[homeless]);
    }
}
