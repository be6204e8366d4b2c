//! The SDK as a project has it: the sources of this repository, with manifests that need no workspace around them.

use toml::{Table, Value};

/// The manifest of the repository's workspace, in which the others' leave things out.
const WORKSPACE: &str = "Cargo.toml";

/// All files of the SDK, with the manifests completed from the workspace's.
pub(super) fn files(sources: &[(&str, &str)]) -> Vec<(String, String)> {
    let workspace = sources.iter().find(|(path, _)| *path == WORKSPACE).map(|(_, text)| parse(text));
    let workspace = workspace.expect("the build script puts it there");
    let file = |&(path, content): &(&str, &str)| {
        let content = match path.strip_suffix("/Cargo.toml") {
            Some(folder) => standalone(&parse(content), &workspace["workspace"], folder).to_string(),
            None => content.to_owned(),
        };
        (path.to_owned(), content)
    };
    sources.iter().filter(|(path, _)| *path != WORKSPACE).map(file).collect()
}

fn parse(text: &str) -> Table {
    text.parse().expect("cargo has read it too")
}

/// A manifest with what it takes from its workspace written out, and without lints, which are this repository's.
/// `folder`: where it is, from the workspace's root.
fn standalone(manifest: &Table, workspace: &Value, folder: &str) -> Table {
    let mut alone = Table::new();
    for (section, value) in manifest {
        let Value::Table(entries) = value else { continue };
        let from = match section.as_str() {
            "lints" => continue,
            "dependencies" | "dev-dependencies" | "build-dependencies" => &workspace["dependencies"],
            _ => &workspace["package"],
        };
        let written = entries.iter().map(|(key, entry)| (key.clone(), written(key, entry, from, folder)));
        alone.insert(section.clone(), Value::Table(written.collect()));
    }
    alone
}

fn written(key: &str, entry: &Value, workspace: &Value, folder: &str) -> Value {
    let own = entry.as_table().filter(|own| own.get("workspace") == Some(&Value::Boolean(true)));
    let Some(own) = own else { return entry.clone() };
    let mut whole = workspace[key].clone();
    if let Value::Table(whole) = &mut whole {
        if let Some(Value::String(path)) = whole.get_mut("path") {
            *path = format!("{}{path}", "../".repeat(folder.split('/').count()));
        }
        whole
            .extend(own.iter().filter(|(key, _)| *key != "workspace").map(|(key, value)| (key.clone(), value.clone())));
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_takes_what_it_leaves_out_from_the_workspace() {
        let workspace = "[workspace.package]\nversion = \"1.2.3\"\n[workspace.dependencies]\na = \"4\"\n\
                         b = { path = \"sdk/b\" }\nc = { version = \"5\", default-features = false }\n";
        let own = "[package]\nname = \"x\"\nversion.workspace = true\n[lib]\nproc-macro = true\n[dependencies]\n\
                   a.workspace = true\nb.workspace = true\nc = { workspace = true, features = [\"f\"] }\nd = \"6\"\n\
                   [lints]\nworkspace = true\n";
        let files = files(&[("Cargo.toml", workspace), ("sdk/x/Cargo.toml", own), ("sdk/x/src/lib.rs", "//! X.\n")]);
        let expect = "[package]\nname = \"x\"\nversion = \"1.2.3\"\n[lib]\nproc-macro = true\n[dependencies]\na = \"4\"\n\
                      b = { path = \"../../sdk/b\" }\nc = { version = \"5\", default-features = false, features = [\"f\"] }\n\
                      d = \"6\"\n";
        assert_eq!(parse(&files[0].1), parse(expect));
        assert_eq!(files[1], ("sdk/x/src/lib.rs".to_owned(), "//! X.\n".to_owned()));
        assert_eq!(files.len(), 2);
    }
}
