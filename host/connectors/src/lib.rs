//! Native sources and sinks: what a job reads from and writes to.
//!
//! A *connector* is named by the key `connector` of a `[source.x]` or `[sink.x]` table. Its keys are read and checked
//! into a [`SourceConfig`] or [`SinkConfig`] before anything is opened; each subtask then opens its own [`Source`] or
//! [`Sink`]. `docs/reference/connectors.md` lists the connectors, their keys and their rules.
//!
//! Not here: event times and watermarks (the runtime takes them from a column), exchanges, sink transactions
//! across checkpoints, and anything that runs WebAssembly.

mod bad_row;
mod blackhole;
mod columns;
mod csv_options;
mod encode;
mod error;
mod file_name;
mod file_sink;
mod file_source;
mod guarantee;
mod host_metrics;
mod infer;
mod meter;
mod nexmark;
mod number;
pub mod reference;
mod similar_file;
mod sink;
mod source;
mod source_columns;
mod stdout;
#[cfg(test)]
mod testing;

pub use bad_row::BadRow;
pub use encode::{row_as_json, rows_as_csv, rows_as_json};
pub use error::Error;
pub use file_name::{ENDINGS, NamedFormat, format_of_name};
pub use file_source::{TextFormat, TextReader};
pub use guarantee::{Delivery, Guarantee, Replay, Times};
pub use infer::{InferOptions, Inferred, InferredColumn, infer};
pub use number::rfc3339_ms;
pub use similar_file::similar_file;
pub use sink::{CheckpointKind, Sink, SinkConfig, SinkPart, SinkParts, SinkPlace, StdoutUse};
pub use source::{Polled, ReadBefore, Source, SourceConfig, SourcePort, Split};
