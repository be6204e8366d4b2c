//! What a configuration says of itself: a line of JSON in the component's custom section `wasmill:config`, one for each type
//! that derives `Config`. `wasmill plugin inspect` shows it to whoever configures the operator; it is never read to run one.
//!
//! `{"type":"Settings","keys":[{"key":"alpha","type":"f64","default":"0.1","doc":"..."}]}`, or
//! `{"type":"Mode","choices":["strict","lenient"]}`. A key without `default` must be given, unless its type is an `Option`.

use std::fmt::Write;

use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, quote};
use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// A key of a configuration.
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) type_name: String,
    /// As it is written in Rust; empty: the type's own default.
    pub(crate) default: Option<String>,
    pub(crate) doc: String,
}

/// The section for a struct.
pub(crate) fn of_table(type_name: &str, keys: &[Key]) -> TokenStream {
    let keys: Vec<String> = keys.iter().map(json_of).collect();
    section(&format!("{{\"type\":{},\"keys\":[{}]}}\n", text(type_name), keys.join(",")))
}

/// The section for an enum.
pub(crate) fn of_choice(type_name: &str, names: &[String]) -> TokenStream {
    let names: Vec<String> = names.iter().map(|name| text(name)).collect();
    section(&format!("{{\"type\":{},\"choices\":[{}]}}\n", text(type_name), names.join(",")))
}

fn json_of(key: &Key) -> String {
    let default = key.default.as_ref().map_or(String::new(), |default| format!(",\"default\":{}", text(default)));
    format!("{{\"key\":{},\"type\":{}{default},\"doc\":{}}}", text(&key.name), text(&key.type_name), text(&key.doc))
}

fn section(line: &str) -> TokenStream {
    let (bytes, length) = (Literal::byte_string(line.as_bytes()), line.len());
    quote! {
        #[cfg(target_family = "wasm")]
        const _: () = {
            #[unsafe(link_section = "wasmill:config")]
            static DOCUMENTATION: [u8; #length] = *#bytes;
        };
    }
}

/// A type as one reads it: without spaces.
pub(crate) fn type_name(of: &impl ToTokens) -> String {
    of.to_token_stream().to_string().replace(' ', "")
}

/// The text of the documentation comments, a line's break as a space.
pub(crate) fn doc(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) => Some(line.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    };
    attributes.iter().filter_map(line).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// A string in JSON.
fn text(plain: &str) -> String {
    let mut quoted = String::from("\"");
    for c in plain.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => write!(quoted, "\\u{:04x}", u32::from(c)).expect("writing to a string succeeds"),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_line_of_json() {
        let key = Key {
            name: "column".to_owned(),
            type_name: "String".to_owned(),
            default: Some("\"va\\lue\"".to_owned()),
            doc: "What\tcounts".to_owned(),
        };
        assert_eq!(
            json_of(&key),
            r#"{"key":"column","type":"String","default":"\"va\\lue\"","doc":"What\u0009counts"}"#
        );
        let key = Key { default: None, doc: String::new(), ..key };
        assert_eq!(json_of(&key), r#"{"key":"column","type":"String","doc":""}"#);
    }
}
