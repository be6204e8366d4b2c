//! Which Rust types can be a column's value, and how they are read and written.

use alloc::{string::String, vec::Vec};

use crate::{
    Timestamp,
    build::{BoolBuilder, BytesBuilder, ColumnBuilder, F64Builder, I64Builder, NullableBuilder},
    columns::{Binaries, Bits, Column, Strs},
    data::DataType,
    memory::broken_contract,
};

/// A type that can be a field of a [`Row`](crate::Row): `i64`, `f64`, `bool`, [`Timestamp`], `&str`, `String`, `&[u8]`,
/// `Vec<u8>`, [`Number`], and an `Option` of any of them for a column that may hold nulls.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a column's value",
    label = "not a column type",
    note = "column types are i64, f64, bool, Timestamp, &str, String, &[u8], Vec<u8> and Number, and an Option of each"
)]
pub trait FieldType: Sized {
    /// The type of the column when it is written.
    const DATA_TYPE: DataType;
    /// Whether it can hold a null.
    const NULLABLE: bool = false;
    /// Other types it can be read from.
    const ALSO: Option<DataType> = None;

    /// Where values are appended.
    type Builder: ColumnBuilder;

    /// Appends this value.
    fn write(self, builder: &mut Self::Builder);
}

/// A field that can be read from a column that lives for `'a`.
#[diagnostic::on_unimplemented(message = "`{Self}` cannot be read from a column", label = "not a column type")]
pub trait ReadField<'a>: FieldType {
    /// The column, opened.
    type Reader;

    /// Opens a column of this type.
    fn open(column: &'a Column, data_type: DataType) -> Self::Reader;

    /// The value of a row.
    fn read(reader: &Self::Reader, row: usize) -> Self;
}

#[inline]
fn at<T: Copy>(values: &[T], row: usize) -> T {
    match values.get(row) {
        Some(value) => *value,
        None => broken_contract(),
    }
}

impl FieldType for i64 {
    const DATA_TYPE: DataType = DataType::Int64;
    type Builder = I64Builder;

    #[inline]
    fn write(self, builder: &mut I64Builder) {
        builder.push(self);
    }
}

impl<'a> ReadField<'a> for i64 {
    type Reader = &'a [i64];

    fn open(column: &'a Column, _: DataType) -> &'a [i64] {
        column.i64s()
    }

    #[inline]
    fn read(values: &&'a [i64], row: usize) -> Self {
        at(values, row)
    }
}

impl FieldType for Timestamp {
    const DATA_TYPE: DataType = DataType::Timestamp;
    type Builder = I64Builder;

    #[inline]
    fn write(self, builder: &mut I64Builder) {
        builder.push(self.0);
    }
}

impl<'a> ReadField<'a> for Timestamp {
    type Reader = &'a [i64];

    fn open(column: &'a Column, _: DataType) -> &'a [i64] {
        column.i64s()
    }

    #[inline]
    fn read(values: &&'a [i64], row: usize) -> Self {
        Self(at(values, row))
    }
}

impl FieldType for f64 {
    const DATA_TYPE: DataType = DataType::Float64;
    type Builder = F64Builder;

    #[inline]
    fn write(self, builder: &mut F64Builder) {
        builder.push(self);
    }
}

impl<'a> ReadField<'a> for f64 {
    type Reader = &'a [f64];

    fn open(column: &'a Column, _: DataType) -> &'a [f64] {
        column.f64s()
    }

    #[inline]
    fn read(values: &&'a [f64], row: usize) -> Self {
        at(values, row)
    }
}

impl FieldType for bool {
    const DATA_TYPE: DataType = DataType::Boolean;
    type Builder = BoolBuilder;

    #[inline]
    fn write(self, builder: &mut BoolBuilder) {
        builder.push(self);
    }
}

impl<'a> ReadField<'a> for bool {
    type Reader = Bits<'a>;

    fn open(column: &'a Column, _: DataType) -> Bits<'a> {
        column.booleans()
    }

    #[inline]
    fn read(values: &Bits<'a>, row: usize) -> Self {
        values.get(row)
    }
}

/// A number out of an `int64` or a `float64` column. Written as `float64`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Number(pub f64);

impl FieldType for Number {
    const DATA_TYPE: DataType = DataType::Float64;
    const ALSO: Option<DataType> = Some(DataType::Int64);
    type Builder = F64Builder;

