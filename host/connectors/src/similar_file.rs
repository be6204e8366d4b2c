//! The file that was perhaps meant where one is not there.

use std::{fs, path::Path};

use wasmill_model::settings::most_similar;

/// Entries of a folder that are looked at.
const ENTRIES_MAX: usize = 1_000;

/// A path like this one, whose file exists beside it and has a similar name. For hints only: it reads the folder.
pub fn similar_file(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = fs::read_dir(folder).ok()?.take(ENTRIES_MAX).flatten();
    let names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let near = most_similar(name, &names).filter(|near| *near != name)?;
    Some(path.with_file_name(near).display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_beside_it_is_meant() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["payments.jsonl", "payments.csv", "score.wasm"] {
            fs::write(folder.path().join(name), "").expect("it takes files");
        }
        let check = |name: &str, expect: Option<&str>| {
            let expect = expect.map(|near| folder.path().join(near).display().to_string());
            assert_eq!(similar_file(&folder.path().join(name)), expect, "{name}");
        };
        check("paymnets.jsonl", Some("payments.jsonl"));
        check("payment.csv", Some("payments.csv"));
        check("zebra.wasm", None);
        check("score.wasm", None);
        check("nowhere/score.wasm", None);
        assert_eq!(similar_file(Path::new("/")), None);
    }
}
