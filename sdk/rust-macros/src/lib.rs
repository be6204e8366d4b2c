//! Derives and attributes of `wasmill-sdk`, where they are documented and tested. Nothing here decides anything: the macros
//! only spell out, for a struct or a function, the traits of the SDK.

mod config;
mod function;
mod parts;
mod ports;
mod row;
mod state;

use proc_macro::TokenStream;
use syn::{DeriveInput, ItemFn, parse_macro_input};

fn finish(result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    result.unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct a row: its fields are columns, by name. `#[row(name = "...")]` gives a field's column another name.
#[proc_macro_derive(Row, attributes(row))]
pub fn derive_row(item: TokenStream) -> TokenStream {
    finish(row::derive(&parse_macro_input!(item as DeriveInput)))
}

/// Makes a struct of cells the state of a key. `#[state(name = "...", ttl_ms = 1000, event_time, version = 2, renamed_from = "...")]`
/// on a field.
#[proc_macro_derive(State, attributes(state))]
pub fn derive_state(item: TokenStream) -> TokenStream {
    finish(state::derive(&parse_macro_input!(item as DeriveInput)))
}

/// Makes a struct of maps what all keys share. Attributes as those of `State`.
#[proc_macro_derive(Shared, attributes(state))]
pub fn derive_shared(item: TokenStream) -> TokenStream {
    finish(state::derive_shared(&parse_macro_input!(item as DeriveInput)))
}

/// Makes a struct of ports an operator's outputs. `#[port(name = "...")]` on a field.
#[proc_macro_derive(Ports, attributes(port))]
pub fn derive_ports(item: TokenStream) -> TokenStream {
    finish(ports::derive(&parse_macro_input!(item as DeriveInput)))
}

/// Reads a struct, or an enum without fields, from the configuration. `#[config(name = "...", default, default = value,
/// renames = "...")]` on a field.
#[proc_macro_derive(Config, attributes(config))]
pub fn derive_config(item: TokenStream) -> TokenStream {
    finish(config::derive(&parse_macro_input!(item as DeriveInput)))
}

/// Makes an operator of a function that says whether a row goes on: `fn(Row) -> bool` or `fn(Row, &Config) -> bool`, or the
/// same with a `Result`. The operator has the function's name; its port `out` passes rows on.
#[proc_macro_attribute]
pub fn filter(attributes: TokenStream, item: TokenStream) -> TokenStream {
    finish(function::filter(attributes.into(), &parse_macro_input!(item as ItemFn)))
}

/// Makes an operator of a function that adds or replaces columns: `fn(Row) -> Columns` or `fn(Row, &Config) -> Columns`, where
/// `Columns` is a row too; an `Option` of it drops the row on `None`, a `Result` fails. The operator has the function's name;
/// its port `out` extends the rows.
#[proc_macro_attribute]
pub fn map(attributes: TokenStream, item: TokenStream) -> TokenStream {
    finish(function::map(attributes.into(), &parse_macro_input!(item as ItemFn)))
}

/// Makes an operator of a function that emits any number of rows: `fn(Row, &mut Output)` or `fn(Row, &mut Output, &Config)`,
/// or the same with a `Result`. `Output` is a port or a struct of ports. The operator has the function's name.
#[proc_macro_attribute]
pub fn flat_map(attributes: TokenStream, item: TokenStream) -> TokenStream {
    finish(function::flat_map(attributes.into(), &parse_macro_input!(item as ItemFn)))
}
