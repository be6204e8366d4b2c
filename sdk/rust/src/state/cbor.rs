//! Structures as values.

use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

use serde_core::{Serialize, de::DeserializeOwned};

use super::CellType;
use crate::{
    build::BytesBuilder,
    columns::{Binaries, Column},
    data::DataType,
    field::{FieldType, ReadField},
};

/// A structure as a value of a cell, or of a column of type `binary`: as CBOR, so that `wasmill state` can show it.
///
/// Fields are kept by their names. So a field that is added needs `#[serde(default)]`, or what was kept before cannot be read; bytes
/// that are no `T` are a panic, which fails the job. For any other change raise the cell's `version`.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use wasmill_sdk::state::{Cbor, State, Value};
///
/// #[derive(Serialize, Deserialize, Clone)]
/// struct Position { lane: u8, speeds: Vec<f64> }
///
/// #[derive(State)]
/// struct Car { last: Value<Cbor<Position>> }
///
/// # let mut car = Car { last: Value::of(None) };
/// car.last.set(Cbor(Position { lane: 2, speeds: vec![101.5] }));
/// assert_eq!(car.last.get().map(|last| last.lane), Some(2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cbor<T>(pub T);

impl<T> Deref for Cbor<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Cbor<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Serialize> FieldType for Cbor<T> {
    const DATA_TYPE: DataType = DataType::Binary;
    type Builder = BytesBuilder;

    fn write(self, builder: &mut BytesBuilder) {
        let mut bytes = Vec::new();
        if let Err(error) = ciborium::into_writer(&self.0, &mut bytes) {
            panic!("{} cannot be written as CBOR: {error}", core::any::type_name::<T>());
        }
        builder.push(&bytes);
    }
}

impl<'a, T: Serialize + DeserializeOwned> ReadField<'a> for Cbor<T> {
    type Reader = Binaries<'a>;

    fn open(column: &'a Column, _: DataType) -> Binaries<'a> {
        column.binaries()
    }

    fn read(values: &Binaries<'a>, row: usize) -> Self {
        match ciborium::from_reader(<&[u8]>::read(values, row)) {
            Ok(value) => Self(value),
            Err(error) => panic!("what was kept is no {}: {error}", core::any::type_name::<T>()),
        }
    }
}

impl<T: Serialize + DeserializeOwned + Clone + 'static> CellType for Cbor<T> {
    const ENCODING: Option<&'static str> = Some("cbor");
}
