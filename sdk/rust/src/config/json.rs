//! A reader of JSON text, of the size that a component wants: numbers stay text until their type is known.

use alloc::{borrow::ToOwned, string::String, vec::Vec};

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// A number, as it is written.
    Number(String),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object, in the order it is written. No key is there twice.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The kind, with its article, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// How deep arrays and objects may stand in each other: far deeper than a configuration, and safe on a small stack.
const DEPTH_MAX: usize = 32;

/// Reads one value, with nothing behind it.
pub(super) fn parse(text: &str) -> Result<Json, String> {
    let mut reader = Reader { rest: text };
    let value = reader.value(0).map_err(ToOwned::to_owned)?;
    reader.skip_spaces();
    if reader.rest.is_empty() { Ok(value) } else { Err("text after the value".to_owned()) }
}

struct Reader<'t> {
    rest: &'t str,
}

type Read<T> = Result<T, &'static str>;

impl<'t> Reader<'t> {
    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn accept(&mut self, token: &str) -> bool {
        self.skip_spaces();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, token: &str, message: &'static str) -> Read<()> {
        if self.accept(token) { Ok(()) } else { Err(message) }
    }

    fn value(&mut self, depth: usize) -> Read<Json> {
        if depth > DEPTH_MAX {
            return Err("nested too deeply");
        }
        if self.accept("null") {
            Ok(Json::Null)
        } else if self.accept("true") {
            Ok(Json::Boolean(true))
        } else if self.accept("false") {
            Ok(Json::Boolean(false))
        } else if self.accept("\"") {
            self.string().map(Json::String)
        } else if self.accept("[") {
            self.array(depth)
        } else if self.accept("{") {
            self.object(depth)
        } else {
            self.number()
        }
    }

    fn array(&mut self, depth: usize) -> Read<Json> {
        let mut items = Vec::new();
        if self.accept("]") {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.accept("]") {
                return Ok(Json::Array(items));
            }
            self.expect(",", "expected , or ] in an array")?;
        }
    }

    fn object(&mut self, depth: usize) -> Read<Json> {
        let mut entries: Vec<(String, Json)> = Vec::new();
        if self.accept("}") {
            return Ok(Json::Object(entries));
        }
        loop {
            self.expect("\"", "expected a key in an object")?;
            let key = self.string()?;
            if entries.iter().any(|(known, _)| *known == key) {
                return Err("a key is there twice");
            }
            self.expect(":", "expected : behind a key")?;
            entries.push((key, self.value(depth + 1)?));
            if self.accept("}") {
                return Ok(Json::Object(entries));
            }
            self.expect(",", "expected , or } in an object")?;
        }
    }

    fn number(&mut self) -> Read<Json> {
        let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at_checked(end).ok_or("expected a value")?;
        // Rust reads every JSON number, and a few more.
        let like_json = !number.starts_with(['+', '.']) && !number.ends_with('.') && number.parse::<f64>().is_ok();
        self.rest = rest;
        if like_json { Ok(Json::Number(number.to_owned())) } else { Err("expected a value") }
    }

    /// A string whose opening quote is read.
    fn string(&mut self) -> Read<String> {
        let mut text = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next().ok_or("a string has no end")? {
                '"' => break,
                '\\' => text.push(escaped(&mut chars)?),
                c if c < ' ' => return Err("a control character in a string"),
                c => text.push(c),
            }
        }
        self.rest = chars.as_str();
        Ok(text)
    }
}

/// What stands behind a backslash.
fn escaped(chars: &mut core::str::Chars<'_>) -> Read<char> {
    const WRONG: &str = "a wrong escape in a string";
    Ok(match chars.next().ok_or(WRONG)? {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        'f' => '\u{c}',
        c @ ('"' | '\\' | '/') => c,
        'u' => {
            let first = hex(chars)?;
            let code = if (0xd800..0xdc00).contains(&first) {
                if chars.next() != Some('\\') || chars.next() != Some('u') {
                    return Err(WRONG);
                }
                let second = hex(chars)?;
                let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400).ok_or(WRONG)?;
                0x10000 + ((first - 0xd800) << 10) + low
            } else {
                first
            };
            char::from_u32(code).ok_or(WRONG)?
        }
        _ => return Err(WRONG),
    })
}

/// Four hexadecimal digits.
fn hex(chars: &mut core::str::Chars<'_>) -> Read<u32> {
    (0..4).try_fold(0, |code, _| {
        let digit = chars.next().and_then(|c| c.to_digit(16)).ok_or("a wrong escape in a string")?;
        Ok(code << 4 | digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read() {
        let check = |text: &str, expect: Json| assert_eq!(parse(text), Ok(expect), "{text}");
        check(" null ", Json::Null);
        check("-0.5e+3", Json::Number("-0.5e+3".into()));
        check(r#""a\"\\\/\n\u00e9\ud83d\ude00""#, Json::String("a\"\\/\né😀".into()));
        check("[ ]", Json::Array(vec![]));
        check("[1 , true]", Json::Array(vec![Json::Number("1".into()), Json::Boolean(true)]));
        check(r#"{"a" : {}}"#, Json::Object(vec![("a".into(), Json::Object(vec![]))]));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let deep = "[".repeat(100);
        let broken = r#"nul|1 2|+1|.5|1.|NaN|inf|[1,]|[1|{a:1}|{"a" 1}|{"a":1,}|"|"\x"|"\ud83d"|"\udc00"|"\u00g0"|{"a":1,"a":2}"#;
        for text in broken.split('|').chain(["", "\"\n\"", deep.as_str()]) {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
