//! Doubles `value`, or the column it is told, but fails on the values that leave `rest` when divided by `every`, in the way that `how` says.

use wasmill_sdk::{Config, Error, Row, map, prelude::*};

wasmill_sdk::export!(poison);

#[derive(Row)]
struct Number {
    value: i64,
}

#[derive(Row)]
struct Doubled {
    doubled: i64,
}

#[derive(Config)]
struct Settings {
    how: How,
    every: i64,
    #[config(default = 0)]
    rest: i64,
    /// The column it doubles.
    #[config(default = "value", renames = "value")]
    column: String,
    /// Where it puts the double: in place of a column of this name, or behind all columns.
    #[config(default = "doubled", renames = "doubled")]
    result: String,
}

#[derive(Config, Clone, Copy, PartialEq)]
enum How {
    /// A panic.
    Trap,
    /// An endless loop.
    Loop,
    /// More memory than there is.
    Memory,
    /// An error, which the SDK reports with its row.
    Error,
}

#[map]
fn poison(number: Number, settings: &Settings) -> Result<Doubled, Error> {
    if number.value % settings.every == settings.rest {
        match settings.how {
            How::Trap => panic!("the value {} is poison", number.value),
            How::Loop => loop {
                std::hint::black_box(());
            },
            How::Memory => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(vec![1; 1 << 20]);
                    std::hint::black_box(&hoard);
                }
            }
            How::Error => return Err(Error::new("the value is poison")),
        }
    }
    Ok(Doubled { doubled: number.value * 2 })
}
