//! Write Wasmill operators in Rust.
//!
//! An operator is a component: a crate of type `cdylib`, compiled for `wasm32-wasip2`. There are three ways to write one.
//!
//! # 1. A function of a row
//!
//! Rows are structs; only the columns they name are read. [`filter`] passes rows on, [`map`] adds or replaces
//! columns, [`flat_map`] emits any number of rows.
//!
//! ```
//! use wasmill_sdk::{Row, ports::New};
//!
//! #[derive(Row)]
//! struct Line<'a> {
//!     line: &'a str,
//! }
//!
//! #[derive(Row, Debug, PartialEq)]
//! struct Word<'a> {
//!     word: &'a str,
//! }
//!
//! #[wasmill_sdk::flat_map]
//! fn words(line: Line<'_>, out: &mut New<Word<'_>>) {
//!     for word in line.line.split_whitespace() {
//!         out.emit(Word { word });
//!     }
//! }
//!
//! wasmill_sdk::export!(words);
//!
//! // The function is still one, and `words` is also the operator, for tests:
//! # #[derive(Row, Debug, PartialEq)] struct Owned { word: String }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use wasmill_sdk::testing::Harness;
//! let mut harness = Harness::<words>::setup().input::<Line>().open()?;
//! harness.process([Line { line: "to be or" }])?;
//! assert_eq!(harness.take::<Owned>("out").len(), 3);
//! # Ok(())
//! # }
//! ```
//!
//! A second (or third) parameter takes the configuration, a struct that derives [`Config`]; a `Result` makes a row fail:
//!
//! ```
//! use wasmill_sdk::{Config, Row};
//!
//! #[derive(Row)]
//! struct Price { price: i64 }
//!
//! #[derive(Row)]
//! struct Euro { price_eur: f64 }
//!
//! #[derive(Config)]
//! struct Settings {
//!     #[config(default = 0.908)]
//!     rate: f64,
//! }
//!
//! #[wasmill_sdk::map]
//! fn to_euro(bid: Price, config: &Settings) -> Result<Euro, String> {
//!     if bid.price < 0 {
//!         return Err(format!("price {} is negative", bid.price));
//!     }
//!     Ok(Euro { price_eur: bid.price as f64 * config.rate })
//! }
//! # wasmill_sdk::export!(to_euro);
//! # fn main() {}
//! ```
//!
//! # 2. State and timers a key
//!
//! See [`KeyedOperator`], [`state`], and, if all keys share something, [`BroadcastOperator`].
//!
//! # 3. Whole columns
//!
//! See [`Operator`].
//!
//! # Without the standard library
//!
//! With `std`, a component imports WASI, if only for panic messages nobody sees. `#![no_std]` and [`no_std!`] at the head of
//! the crate leave nothing but the operator contract, and panics go to the operator's log. [`prelude`] has what std's has
//! (`String`, `Vec`, `vec!`, `format!`, ...). Tests run as usual.

#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;
// The macros write `::wasmill_sdk`, here too.
extern crate self as wasmill_sdk;

#[doc(hidden)]
pub mod bindings;
mod broadcast;
pub mod build;
pub mod clock;
pub mod columns;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod component;
pub mod config;
mod ctx;
pub mod data;
mod error;
pub mod field;
#[doc(hidden)]
pub mod functions;
mod keyed;
pub mod log;
mod memory;
pub mod metrics;
mod operator;
pub mod ports;
pub mod row;
#[doc(hidden)]
pub mod runtime;
pub mod state;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod time;

pub use broadcast::{Broadcast, BroadcastOperator};
pub use columns::{Call, Columns};
pub use config::Config;
pub use ctx::{Ctx, Timer};
pub use error::Error;
pub use field::Number;
pub use keyed::{Keyed, KeyedOperator};
pub use operator::{__assert_operator, Operator};
pub use row::Row;
pub use time::Timestamp;
pub use wasmill_sdk_macros::Row;
pub use wasmill_sdk_macros::{filter, flat_map, map};

#[doc(hidden)]
pub mod __alloc {
    pub use alloc::{string, vec};
}

/// What the standard library's prelude has beyond core's. For operators without std.
pub mod prelude {
    pub use alloc::{
        borrow::ToOwned,
        boxed::Box,
        format,
        string::{String, ToString},
        vec,
        vec::Vec,
    };
}

/// The operator that the project's README shows must compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
