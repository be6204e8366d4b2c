//! What kinds of values a column was seen to have, and which type that makes.

use wasmill_model::DataType;

use crate::source_columns::TimeUnit;

/// The kinds of values seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Kinds {
    pub(super) null: bool,
    pub(super) boolean: bool,
    pub(super) integer: bool,
    pub(super) float: bool,
    /// Text as in RFC 3339.
    pub(super) time: bool,
    pub(super) text: bool,
    pub(super) nested: bool,
    /// The largest whole number, its sign left out.
    pub(super) integer_max: u64,
}

/// The type of a column.
pub(super) enum Found {
    One(DataType),
    /// Values of no one type; the kinds, to be shown.
    Mixed(String),
    /// No value at all.
    Nothing,
}

impl Kinds {
    pub(super) fn integer(&mut self, value: i64) {
        self.integer = true;
        self.integer_max = self.integer_max.max(value.unsigned_abs());
    }

    /// The type that holds all that was seen.
    pub(super) fn found(&self) -> Found {
        let Self { boolean, integer, float, time, text, nested, .. } = *self;
        let seen = [
            (boolean, "booleans"),
            (integer || float, "numbers"),
            (time || text, "text"),
            (nested, "objects or arrays"),
        ];
        let seen: Vec<&str> = seen.iter().filter(|(seen, _)| *seen).map(|(_, name)| *name).collect();
        match seen.as_slice() {
            [] => Found::Nothing,
            ["booleans"] => Found::One(DataType::Boolean),
            ["numbers"] if float => Found::One(DataType::Float64),
            ["numbers"] => Found::One(DataType::Int64),
            ["text"] if text => Found::One(DataType::Utf8),
            ["text"] => Found::One(DataType::Timestamp),
            _ => Found::Mixed(seen.join(" and ")),
        }
    }

    /// The unit in which whole numbers would count the time since the epoch, if a column of this name may hold times.
    pub(super) fn time_unit(&self, name: &str) -> Option<TimeUnit> {
        const NAMES: [&str; 6] = ["at", "ts", "time", "date", "timestamp", "epoch"];
        const ENDS: [&str; 9] = ["_at", "_ts", "_time", "_date", "_timestamp", "_ms", "_us", "_ns", "_epoch"];
        let name = name.to_lowercase();
        let is_named = NAMES.contains(&name.as_str()) || ENDS.iter().any(|end| name.ends_with(end));
        // The years 1973 to 5138 in each unit.
        const UNITS: [(u64, TimeUnit); 4] = [
            (100_000_000_000_000_000, TimeUnit::Nanoseconds),
            (100_000_000_000_000, TimeUnit::Microseconds),
            (100_000_000_000, TimeUnit::Milliseconds),
            (100_000_000, TimeUnit::Seconds),
        ];
        let unit = UNITS.iter().find(|(least, _)| self.integer_max >= *least).map(|(_, unit)| *unit);
        unit.filter(|_| is_named && self.integer && !self.float)
    }
}
