//! Configuration: the `config` table of the job file, which arrives as JSON text, as a struct.

use alloc::{format, string::String, vec::Vec};
use core::time::Duration;

use crate::{data::DataType, memory::broken_contract};

pub use wasmill_sdk_macros::Config;

mod json;

pub use json::Json;

/// A configuration. Derive it:
///
/// ```
/// use wasmill_sdk::config::{self, Config};
///
/// #[derive(Config, Debug, PartialEq)]
/// struct Settings {
///     /// Without a default, a setting must be given.
///     threshold: f64,
///     #[config(default = "amount", renames = "amount")]
///     column: String,
///     #[config(default = Mode::Strict)]
///     mode: Mode,
///     limit: Option<i64>,
/// }
///
/// #[derive(Config, Debug, PartialEq)]
/// enum Mode { Strict, VeryLenient }
///
/// let settings: Settings = config::parse(r#"{ "threshold": 2, "mode": "very_lenient" }"#)?;
/// assert_eq!(settings, Settings { threshold: 2.0, column: "amount".into(), mode: Mode::VeryLenient, limit: None });
///
/// let wrong = config::parse::<Settings>(r#"{ "threshhold": 2 }"#).unwrap_err();
/// assert_eq!(wrong, "unknown key `threshhold`; known keys: threshold, column, mode, limit");
/// # Ok::<(), String>(())
/// ```
///
/// `renames = "amount"`: the setting says how the column is called that the operator's rows call `amount`, on the way in and out.
///
/// Values are `bool`, numbers, `String`, [`Duration`] (`"20ms"`, `"1.5h"`), `Option` (may be left out), `Vec`, enums without
/// fields (names in snake_case), structs that derive `Config`, [`Table`] (keys of the user's own) and [`DataType`] (`"int64"`).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from the configuration",
    label = "not a configuration type",
    note = "settings are bool, numbers, String, Duration, Option, Vec, Table, DataType, and types that derive Config"
)]
pub trait Config: Sized {
    /// Reads it. The message says what is wrong and, dotted, where.
    fn from_json(value: &Json) -> Result<Self, String>;

    /// What it is if the setting is left out; `None`: it must not be.
    fn if_missing() -> Option<Self> {
        None
    }

    /// The name in the job of a column that the operator's rows call by this name.
    fn rename<'n>(&'n self, column: &'n str) -> &'n str {
        column
    }
}

/// Reads a configuration from JSON text.
pub fn parse<C: Config>(text: &str) -> Result<C, String> {
    C::from_json(&json::parse(text).map_err(|message| format!("configuration is not JSON: {message}"))?)
}

/// No configuration.
impl Config for () {
    fn from_json(value: &Json) -> Result<Self, String> {
        fields(value, &[]).map(|_| ())
    }
}

fn expected<T>(what: &str, found: &Json) -> Result<T, String> {
    Err(format!("expected {what}, found {}", found.kind()))
}

impl Config for bool {
    fn from_json(value: &Json) -> Result<Self, String> {
        match value {
            Json::Boolean(value) => Ok(*value),
            _ => expected("true or false", value),
        }
    }
}

macro_rules! whole {
    ($($type:ty)+) => {$(
        impl Config for $type {
            fn from_json(value: &Json) -> Result<Self, String> {
                let Json::Number(text) = value else { return expected("a whole number", value) };
                text.parse().map_err(|_| {
                    format!("expected a whole number from {} to {}, found {text}", <$type>::MIN, <$type>::MAX)
                })
            }
        }
    )+};
}

whole!(i8 i16 i32 i64 u8 u16 u32 u64 usize);

impl Config for f64 {
    fn from_json(value: &Json) -> Result<Self, String> {
        let Json::Number(text) = value else { return expected("a number", value) };
        let number = text.parse().ok().filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| format!("expected a finite number, found {text}"))
    }
}

impl Config for String {
    fn from_json(value: &Json) -> Result<Self, String> {
        match value {
            Json::String(text) => Ok(text.clone()),
            _ => expected("a string", value),
        }
    }
}

impl Config for Duration {
    fn from_json(value: &Json) -> Result<Self, String> {
        const FORM: &str = "a duration such as \"20ms\", \"2s\", \"5m\", \"1h\" or \"1d\"";
        let Json::String(text) = value else { return expected(FORM, value) };
        duration(text).ok_or_else(|| format!("expected {FORM}, found \"{text}\""))
    }
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit() && c != '.')?)?;
    let unit_ms = match unit.trim_start() {
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit_ms / 1_000.0).ok()
}

impl<C: Config> Config for Option<C> {
    fn from_json(value: &Json) -> Result<Self, String> {
        match value {
            Json::Null => Ok(None),
            _ => C::from_json(value).map(Some),
        }
    }

    fn if_missing() -> Option<Self> {
        Some(None)
    }
}

impl<C: Config> Config for Vec<C> {
    fn from_json(value: &Json) -> Result<Self, String> {
        let Json::Array(items) = value else { return expected("an array", value) };
        let item = |(i, item)| C::from_json(item).map_err(|message| format!("[{i}]: {message}"));
        items.iter().enumerate().map(item).collect()
    }
}

/// A table whose keys are the user's own, such as names of columns: its entries by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table<C>(pub Vec<(String, C)>);

impl<C: Config> Config for Table<C> {
    fn from_json(value: &Json) -> Result<Self, String> {
        let Json::Object(entries) = value else { return expected("a table", value) };
        let entry = |(name, value): &(String, Json)| match C::from_json(value) {
            Ok(entry) => Ok((name.clone(), entry)),
            Err(message) => Err(format!("{name}: {message}")),
        };
        let mut entries: Vec<(String, C)> = entries.iter().map(entry).collect::<Result<_, String>>()?;
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Self(entries))
    }
}

