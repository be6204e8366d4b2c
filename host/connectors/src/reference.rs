//! The documentation of the connectors' keys, a list a table. A test holds them against what the readers ask for.

use wasmill_model::settings::Key;

const CSV_HEADER: &str = "for `csv`: whether the first row names the columns";
const CSV_DELIMITER: &str = "for `csv`: what stands between fields, one ASCII character";
const CSV_QUOTE: &str = "for `csv`: what fields are quoted with, one ASCII character";

/// `[source.NAME]` with `connector = "file"`.
pub const SOURCE_FILE: &[Key] = &[
    Key::new(
        "path",
        "required",
        "a path or glob, or an array of them. `*` does not match `/` nor a leading dot; `**` matches folders. Each must match a \
         file. `\"-\"` is standard input (a file of that name is `\"./-\"`)",
    ),
    Key::new("format", "required", "`\"json\"`, `\"lines\"`, `\"csv\"`, `\"parquet\"` or `\"arrow\"`"),
    Key::new(
        "schema",
        "required for `json` and `csv`; for `parquet` and `arrow` the columns of the first file",
        "the columns, [below](#the-schema-of-a-source). Not for `lines`, whose one column is `line`, utf8",
    ),
    Key::new(
        "line_bytes_max",
        "`\"16MiB\"`",
        "for text: the longest line (in CSV: row), its end not counted, up to `\"1GiB\"`",
    ),
    Key::new(
        "invalid_utf8",
        "`\"fail\"`",
        "for text: `\"fail\"`: bytes that are not UTF-8 make their row bad; `\"replace\"`: they become U+FFFD",
    ),
    Key::new("header", "`true`", CSV_HEADER),
    Key::new("delimiter", "`\",\"`", CSV_DELIMITER),
    Key::new("quote", "`\"\\\"\"`", CSV_QUOTE),
];

/// A column of a source's `schema` that is a table.
pub const SOURCE_COLUMN: &[Key] = &[
    Key::new("type", "required", "the type, with `?` if the column may hold nulls"),
    Key::new(
        "unit",
        "`\"ms\"`",
        "of a `timestamp`: what its numbers count since the epoch, `\"s\"`, `\"ms\"`, `\"us\"` or `\"ns\"`; finer parts than a \
         millisecond are cut off, towards the past. Seconds may have a fraction in text",
    ),
    Key::new(
        "path",
        "the key of the column's name",
        "for `json`: where the value lies: `\"properties.place\"`, `\"coordinates[0]\"` (also `\"coordinates.0\"`), or its steps \
         one by one for keys with dots: `[\"a.b\", 0]`",
    ),
    Key::new(
        "json",
        "`false`",
        "for `json`, `parquet`, `arrow`: `true`: the column, `utf8`, holds the JSON text of whatever value stands there, as it \
         is written",
    ),
];

/// `[source.NAME]` with `connector = "nexmark"`.
pub const SOURCE_NEXMARK: &[Key] = &[
    Key::new("events", "without end", "how many, of all kinds and subtasks together"),
    Key::new("rate", "as fast as possible", "events a second, of all subtasks together"),
    Key::new("seed", "0", "from 0"),
    Key::new("keys", "10,000", "how many different bidders bid"),
    Key::new(
        "only_bids",
        "`false`",
        "every event is a bid; else of every 50, one is a person, three are auctions and 46 are bids",
    ),
    Key::new("first_event_time", "1,700,000,000,000", "ms since the epoch, or RFC 3339 text"),
    Key::new("event_rate", "10,000", "events in a second of event time, whatever the `rate`"),
];

/// `[source.NAME]` with `connector = "host-metrics"`.
pub const SOURCE_HOST_METRICS: &[Key] = &[
    Key::new("interval", "`\"1s\"`", "the time between two rounds, at least `\"200ms\"`"),
    Key::new("count", "without end", "how many rounds"),
];

