//! Settings: the values of a job file, each knowing where it was written.
//!
//! A reader takes the keys it knows, one by one, and calls [`Settings::finish`]: whatever is left was written for
//! nobody, and is an error with the nearest known key. Every error names the place, the key and what was expected.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    fault::{Code, Coded},
    schema::{DataType, Field, Schema},
    time::parse_duration,
};

mod json;
mod key;
mod parse;

pub use key::{Key, markdown};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line (from 1) of a job file; of JSON, always the first.
    File { file: Arc<str>, line: u32 },
    /// An argument of the command line, as typed: `--set a.b=c`.
    Set(Arc<str>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line } => write!(f, "{file}:{line}"),
            Self::Set(text) => f.write_str(text),
        }
    }
}

/// What is wrong with a setting. Shown as `job.toml:7: source.payments.path: expected a string, found an integer`,
/// with the hint, if there is one, on a line of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub code: Code,
    pub origin: Origin,
    /// Dotted path of the key.
    pub key: String,
    pub message: String,
    pub hint: Option<String>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

impl Error {
    /// The same error under another code.
    pub fn coded(self, code: Code) -> Self {
        Self { code, ..self }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// What was expected and what was found, where the message says both.
    pub fn expected_and_found(&self) -> Option<(&str, &str)> {
        self.message.strip_prefix("expected ")?.split_once(", found ")
    }
}

impl Coded for Error {
    fn code(&self) -> Code {
        self.code
    }
}

/// A value and where it was written.
#[derive(Debug, Clone)]
pub struct Setting {
    pub value: Value,
    pub origin: Origin,
    /// Dotted path of the key it belongs to.
    pub key: String,
}

/// What can be written in a job file.
#[derive(Debug, Clone)]
pub enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Array(Vec<Setting>),
    Table(Settings),
}

impl Value {
    /// The kind, with its article, for messages.
    fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

impl Setting {
    /// An error about this value: that its text does not have the form it should, unless [`Error::coded`] says otherwise.
    pub fn error(&self, message: impl Into<String>) -> Error {
        Error {
            code: Code::JobFileBadValue,
            origin: self.origin.clone(),
            key: self.key.clone(),
            message: message.into(),
            hint: None,
        }
    }

    /// The same with a hint: what to do now.
    pub fn error_with_hint(&self, message: impl Into<String>, hint: impl Into<String>) -> Error {
        Error { hint: Some(hint.into()), ..self.error(message) }
    }

    fn expected(&self, what: &str) -> Error {
        self.error(format!("expected {what}, found {}", self.value.kind())).coded(Code::JobFileWrongType)
    }

    /// An error about a number outside of its bounds.
    pub fn out_of_range(&self, message: impl Into<String>) -> Error {
        self.error(message).coded(Code::JobFileOutOfRange)
    }

    pub fn string(&self) -> Result<&str, Error> {
        match &self.value {
            Value::String(text) => Ok(text),
            _ => Err(self.expected("a string")),
        }
    }

    /// A path: relative to `base`, the folder of the job file, or, from `--set`, to the current directory.
    pub fn path(&self, base: &Path) -> Result<PathBuf, Error> {
        let text = self.string()?;
        Ok(match self.origin {
            Origin::File { .. } => base.join(text),
            Origin::Set(_) => PathBuf::from(text),
        })
    }

    pub fn boolean(&self) -> Result<bool, Error> {
        match self.value {
            Value::Boolean(b) => Ok(b),
            _ => Err(self.expected("true or false")),
        }
    }

    /// A whole number within bounds.
    pub fn integer(&self, min: i64, max: i64) -> Result<i64, Error> {
        match self.value {
            Value::Integer(i) if (min..=max).contains(&i) => Ok(i),
            Value::Integer(i) if max == i64::MAX => {
                Err(self.out_of_range(format!("expected at least {min}, found {i}")))
            }
            Value::Integer(i) => Err(self.out_of_range(format!("expected a number from {min} to {max}, found {i}"))),
            _ => Err(self.expected("a whole number")),
        }
    }

    /// A number, whole or not; it must be finite.
    pub fn number(&self) -> Result<f64, Error> {
        match self.value {
            Value::Float(f) if f.is_finite() => Ok(f),
            Value::Float(f) => Err(self.out_of_range(format!("expected a finite number, found {f}"))),
            Value::Integer(i) => Ok(i as f64),
            _ => Err(self.expected("a number")),
        }
    }

