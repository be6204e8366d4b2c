//! Passes on every n-th row of a key, or a fraction of the rows by a hash of some of their columns. The README says how to
//! configure it.
//!
//! Neither depends on how rows are cut into calls, nor on how many subtasks there are: counters are cells, and a hash is a
//! function of the row.

#![cfg_attr(not(test), no_std)]

use wasmill_sdk::{
    Call, Config, Error, Operator,
    build::BitsBuilder,
    columns::Column,
    config,
    data::{
        self, Cell, CellUpdate, Context, DataType, Descriptor, Emission, Failure, Input, Outcome, Port, Reads, Reply,
        Shape,
    },
    prelude::*,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

wasmill_sdk::no_std!();
wasmill_sdk::export!(Sample);

#[derive(Config)]
struct Settings {
    /// The first row of each key goes on, then each of this many later; at least 1.
    every: Option<i64>,
    /// Which part of the values of `columns` goes on, above 0 and up to 1.
    fraction: Option<f64>,
    /// The columns to choose by: rows that are equal in them go on together or not at all.
    columns: Option<Vec<String>>,
    /// Another seed makes another choice.
    #[config(default)]
    seed: u64,
}

enum Sample {
    /// By a counter a key.
    Every { n: i64 },
    /// By a hash: hashes below this go on, or all.
    Fraction { below: Option<u64>, seed: u64, types: Vec<DataType> },
}

impl Sample {
    fn new(config: &str, inputs: &[Input]) -> Result<(Self, Reads), Error> {
        let settings: Settings = config::parse(config).map_err(Error::new)?;
        let [input] = inputs else { return Err(Error::new("the operator has one input")) };
        match (settings.every, settings.fraction, settings.columns) {
            (Some(n), None, None) => {
                if n < 1 {
                    return Err(Error::new("`every` must be at least 1"));
                }
                Ok((Self::Every { n }, Reads::columns([]).keyed()))
            }
            (None, Some(fraction), Some(columns)) => {
                if !(fraction > 0.0 && fraction <= 1.0) {
                    return Err(Error::new("`fraction` must lie above 0 and not above 1"));
                }
                if columns.is_empty() {
                    return Err(Error::new("`columns` names no column"));
                }
                let types = columns.iter().map(|name| type_of(input, name)).collect::<Result<_, Error>>()?;
                // 2 to the power of 64: a fraction of 1 is beyond all hashes.
                let below = (fraction < 1.0).then_some((fraction * 18_446_744_073_709_551_616.0) as u64);
                let reads = Reads::columns(columns.iter().map(String::as_str));
                Ok((Self::Fraction { below, seed: settings.seed, types }, reads))
            }
            (None, Some(_), None) => {
                Err(Error::new("`fraction` needs `columns`: rows are chosen by a hash of their values"))
            }
            _ => Err(Error::new("give either `every` (with `key_by` of the job file), or `fraction` and `columns`")),
        }
    }
}

fn type_of(input: &Input, name: &str) -> Result<DataType, Error> {
    let field = input.field(name).map_err(Error::new)?;
    DataType::from_name(&field.data_type)
        .ok_or_else(|| Error::new(format!("column `{name}` is {}, which cannot be hashed", field.data_type)))
}

impl Operator for Sample {
    fn describe(config: &str, inputs: &[Input]) -> Result<Descriptor, Error> {
        let (sample, reads) = Self::new(config, inputs)?;
        let mut descriptor = Descriptor::new(vec![reads], vec![Port::new("out", Shape::Pass(0))]);
        if let Self::Every { .. } = sample {
            descriptor.cells.push(Cell { version: 0, ..Cell::value("seen", DataType::Int64) });
        }
        Ok(descriptor)
    }

    fn open(context: &Context) -> Result<Self, Error> {
        Ok(Self::new(&context.config, &context.inputs)?.0)
    }

    fn process(&mut self, call: &Call<'_>) -> Result<Reply, Failure> {
        Ok(match self {
            Self::Every { n } => every(*n, call),
            Self::Fraction { below: None, .. } => Reply::rows(Outcome::Unchanged),
            Self::Fraction { below: Some(below), seed, types } => {
                let mut bits = BitsBuilder::with_capacity(call.rows.count());
                hashes(call, types, *seed).into_iter().for_each(|hash| bits.push(hash < *below));
                Reply::rows(outcome(bits))
            }
        })
    }
}

fn outcome(bits: BitsBuilder) -> Outcome {
    match bits.count_set() {
        0 => Outcome::DropAll,
        set if set == bits.len() => Outcome::Unchanged,
        _ => Outcome::Keep(bits.finish()),
    }
}

/// Each n-th row of a key. The cell holds how many rows are still to be left out.
fn every(n: i64, call: &Call<'_>) -> Reply {
    let groups = call.keys();
    let mut left = call.state.i64s(0).to_vec();
    let mut bits = BitsBuilder::with_capacity(call.rows.count());
    for &group in groups.of_rows() {
        let Some(left) = left.get_mut(group as usize) else { continue };
        bits.push(*left == 0);
        // A null is 0 too: the first row of a key goes on.
        *left = if *left == 0 { n - 1 } else { *left - 1 };
    }
    Reply {
        emissions: vec![Emission { port: 0, rows: outcome(bits) }],
        cells: vec![CellUpdate::All(data::Column::of_i64s(&left))],
        ..Reply::none()
    }
}

/// The hash of each row's values.
fn hashes(call: &Call<'_>, types: &[DataType], seed: u64) -> Vec<u64> {
    let mut hashes = vec![seed; call.rows.count()];
    for (column, data_type) in call.rows.all().iter().zip(types) {
        match data_type {
            DataType::Int64 | DataType::Timestamp => {
                each(&mut hashes, column, column.i64s().iter().map(|value| value.to_le_bytes()));
            }
            DataType::Float64 => {
                each(&mut hashes, column, column.f64s().iter().map(|&value| canonical(value).to_le_bytes()));
            }
            DataType::Boolean => {
                let bits = column.booleans();
                each(&mut hashes, column, (0..call.rows.count()).map(|row| [u8::from(bits.get(row))]));
            }
            DataType::Utf8 | DataType::Binary => each(&mut hashes, column, column.binaries().iter()),
        }
    }
    hashes
}

/// What stands for a null: no value has it, for it is no function of bytes.
const NULL: u64 = 0x6e75_6c6c_6e75_6c6c;

/// Mixes the values of a column into the hashes.
fn each<B: AsRef<[u8]>>(hashes: &mut [u64], column: &Column, values: impl Iterator<Item = B>) {
    let validity = column.validity();
    for (row, (hash, value)) in hashes.iter_mut().zip(values).enumerate() {
        let is_null = validity.is_some_and(|bits| !bits.get(row));
        *hash =
            if is_null { hash.wrapping_add(NULL).rotate_left(29) } else { xxh3_64_with_seed(value.as_ref(), *hash) };
    }
}

/// Values that are equal have the same bits: there is one zero, and one NaN.
fn canonical(value: f64) -> u64 {
    if value == 0.0 {
        0
    } else if value.is_nan() {
        f64::NAN.to_bits()
    } else {
        value.to_bits()
    }
}

#[cfg(test)]
mod tests;
