//! What the name of a file says about what is in it.

use std::path::Path;

/// How a file is packed, by the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    /// The packing of a name, and the rest of the name.
    pub(crate) fn of(name: &str) -> (&str, Option<Self>) {
        for (ending, packing) in [(".gz", Self::Gzip), (".zst", Self::Zstd)] {
            if let Some(rest) = name.strip_suffix(ending).filter(|rest| !rest.is_empty()) {
                return (rest, Some(packing));
            }
        }
        (name, None)
    }

    /// What it puts at the end of a name.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}

/// A format, as `format` names it, and what else a file's name says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedFormat {
    pub format: &'static str,
    /// For CSV: what stands between its fields, if it is no comma.
    pub delimiter: Option<char>,
}

/// The format that a file's name speaks of, packed or not; none if its ending is none of those known.
pub fn format_of_name(path: &Path) -> Option<NamedFormat> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let (name, _) = Packing::of(&name);
    let plain = |format| Some(NamedFormat { format, delimiter: None });
    match name.rsplit_once('.')?.1 {
        "jsonl" | "json" | "ndjson" => plain("json"),
        "csv" => plain("csv"),
        "tsv" => Some(NamedFormat { format: "csv", delimiter: Some('\t') }),
        "txt" | "log" => plain("lines"),
        "parquet" => plain("parquet"),
        "arrow" | "ipc" | "feather" => plain("arrow"),
        _ => None,
    }
}

/// The endings that [`format_of_name`] knows, for messages.
pub const ENDINGS: &str = ".jsonl, .json, .csv, .tsv, .txt, .parquet or .arrow, with .gz or .zst behind it or not";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_format() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(format_of_name(Path::new(name)).map(|named| named.format), expected, "{name}");
        };
        check("a.jsonl", Some("json"));
        check("dir.csv/a.json", Some("json"));
        check("a.JSONL.GZ", Some("json"));
        check("a.ndjson.zst", Some("json"));
        check("a.csv", Some("csv"));
        check("a.log.gz", Some("lines"));
        check("a.b.parquet", Some("parquet"));
        check("a.arrow", Some("arrow"));
        check("a.gz", None);
        check(".gz", None);
        check("jsonl", None);
        check("a.exe", None);
        check("..", None);
        assert_eq!(format_of_name(Path::new("a.tsv.gz")).and_then(|named| named.delimiter), Some('\t'));
    }
}