    /// A duration such as `"20ms"`.
    pub fn duration(&self) -> Result<Duration, Error> {
        const FORM: &str = "a duration such as \"20ms\", \"2s\", \"5m\", \"1h\" or \"1d\"";
        match &self.value {
            Value::String(text) => {
                let error = || self.error(format!("expected {FORM}, found \"{text}\""));
                parse_duration(text).ok_or_else(|| error().coded(Code::JobFileBadDuration))
            }
            _ => Err(self.expected(FORM).coded(Code::JobFileBadDuration)),
        }
    }

    /// A number of bytes such as `"64MiB"`, or a whole number.
    pub fn bytes(&self) -> Result<u64, Error> {
        const FORM: &str = "a size such as \"512KiB\", \"64MiB\" or \"2GiB\"";
        let error = |found: String| self.error(format!("expected {FORM}, found {found}")).coded(Code::JobFileBadSize);
        match &self.value {
            Value::String(text) => parse_bytes(text).ok_or_else(|| error(format!("\"{text}\""))),
            Value::Integer(i) => u64::try_from(*i).map_err(|_| error(i.to_string())),
            _ => Err(self.expected(FORM).coded(Code::JobFileBadSize)),
        }
    }

    /// An array of strings.
    pub fn strings(&self) -> Result<Vec<String>, Error> {
        match &self.value {
            Value::Array(items) => items.iter().map(|item| item.string().map(str::to_owned)).collect(),
            _ => Err(self.expected("an array of strings")),
        }
    }

    pub fn items(&self) -> Result<&[Setting], Error> {
        match &self.value {
            Value::Array(items) => Ok(items),
            _ => Err(self.expected("an array")),
        }
    }

    pub fn table(&self) -> Result<&Settings, Error> {
        match &self.value {
            Value::Table(table) => Ok(table),
            _ => Err(self.expected("a table")),
        }
    }

    /// One of a few names; returns its place in `names`.
    pub fn choice(&self, names: &[&str]) -> Result<usize, Error> {
        let text = self.string()?;
        names.iter().position(|name| *name == text).ok_or_else(|| {
            let message = format!("expected one of {}, found \"{text}\"", list(names));
            Error { hint: did_you_mean(text, names), ..self.error(message).coded(Code::JobFileUnknownChoice) }
        })
    }

    /// A schema: `{ card = "utf8", note = "utf8?" }`; a `?` means that the column may hold nulls.
    pub fn schema(&self) -> Result<Schema, Error> {
        let mut fields = Vec::new();
        for (name, setting) in self.table()?.iter() {
            let (data_type, nullable) = setting.column_type()?;
            fields.push(Field { name: name.to_owned(), data_type, nullable });
        }
        Schema::new(fields).map_err(|e| self.error(e.to_string()).coded(e.code()))
    }

    /// The type of a column, such as `"utf8?"`, and whether the column may hold nulls.
    pub fn column_type(&self) -> Result<(DataType, bool), Error> {
        let text = self.string()?;
        let (type_name, nullable) = text.strip_suffix('?').map_or((text, false), |t| (t, true));
        let Some(data_type) = DataType::from_name(type_name) else {
            let names = DataType::ALL.map(DataType::name);
            let message = format!("expected a type, one of {}, found \"{text}\"", list(&names));
            let error = self.error(message).coded(Code::JobFileUnknownType);
            let meant = DataType::meant_by(type_name).map(|data_type| format!("did you mean `{data_type}`?"));
            return Err(Error { hint: meant.or_else(|| did_you_mean(type_name, &names)), ..error });
        };
        Ok((data_type, nullable))
    }

    /// The value as JSON, for an operator's configuration.
    pub fn json(&self) -> serde_json::Value {
        match &self.value {
            Value::String(text) => text.as_str().into(),
            Value::Integer(i) => (*i).into(),
            Value::Float(f) => (*f).into(),
            Value::Boolean(b) => (*b).into(),
            Value::Array(items) => items.iter().map(Setting::json).collect(),
            Value::Table(table) => {
                serde_json::Value::Object(table.iter().map(|(k, v)| (k.to_owned(), v.json())).collect())
            }
        }
    }
}

/// The keys that were asked for; shared by the clones of a table.
type Asked = Arc<Mutex<Vec<&'static str>>>;

/// A table of settings. Keys that were asked for are remembered, so that [`Settings::finish`] can name the rest.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Dotted path of the table, empty for the whole file.
    path: String,
    origin: Origin,
    entries: Vec<(String, Setting)>,
    asked: Asked,
}

