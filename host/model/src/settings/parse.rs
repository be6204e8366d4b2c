//! From TOML text, and from `--set`, to [`Settings`].

use std::sync::Arc;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Error, Origin, Setting, Settings, Value};
use crate::fault::Code;

/// Finds the line of a byte offset.
struct Lines<'a> {
    file: Arc<str>,
    text: &'a str,
}

impl Lines<'_> {
    fn origin(&self, offset: usize) -> Origin {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
        Origin::File { file: self.file.clone(), line: line as u32 }
    }
}

/// Reads a whole document.
pub(super) fn document(file: &str, text: &str) -> Result<Settings, Error> {
    let lines = Lines { file: file.into(), text };
    let table = DeTable::parse(text).map_err(|e| Error {
        code: Code::JobFileSyntax,
        origin: lines.origin(e.span().map_or(0, |span| span.start)),
        key: String::new(),
        message: e.message().replace('\n', ", "),
        hint: None,
    })?;
    read_table(table.get_ref(), String::new(), &lines.origin(0), &|offset| lines.origin(offset))
}

/// Applies `a.b=c`.
pub(super) fn assign(settings: &mut Settings, assignment: &str) -> Result<(), Error> {
    let origin = Origin::Set(format!("--set {assignment}").into());
    let error = |message: &str| Error {
        code: Code::SetArgument,
        origin: origin.clone(),
        key: String::new(),
        message: message.to_owned(),
        hint: Some("write --set table.key=value, for example --set job.parallelism=2".to_owned()),
    };
    let (path, text) = assignment.split_once('=').ok_or_else(|| error("expected key=value"))?;
    let names: Vec<&str> = path.trim().split('.').map(str::trim).collect();
    if names.iter().any(|name| name.is_empty()) {
        return Err(error("the key has an empty part"));
    }
    let key = names.join(".");
    let text = text.trim();
    let value = match DeValue::parse(text) {
        Ok(value) => read_value(&value, &key, &origin, &|_| origin.clone())?,
        Err(_) => Value::String(text.to_owned()),
    };
    insert(settings, &names, Setting { value, origin: origin.clone(), key: key.clone() })
}

/// Puts a setting where these names lead to, replacing what was there.
pub(super) fn insert(table: &mut Settings, names: &[&str], setting: Setting) -> Result<(), Error> {
    let [name, rest @ ..] = names else { return Ok(()) };
    let place = table.entries.iter().position(|(key, _)| key == name);
    if rest.is_empty() {
        match place {
            Some(place) => table.entries[place].1 = setting,
            None => table.entries.push(((*name).to_owned(), setting)),
        }
        return Ok(());
    }
    let place = place.unwrap_or_else(|| {
        let path = join(&table.path, name);
        let inner =
            Settings { path: path.clone(), origin: setting.origin.clone(), entries: Vec::new(), asked: Arc::default() };
        let entry = Setting { value: Value::Table(inner), origin: setting.origin.clone(), key: path };
        table.entries.push(((*name).to_owned(), entry));
        table.entries.len() - 1
    });
    match &mut table.entries[place].1.value {
        Value::Table(inner) => insert(inner, rest, setting),
        other => {
            let message = format!("`{name}` is {}, not a table", other.kind());
            Err(setting.error(message).coded(Code::SetArgument))
        }
    }
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

type OriginOf<'a> = &'a dyn Fn(usize) -> Origin;

fn read_table(table: &DeTable<'_>, path: String, origin: &Origin, at: OriginOf<'_>) -> Result<Settings, Error> {
    let mut entries = Vec::new();
    for (name, value) in table {
        let key = join(&path, name.get_ref());
        let origin = at(name.span().start);
        let value = read_value(value, &key, &origin, at)?;
        entries.push((name.get_ref().to_string(), Setting { value, origin, key }));
    }
    Ok(Settings { path, origin: origin.clone(), entries, asked: Arc::default() })
}

fn read_value(value: &Spanned<DeValue<'_>>, key: &str, origin: &Origin, at: OriginOf<'_>) -> Result<Value, Error> {
    let error = |message: String| {
        let (code, origin) = (Code::JobFileOutOfRange, at(value.span().start));
        Error { code, origin, key: key.to_owned(), message, hint: None }
    };
    Ok(match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(b) => Value::Boolean(*b),
        DeValue::Integer(i) => Value::Integer(
            i64::from_str_radix(i.as_str(), i.radix()).map_err(|_| error(format!("{i} does not fit 64 bits")))?,
        ),
        DeValue::Float(f) => Value::Float(f.as_str().parse().map_err(|_| error("not a number".to_owned()))?),
        DeValue::Datetime(datetime) => Value::String(datetime.to_string()),
        DeValue::Array(items) => Value::Array(
            items
                .iter()
                .enumerate()
                .map(|(i, item)| {
                    let key = format!("{key}[{i}]");
                    let origin = at(item.span().start);
                    Ok(Setting { value: read_value(item, &key, &origin, at)?, origin, key })
                })
                .collect::<Result<_, Error>>()?,
        ),
        DeValue::Table(table) => Value::Table(read_table(table, key.to_owned(), origin, at)?),
    })
}