    #[inline]
    fn write(self, builder: &mut F64Builder) {
        builder.push(self.0);
    }
}

/// An open column of either kind of numbers.
#[derive(Debug)]
pub enum Numbers<'a> {
    /// An `int64` column.
    Whole(&'a [i64]),
    /// A `float64` column.
    Float(&'a [f64]),
}

impl<'a> ReadField<'a> for Number {
    type Reader = Numbers<'a>;

    fn open(column: &'a Column, data_type: DataType) -> Numbers<'a> {
        match data_type {
            DataType::Int64 => Numbers::Whole(column.i64s()),
            _ => Numbers::Float(column.f64s()),
        }
    }

    #[inline]
    fn read(numbers: &Numbers<'a>, row: usize) -> Self {
        match numbers {
            Numbers::Whole(values) => Self(at(values, row) as f64),
            Numbers::Float(values) => Self(at(values, row)),
        }
    }
}

macro_rules! variable {
    ($type:ty, $data_type:expr, $as_bytes:path) => {
        impl FieldType for $type {
            const DATA_TYPE: DataType = $data_type;
            type Builder = BytesBuilder;

            #[inline]
            fn write(self, builder: &mut BytesBuilder) {
                builder.push($as_bytes(&self));
            }
        }
    };
}

variable!(&str, DataType::Utf8, str::as_bytes);
variable!(String, DataType::Utf8, String::as_bytes);
variable!(&[u8], DataType::Binary, AsRef::as_ref);
variable!(Vec<u8>, DataType::Binary, Vec::as_slice);

impl<'a> ReadField<'a> for &'a str {
    type Reader = Strs<'a>;

    fn open(column: &'a Column, _: DataType) -> Strs<'a> {
        column.strs()
    }

    #[inline]
    fn read(values: &Strs<'a>, row: usize) -> Self {
        values.get(row).unwrap_or_else(|| broken_contract())
    }
}

impl<'a> ReadField<'a> for String {
    type Reader = Strs<'a>;

    fn open(column: &'a Column, _: DataType) -> Strs<'a> {
        column.strs()
    }

    #[inline]
    fn read(values: &Strs<'a>, row: usize) -> Self {
        Self::from(<&str>::read(values, row))
    }
}

impl<'a> ReadField<'a> for &'a [u8] {
    type Reader = Binaries<'a>;

    fn open(column: &'a Column, _: DataType) -> Binaries<'a> {
        column.binaries()
    }

    #[inline]
    fn read(values: &Binaries<'a>, row: usize) -> Self {
        values.get(row).unwrap_or_else(|| broken_contract())
    }
}

impl<'a> ReadField<'a> for Vec<u8> {
    type Reader = Binaries<'a>;

    fn open(column: &'a Column, _: DataType) -> Binaries<'a> {
        column.binaries()
    }

    #[inline]
    fn read(values: &Binaries<'a>, row: usize) -> Self {
        Self::from(<&[u8]>::read(values, row))
    }
}

impl<T: FieldType> FieldType for Option<T> {
    const DATA_TYPE: DataType = T::DATA_TYPE;
    const NULLABLE: bool = true;
    const ALSO: Option<DataType> = T::ALSO;
    type Builder = NullableBuilder<T::Builder>;

    #[inline]
    fn write(self, builder: &mut Self::Builder) {
        match self {
            Some(value) => value.write(builder.push_valid()),
            None => builder.push_null(),
        }
    }
}

/// An open column that may hold nulls.
#[derive(Debug)]
pub struct NullableReader<'a, R> {
    validity: Option<Bits<'a>>,
    values: R,
}

impl<'a, T: ReadField<'a>> ReadField<'a> for Option<T> {
    type Reader = NullableReader<'a, T::Reader>;

    fn open(column: &'a Column, data_type: DataType) -> Self::Reader {
        NullableReader { validity: column.validity(), values: T::open(column, data_type) }
    }

    #[inline]
    fn read(reader: &Self::Reader, row: usize) -> Self {
        let valid = reader.validity.is_none_or(|bits| bits.get(row));
        valid.then(|| T::read(&reader.values, row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written is read again, with a row in front and one behind.
    fn check<T>(values: [T; 3])
    where
        T: Clone + PartialEq + core::fmt::Debug + for<'a> ReadField<'a>,
    {
        let mut builder = T::Builder::default();
        values.iter().cloned().for_each(|value| value.write(&mut builder));
        let column = Column::new(builder.finish(), 3);
        let reader = T::open(&column, T::DATA_TYPE);
        for (row, value) in values.iter().enumerate() {
            assert_eq!(T::read(&reader, row), *value);
        }
    }

    #[test]
    fn every_type_is_read_as_it_was_written() {
        check([i64::MIN, 0, i64::MAX]);
        check([f64::NEG_INFINITY, -0.0, 1e300]);
        check([true, false, true]);
        check([Timestamp::MIN, Timestamp(0), Timestamp::END]);
        check(["".to_owned(), "żółw".to_owned(), "x".to_owned()]);
        check([vec![], vec![0, 255], vec![7]]);
        check([Some(1_i64), None, Some(-1)]);
        check([None, Some("a".to_owned()), None]);
        check([Some(true), None, Some(false)]);
        check([Number(1.5), Number(2.0), Number(-3.0)]);
    }

    #[test]
    fn a_number_is_read_from_whole_numbers_too() {
        let column = Column::new(crate::data::Column::of_i64s(&[3, -4]), 2);
        let reader = Number::open(&column, DataType::Int64);
        assert_eq!([Number::read(&reader, 0), Number::read(&reader, 1)], [Number(3.0), Number(-4.0)]);
    }

    #[test]
    fn a_column_without_nulls_carries_no_bitmap() {
        let mut builder = <Option<i64> as FieldType>::Builder::default();
        Some(1_i64).write(&mut builder);
        assert_eq!(builder.finish().validity, None);
    }

    #[test]
    #[should_panic(expected = "breaks the operator contract")]
    fn a_row_beyond_the_column_ends_the_call() {
        let column = Column::new(crate::data::Column::of_i64s(&[3]), 1);
        i64::read(&i64::open(&column, DataType::Int64), 1);
    }
}
