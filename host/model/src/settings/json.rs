//! From JSON text to [`Settings`].

use std::{fmt, sync::Arc};

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Error, Origin, Setting, Settings, Value, parse::join};
use crate::fault::Code;

/// Reads a whole document, which must be an object. `name` is what to call it in errors.
pub(super) fn document(name: &str, text: &[u8]) -> Result<Settings, Error> {
    let origin = Origin::File { file: name.into(), line: 1 };
    let code = Code::Manifest;
    let error = |message: String| Error { code, origin: origin.clone(), key: String::new(), message, hint: None };
    let json: Json = serde_json::from_slice(text).map_err(|e| error(format!("expected JSON, found {e}")))?;
    match read(json, String::new(), &origin) {
        Value::Table(table) => Ok(table),
        other => Err(error(format!("expected a table, found {}", other.kind()))),
    }
}

/// A value of JSON, with the keys of objects in their order.
enum Json {
    Scalar(Value),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

fn read(json: Json, key: String, origin: &Origin) -> Value {
    let setting = |json: Json, key: String| {
        let value = read(json, key.clone(), origin);
        Setting { value, origin: origin.clone(), key }
    };
    match json {
        Json::Scalar(value) => value,
        Json::Array(items) => {
            Value::Array(items.into_iter().enumerate().map(|(i, item)| setting(item, format!("{key}[{i}]"))).collect())
        }
        Json::Object(entries) => {
            let entry = |(name, value): (String, Json)| {
                let path = join(&key, &name);
                (name, setting(value, path))
            };
            let entries = entries.into_iter().map(entry).collect();
            Value::Table(Settings { path: key.clone(), origin: origin.clone(), entries, asked: Arc::default() })
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Scalar(Value::Boolean(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Scalar(Value::Integer(value)))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Json, E> {
        let value = i64::try_from(value).map_err(|_| E::custom("a number beyond 64 bits"))?;
        Ok(Json::Scalar(Value::Integer(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Scalar(Value::Float(value)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Scalar(Value::String(text.to_owned())))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Json, E> {
        Err(E::custom("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Json::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut all: Vec<(String, Json)> = Vec::new();
        while let Some((name, value)) = entries.next_entry::<String, Json>()? {
            if all.iter().any(|(other, _)| *other == name) {
                return Err(de::Error::custom(format_args!("the key `{name}` twice")));
            }
            all.push((name, value));
        }
        Ok(Json::Object(all))
    }
}