/// The type of a column, by its name.
impl Config for DataType {
    fn from_json(value: &Json) -> Result<Self, String> {
        let place = choice(value, &Self::ALL.map(Self::name))?;
        Ok(Self::ALL.get(place).copied().unwrap_or_else(|| broken_contract()))
    }
}

/// The entries of an object, all of whose keys must be known.
#[doc(hidden)]
pub fn fields<'j>(value: &'j Json, known: &[&str]) -> Result<&'j [(String, Json)], String> {
    let Json::Object(entries) = value else { return expected("an object", value) };
    match entries.iter().find(|(key, _)| !known.contains(&key.as_str())) {
        Some((key, _)) if known.is_empty() => Err(format!("unknown key `{key}`: there is nothing to configure")),
        Some((key, _)) => Err(format!("unknown key `{key}`; known keys: {}", known.join(", "))),
        None => Ok(entries),
    }
}

/// The setting of this name, or else its default.
#[doc(hidden)]
pub fn field<C: Config>(entries: &[(String, Json)], name: &str, default: Option<C>) -> Result<C, String> {
    match entries.iter().find(|(key, _)| key == name) {
        Some((_, value)) => C::from_json(value).map_err(|message| {
            let dot = if message.starts_with('[') { "" } else { ": " };
            format!("{name}{dot}{message}")
        }),
        None => default.or_else(C::if_missing).ok_or_else(|| format!("`{name}` is missing")),
    }
}

/// The place of a string among these names.
#[doc(hidden)]
pub fn choice(value: &Json, names: &[&str]) -> Result<usize, String> {
    let Json::String(text) = value else { return expected("a string", value) };
    let place = names.iter().position(|name| name == text);
    place.ok_or_else(|| format!("expected one of {}, found \"{text}\"", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Config, Debug, PartialEq)]
    struct All {
        flag: bool,
        small: u8,
        #[config(default = 7)]
        big: i64,
        ratio: f64,
        #[config(default = "line", renames = "text")]
        column: String,
        wait: Option<Duration>,
        list: Option<Vec<i64>>,
        mode: Option<Mode>,
        inner: Option<Inner>,
    }

    #[derive(Config, Debug, PartialEq)]
    enum Mode {
        Final,
        EachUpdate,
    }

    #[derive(Config, Debug, PartialEq)]
    struct Inner {
        deep: i64,
    }

    const LEAST: &str = r#"{ "flag": true, "small": 200, "ratio": 1e3 "#;

    fn with(more: &str) -> Result<All, String> {
        parse(&format!("{LEAST}{more}}}"))
    }

    #[test]
    fn settings_are_read() {
        let all = with(
            r#","big":-9223372036854775808,"column":"a\u00e9","wait":"1.5s","list":[1,2],"mode":"each_update","inner":{"deep":3}"#,
        );
        let expect = All {
            flag: true,
            small: 200,
            big: i64::MIN,
            ratio: 1000.0,
            column: "aé".into(),
            wait: Some(Duration::from_millis(1500)),
            list: Some(vec![1, 2]),
            mode: Some(Mode::EachUpdate),
            inner: Some(Inner { deep: 3 }),
        };
        assert_eq!(all, Ok(expect));
    }

    #[test]
    fn defaults_stand_in() {
        let all = with(r#", "wait": null"#).expect("everything that must be is given");
        assert_eq!((all.big, all.column.as_str(), all.wait, &all.mode), (7, "line", None, &None));
        assert_eq!(all.rename("text"), "line");
        assert_eq!(all.rename("other"), "other");
    }

    #[test]
    fn tables_with_keys_of_the_users_own_are_read_by_name() {
        let table = parse::<Table<DataType>>(r#"{"b":"int64","a":"utf8"}"#);
        assert_eq!(table, Ok(Table(vec![("a".into(), DataType::Utf8), ("b".into(), DataType::Int64)])));
        let error = parse::<Table<Inner>>(r#"{"b":{"deep":true}}"#).expect_err("no number");
        assert_eq!(error, "b: deep: expected a whole number, found a boolean");
        let error = parse::<Table<DataType>>(r#"{"b":"text"}"#).expect_err("no type");
        assert_eq!(error, "b: expected one of int64, float64, timestamp, boolean, utf8, binary, found \"text\"");
        assert_eq!(parse::<Table<i64>>("1").expect_err("no table"), "expected a table, found a number");
    }

    #[test]
    fn wrong_settings_are_refused() {
        let check = |more, message: &str| assert_eq!(with(more).expect_err(message), message);
        check(
            r#","big":1.5"#,
            "big: expected a whole number from -9223372036854775808 to 9223372036854775807, found 1.5",
        );
        check(r#","big":"1""#, "big: expected a whole number, found a string");
        check(
            r#","wait":"soon""#,
            "wait: expected a duration such as \"20ms\", \"2s\", \"5m\", \"1h\" or \"1d\", found \"soon\"",
        );
        check(r#","list":[1,true]"#, "list[1]: expected a whole number, found a boolean");
        check(r#","mode":"Final""#, "mode: expected one of final, each_update, found \"Final\"");
        check(r#","inner":{"deep":1,"deeper":2}"#, "inner: unknown key `deeper`; known keys: deep");
        assert_eq!(parse::<All>("{}").expect_err("flag is missing"), "`flag` is missing");
        assert_eq!(parse::<()>(r#"{"a":1}"#).expect_err("no keys"), "unknown key `a`: there is nothing to configure");
        assert_eq!(parse::<()>("[]").expect_err("no object"), "expected an object, found an array");
        assert_eq!(parse::<f64>("1e999").expect_err("infinite"), "expected a finite number, found 1e999");
    }
}