impl Settings {
    /// Reads TOML text. `file` is the name to show in errors.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Error> {
        parse::document(&file.display().to_string(), text)
    }

    /// Reads JSON text, which must be an object; a key that stands twice and a null are errors. `name` is what to call
    /// the text in errors.
    pub fn parse_json(name: &str, text: &[u8]) -> Result<Self, Error> {
        json::document(name, text)
    }

    /// Sets a value by its dotted path, as `--set a.b=c` does: the value is read as TOML, and as a string if it is none.
    pub fn set(&mut self, assignment: &str) -> Result<(), Error> {
        parse::assign(self, assignment)
    }

    /// Sets the value that these names lead to, on behalf of an argument of the command line.
    pub fn put(&mut self, names: &[&str], value: Value, argument: &str) -> Result<(), Error> {
        let setting = Setting { value, origin: Origin::Set(argument.into()), key: names.join(".") };
        parse::insert(self, names, setting)
    }

    /// Takes out of the table that these names lead to all keys but some. A table that is not there has none.
    pub fn retain(&mut self, names: &[&str], keep: impl Fn(&str) -> bool) {
        let [name, rest @ ..] = names else { return self.entries.retain(|(key, _)| keep(key)) };
        if let Some((_, Setting { value: Value::Table(inner), .. })) =
            self.entries.iter_mut().find(|(key, _)| key == name)
        {
            inner.retain(rest, keep);
        }
    }

    /// Dotted path of the table.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The entries in the order they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.entries.iter().map(|(name, setting)| (name.as_str(), setting))
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The setting of this name, if it is written; the name is known from now on.
    pub fn get(&self, name: &'static str) -> Option<&Setting> {
        let mut asked = self.asked();
        if !asked.contains(&name) {
            asked.push(name);
        }
        drop(asked);
        self.entries.iter().find(|(key, _)| key == name).map(|(_, setting)| setting)
    }

    /// The setting of this name, which must be written.
    pub fn require(&self, name: &'static str) -> Result<&Setting, Error> {
        self.get(name).ok_or_else(|| {
            let unasked = self.entries.iter().find(|(key, _)| self.is_unknown(key) && similar(key, name));
            match unasked {
                Some((key, setting)) => Error {
                    hint: Some(format!("did you mean `{name}`?")),
                    ..setting.error(format!("unknown key `{key}`")).coded(Code::JobFileUnknownKey)
                },
                None => self.error(format!("`{name}` is missing")).coded(Code::JobFileMissingKey),
            }
        })
    }

    /// Reads an optional setting.
    pub fn optional<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Setting) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        self.get(name).map(read).transpose()
    }

    /// An error about the table as a whole; see [`Setting::error`].
    pub fn error(&self, message: impl Into<String>) -> Error {
        let (code, origin) = (Code::JobFileBadValue, self.origin.clone());
        Error { code, origin, key: self.path.clone(), message: message.into(), hint: None }
    }

    /// Refuses keys that nobody asked for.
    pub fn finish(&self) -> Result<(), Error> {
        let Some((key, setting)) = self.entries.iter().find(|(key, _)| self.is_unknown(key)) else { return Ok(()) };
        let known = self.known();
        let hint = did_you_mean(key, &known).unwrap_or_else(|| format!("known keys: {}", known.join(", ")));
        let error = setting.error(format!("unknown key `{key}`")).coded(Code::JobFileUnknownKey);
        Err(Error { hint: Some(hint), ..error })
    }

    /// The names that were asked for so far, sorted.
    pub fn known(&self) -> Vec<&'static str> {
        let mut known = self.asked().clone();
        known.sort_unstable();
        known
    }

    fn is_unknown(&self, key: &str) -> bool {
        !self.asked().contains(&key)
    }

    fn asked(&self) -> MutexGuard<'_, Vec<&'static str>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a size in bytes: a whole number and a unit, `B`, `KiB`, `MiB` or `GiB`.
fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// `a`, `b` or `c`.
fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// Whether one word is likely a misspelling of the other.
fn similar(a: &str, b: &str) -> bool {
    strsim::damerau_levenshtein(a, b) <= 1 + a.len().min(b.len()) / 4
}

/// A hint that names the candidate nearest to a word, if one is near.
pub fn did_you_mean<S: AsRef<str>>(word: &str, candidates: &[S]) -> Option<String> {
    most_similar(word, candidates).map(|best| format!("did you mean `{best}`?"))
}

/// The candidate nearest to a word, if one is near.
pub fn most_similar<'a, S: AsRef<str>>(word: &str, candidates: &'a [S]) -> Option<&'a str> {
    let near = candidates.iter().map(AsRef::as_ref).filter(|name| similar(word, name));
    near.min_by_key(|name| strsim::damerau_levenshtein(word, name))
}

#[cfg(test)]
mod tests;
