//! For tests: sources read to their end, and their rows as JSON values, without the encoder that is under test.

use std::path::Path;

use arrow_array::{Array, cast::AsArray, types};
use serde_json::{Value, json};
use wasmill_model::{
    Batch, DataType, Schema,
    settings::{self, Settings},
};

use crate::{BadRow, Error, Polled, SinkConfig, Source, SourceConfig};

/// A table of a job file. Every key must be known to the connector.
pub(crate) fn source(text: &str, base: &Path) -> Result<SourceConfig, settings::Error> {
    let settings = settings(text);
    let config = SourceConfig::read(&settings, base)?;
    settings.finish().map(|()| config)
}

pub(crate) fn sink(text: &str, base: &Path) -> Result<SinkConfig, settings::Error> {
    let settings = settings(text);
    let config = SinkConfig::read(&settings, base)?;
    settings.finish().map(|()| config)
}

/// Everybody reads everything.
pub(crate) fn all(config: &SourceConfig) -> Vec<Option<Vec<bool>>> {
    config.ports().iter().map(|port| Some(vec![true; port.schema.len()])).collect()
}

/// What a source brings until it ends or fails, with the port of each batch.
pub(crate) fn drain(mut source: Box<dyn Source>) -> (Vec<(usize, Batch)>, Result<(), Error>) {
    let mut batches = Vec::new();
    loop {
        match source.poll(0) {
            Ok(Polled::Batch { port, batch }) => batches.push((port, batch)),
            Ok(Polled::Bad(mut rows)) => return (batches, Err(Error::BadRow(Box::new(rows.swap_remove(0))))),
            Ok(Polled::Pending { .. }) => panic!("a source that reads a file or is not slowed down never waits"),
            Ok(Polled::End) => return (batches, Ok(())),
            Err(error) => return (batches, Err(error)),
        }
    }
}

/// What a source brings that is polled on behind bad rows: good rows, and the bad ones as they are shown.
pub(crate) fn read_past_bad_rows(config: &SourceConfig) -> (Vec<Value>, Vec<BadRow>, Result<(), Error>) {
    let splits = config.splits().expect("the files are there");
    let mut source = config.open(0, 1, &splits, &all(config), None).expect("it opens");
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    loop {
        match source.poll(0) {
            Ok(Polled::Batch { port, batch }) => good.extend(rows(&batch, &config.ports()[port].schema)),
            Ok(Polled::Bad(rows)) => bad.extend(rows),
            Ok(Polled::Pending { .. }) => panic!("a source that reads a file never waits"),
            Ok(Polled::End) => return (good, bad, Ok(())),
            Err(error) => return (good, bad, Err(error)),
        }
    }
}

/// The rows of a source with one port, as one subtask reads them.
pub(crate) fn read(config: &SourceConfig) -> (Vec<Value>, Result<(), Error>) {
    let splits = match config.splits() {
        Ok(splits) => splits,
        Err(error) => return (Vec::new(), Err(error)),
    };
    let source = match config.open(0, 1, &splits, &all(config), None) {
        Ok(source) => source,
        Err(error) => return (Vec::new(), Err(error)),
    };
    let (batches, result) = drain(source);
    (batches.iter().flat_map(|(port, batch)| rows(batch, &config.ports()[*port].schema)).collect(), result)
}

/// Each row as an object, columns left out that the batch does not have.
pub(crate) fn rows(batch: &Batch, schema: &Schema) -> Vec<Value> {
    let row = |row: usize| {
        let cells = schema.fields().iter().enumerate().filter(|(place, _)| batch.columns[*place].is_some());
        let cell = |(place, field): (usize, &wasmill_model::Field)| {
            let column = batch.column(place);
            assert_eq!(column.len(), batch.rows, "{}", field.name);
            assert_eq!(column.data_type(), &field.data_type.arrow(), "{}", field.name);
            assert!(field.nullable || column.nulls().is_none(), "{} may hold no nulls", field.name);
            let value = match field.data_type {
                _ if column.is_null(row) => Value::Null,
                DataType::Int64 | DataType::Timestamp => {
                    json!(column.as_primitive::<types::Int64Type>().value(row))
                }
                DataType::Float64 => json!(column.as_primitive::<types::Float64Type>().value(row)),
                DataType::Boolean => json!(column.as_boolean().value(row)),
                DataType::Utf8 => json!(column.as_string_view().value(row)),
                DataType::Binary => json!(column.as_binary_view().value(row)),
            };
            (field.name.clone(), value)
        };
        Value::Object(cells.map(cell).collect())
    };
    (0..batch.rows).map(row).collect()
}

pub(crate) fn settings(text: &str) -> Settings {
    Settings::parse(Path::new("job.toml"), text).expect("valid TOML")
}