/// `[sink.NAME]` with `connector = "file"`; but for `path` and `roll` also with `"stdout"`.
pub const SINK_FILE: &[Key] = &[
    Key::new(
        "path",
        "required",
        "the file. Missing folders are made. Text whose name ends in `.gz` or `.zst` is packed. `\"-\"` is standard output, as \
         of the sink [`stdout`](#sink-stdout)",
    ),
    Key::new("format", "required", "`\"json\"`, `\"lines\"`, `\"csv\"`, `\"parquet\"` or `\"arrow\"`"),
    Key::new("column", "the only one", "for `lines`: the utf8 column to write"),
    Key::new("header", "`true`", CSV_HEADER),
    Key::new("delimiter", "`\",\"`", CSV_DELIMITER),
    Key::new("quote", "`\"\\\"\"`", CSV_QUOTE),
    Key::new(
        "compression",
        "`\"zstd\"`; `\"none\"`",
        "for `parquet`: `\"zstd\"`, `\"snappy\"`, `\"lz4\"`, `\"gzip\"` or `\"none\"`; for `arrow`: `\"none\"`, `\"lz4\"` or `\"zstd\"`",
    ),
    Key::new(
        "roll",
        "in a job that does not end by itself, `{}`; else `false`",
        "when a file ends and the next one begins, [below](#files-that-roll): a table, or `false` for never",
    ),
];

/// `roll` of a `file` sink.
pub const ROLL: &[Key] = &[
    Key::new("size", "`\"128MiB\"`", "a file ends when it has so many bytes"),
    Key::new("every", "`\"10m\"`", "a file ends when so much time has passed since its first row"),
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use wasmill_model::settings::Settings;

    use super::*;
    use crate::{SinkConfig, SourceConfig};

    /// The names that were asked for of a table, or of one inside of it, while all of these were read.
    fn asked(tables: &[String], inside: &[&str], read: impl Fn(&Settings)) -> BTreeSet<&'static str> {
        let mut names = BTreeSet::new();
        for text in tables {
            let settings = Settings::parse(Path::new("job.toml"), text).expect("it is TOML");
            read(&settings);
            let table = inside.iter().fold(settings, |table, name| {
                let (_, setting) = table.iter().find(|(key, _)| key == name).expect("it is written");
                setting.table().expect("it is a table").clone()
            });
            names.extend(table.known());
        }
        names
    }

    #[track_caller]
    fn check(documented: &[Key], also: &[&'static str], asked: &BTreeSet<&'static str>) {
        let names: BTreeSet<&str> = documented.iter().map(|key| key.name).chain(also.iter().copied()).collect();
        assert_eq!(&names, asked);
        assert_eq!(documented.len() + also.len(), names.len(), "a key stands twice");
    }

    fn source(settings: &Settings) {
        // Columnar files that are not there have no columns; by then every key has been asked for.
        let _ = SourceConfig::read(settings, Path::new("."));
    }

    fn sink(settings: &Settings) {
        SinkConfig::read(settings, Path::new(".")).expect("it is a sink");
    }

    #[test]
    fn what_is_documented_of_sources_is_what_is_read() {
        let file = |rest: &str| format!("connector = \"file\"\npath = \"a\"\n{rest}");
        let schema = "schema = { a = { type = \"utf8\" } }";
        let formats = ["json", "lines", "csv", "parquet", "arrow"];
        let files: Vec<String> = formats
            .iter()
            .map(|format| file(&format!("format = \"{format}\"\n{}", if *format == "lines" { "" } else { schema })))
            .collect();
        check(SOURCE_FILE, &["connector"], &asked(&files, &[], source));
        let with_schema: Vec<String> = files.into_iter().filter(|text| text.contains("schema")).collect();
        check(SOURCE_COLUMN, &[], &asked(&with_schema, &["schema", "a"], source));
        check(SOURCE_NEXMARK, &["connector"], &asked(&["connector = \"nexmark\"".to_owned()], &[], source));
        check(SOURCE_HOST_METRICS, &["connector"], &asked(&["connector = \"host-metrics\"".to_owned()], &[], source));
    }

    #[test]
    fn what_is_documented_of_sinks_is_what_is_read() {
        let formats = ["json", "lines", "csv", "parquet", "arrow"];
        let of = |head: &str| -> Vec<String> { formats.iter().map(|f| format!("{head}\nformat = \"{f}\"")).collect() };
        let files = of("connector = \"file\"\npath = \"a\"\nroll = {}");
        check(SINK_FILE, &["connector"], &asked(&files, &[], sink));
        check(ROLL, &[], &asked(&files, &["roll"], sink));
        let own: Vec<Key> = SINK_FILE.iter().copied().filter(|key| !matches!(key.name, "path" | "roll")).collect();
        check(&own, &["connector"], &asked(&of("connector = \"stdout\""), &[], sink));
        check(&[], &["connector"], &asked(&["connector = \"blackhole\"".to_owned()], &[], sink));
    }
}
