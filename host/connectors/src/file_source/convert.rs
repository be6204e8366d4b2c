//! Arrow arrays as files hold them, to the one physical form that each type has in the host.

use std::{cell::Cell, sync::Arc};

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryViewArray, BooleanArray, Float64Array, Int64Array, PrimitiveArray,
    StringViewArray, builder::BinaryViewBuilder, cast::AsArray, new_null_array, types::*,
};
use arrow_schema::{DataType as ArrowType, TimeUnit as ArrowUnit};
use arrow_select::take::take;
use wasmill_model::DataType;

use crate::{
    file_source::nested_json,
    source_columns::{SourceColumn, TimeUnit},
};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Whole numbers up to here are exact as float64.
const EXACT_INTEGER_MAX: u128 = 1 << 53;

/// A column in its physical form, and the rows whose value has no place in it.
pub(super) struct Converted {
    pub(super) array: ArrayRef,
    /// Row numbers in ascending order, each with the reason.
    pub(super) bad: Vec<(usize, String)>,
}

/// The type that a column of a file has by itself; `None` if no type can hold its values.
pub(super) fn own_type(found: &ArrowType) -> Option<DataType> {
    Some(match found {
        ArrowType::Boolean => DataType::Boolean,
        ArrowType::Int8 | ArrowType::Int16 | ArrowType::Int32 | ArrowType::Int64 => DataType::Int64,
        ArrowType::UInt8 | ArrowType::UInt16 | ArrowType::UInt32 | ArrowType::UInt64 => DataType::Int64,
        ArrowType::Float16 | ArrowType::Float32 | ArrowType::Float64 => DataType::Float64,
        ArrowType::Decimal32(..) | ArrowType::Decimal64(..) => DataType::Float64,
        ArrowType::Decimal128(..) | ArrowType::Decimal256(..) => DataType::Float64,
        ArrowType::Date32 | ArrowType::Date64 | ArrowType::Timestamp(..) => DataType::Timestamp,
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View | ArrowType::Null => DataType::Utf8,
        ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView => DataType::Binary,
        ArrowType::FixedSizeBinary(_) => DataType::Binary,
        ArrowType::Dictionary(_, values) => own_type(values)?,
        _ => return None,
    })
}

/// Whether a column can be read from what a file holds.
pub(super) fn can_read(found: &ArrowType, column: &SourceColumn) -> bool {
    if let ArrowType::Dictionary(_, values) = found {
        return can_read(values, column);
    }
    if column.json {
        return nested_json::can_write(found);
    }
    let wanted = column.field.data_type;
    let is_decimal = matches!(
        found,
        ArrowType::Decimal32(..) | ArrowType::Decimal64(..) | ArrowType::Decimal128(..) | ArrowType::Decimal256(..)
    );
    match (own_type(found), wanted) {
        (Some(own), _) if own == wanted => true,
        (Some(DataType::Int64), DataType::Timestamp | DataType::Float64) => true,
        (Some(DataType::Float64), DataType::Utf8) => is_decimal,
        (Some(DataType::Binary), DataType::Utf8) => true,
        _ => *found == ArrowType::Null,
    }
}

/// Brings a column to its physical form. Nulls stay, also where the column may hold none.
///
/// # Panics
/// If [`can_read`] says that it cannot be read.
pub(super) fn convert(array: &ArrayRef, column: &SourceColumn) -> Result<Converted, String> {
    if let ArrowType::Dictionary(_, values) = array.data_type() {
        return convert_dictionary(array, values, column);
    }
    let mut bad = Vec::new();
    let array: ArrayRef = if column.json {
        Arc::new(nested_json::texts(array)?)
    } else {
        match column.field.data_type {
            wanted if *array.data_type() == ArrowType::Null => new_null_array(&wanted.arrow(), array.len()),
            DataType::Int64 => integers(array, &mut bad),
            DataType::Timestamp => times(array, column.unit, &mut bad),
            DataType::Float64 => floats(array),
            DataType::Boolean => array.clone(),
            DataType::Utf8 => text(array)?,
            DataType::Binary => bytes(array),
        }
    };
    Ok(Converted { array, bad })
}

fn convert_dictionary(array: &ArrayRef, values: &ArrowType, column: &SourceColumn) -> Result<Converted, String> {
    let dictionary = array.as_any_dictionary();
    let is_text = matches!(values, ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Binary | ArrowType::LargeBinary);
    let values = match is_text && !column.json {
        // Views first: taking them copies no text.
        true => convert(dictionary.values(), column)?.array,
        false => dictionary.values().clone(),
    };
    let taken = take(&values, dictionary.keys(), None).map_err(|e| e.to_string())?;
    convert(&taken, column)
}

/// Each value by a function; values for which it has no answer are bad.
fn checked<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    bad: &mut Vec<(usize, String)>,
    to: impl Fn(T::Native) -> Option<i64>,
) -> ArrayRef {
    let array = array.as_primitive::<T>();
    let failed = Cell::new(false);
    let converted: Int64Array = array.unary(|value| {
        to(value).unwrap_or_else(|| {
            failed.set(true);
            0
        })
    });
    if failed.get() {
        let wrong = (0..array.len()).filter(|&row| array.is_valid(row) && to(array.value(row)).is_none());
        bad.extend(wrong.map(|row| (row, format!("found {:?}, which is out of range", array.value(row)))));
    }
    Arc::new(converted)
}

/// Each value by a function that always has an answer.
fn widened<T: ArrowPrimitiveType, To: ArrowPrimitiveType>(array: &ArrayRef) -> ArrayRef
where
    To::Native: From<T::Native>,
{
    let converted: PrimitiveArray<To> = array.as_primitive::<T>().unary(To::Native::from);
    Arc::new(converted)
}

fn integers(array: &ArrayRef, bad: &mut Vec<(usize, String)>) -> ArrayRef {
    match array.data_type() {
        ArrowType::Int8 => widened::<Int8Type, Int64Type>(array),
        ArrowType::Int16 => widened::<Int16Type, Int64Type>(array),
        ArrowType::Int32 => widened::<Int32Type, Int64Type>(array),
        ArrowType::UInt8 => widened::<UInt8Type, Int64Type>(array),
        ArrowType::UInt16 => widened::<UInt16Type, Int64Type>(array),
        ArrowType::UInt32 => widened::<UInt32Type, Int64Type>(array),
        ArrowType::UInt64 => checked::<UInt64Type>(array, bad, |value| i64::try_from(value).ok()),
        ArrowType::Int64 => array.clone(),
        other => unreachable!("{other} is read as int64"),
    }
}

fn times(array: &ArrayRef, unit: TimeUnit, bad: &mut Vec<(usize, String)>) -> ArrayRef {
    let own = |unit: TimeUnit| move |value| unit.to_ms(value);
    match array.data_type() {
        ArrowType::Date32 => {
            let converted: Int64Array = array.as_primitive::<Date32Type>().unary(|days| i64::from(days) * DAY_MS);
            Arc::new(converted)
        }
        ArrowType::Date64 => checked::<Date64Type>(array, bad, Some),
        ArrowType::Timestamp(ArrowUnit::Second, _) => {
            checked::<TimestampSecondType>(array, bad, own(TimeUnit::Seconds))
        }
        ArrowType::Timestamp(ArrowUnit::Millisecond, _) => checked::<TimestampMillisecondType>(array, bad, Some),
        ArrowType::Timestamp(ArrowUnit::Microsecond, _) => {
            checked::<TimestampMicrosecondType>(array, bad, own(TimeUnit::Microseconds))
        }
        ArrowType::Timestamp(ArrowUnit::Nanosecond, _) => {
            checked::<TimestampNanosecondType>(array, bad, own(TimeUnit::Nanoseconds))
        }
        _ => {
            let whole = integers(array, bad);
            // A number that was too large already stands as 0, and is not told of twice.
            checked::<Int64Type>(&whole, bad, own(unit))
        }
    }
}

fn floats(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        ArrowType::Float16 => widened::<Float16Type, Float64Type>(array),
        ArrowType::Float32 => widened::<Float32Type, Float64Type>(array),
        ArrowType::Float64 => array.clone(),
        ArrowType::Decimal32(_, scale) => decimals::<Decimal32Type>(array, *scale, |value| Some(value.into())),
        ArrowType::Decimal64(_, scale) => decimals::<Decimal64Type>(array, *scale, |value| Some(value.into())),
        ArrowType::Decimal128(_, scale) => decimals::<Decimal128Type>(array, *scale, Some),
        ArrowType::Decimal256(_, scale) => decimals::<Decimal256Type>(array, *scale, |value| value.to_i128()),
        _ => {
            let mut bad = Vec::new();
            let values: Float64Array = match array.data_type() {
                ArrowType::UInt64 => array.as_primitive::<UInt64Type>().unary(|value| value as f64),
                _ => integers(array, &mut bad).as_primitive::<Int64Type>().unary(|value| value as f64),
            };
            Arc::new(values)
        }
    }
}

/// The nearest float64 of each: by one division where both numbers are exact, else by its digits.
fn decimals<T: DecimalType>(array: &ArrayRef, scale: i8, small: impl Fn(T::Native) -> Option<i128>) -> ArrayRef {
    let array = array.as_primitive::<T>();
    let power = u8::try_from(scale).ok().filter(|scale| *scale <= 22).map(|scale| 10_f64.powi(scale.into()));
    let value = |row: usize| match (small(array.value(row)), power) {
        (Some(value), Some(power)) if value.unsigned_abs() <= EXACT_INTEGER_MAX => value as f64 / power,
        _ => array.value_as_string(row).parse().expect("a decimal number"),
    };
    let values = (0..array.len()).map(|row| if array.is_null(row) { 0.0 } else { value(row) });
    Arc::new(Float64Array::new(values.collect(), array.nulls().cloned()))
}

fn text(array: &ArrayRef) -> Result<ArrayRef, String> {
    fn digits<T: DecimalType>(array: &ArrayRef) -> ArrayRef {
        let array = array.as_primitive::<T>();
        let text = (0..array.len()).map(|row| array.is_valid(row).then(|| array.value_as_string(row)));
        Arc::new(text.collect::<StringViewArray>())
    }
    Ok(match array.data_type() {
        ArrowType::Utf8View => array.clone(),
        ArrowType::Utf8 => Arc::new(StringViewArray::from(array.as_string::<i32>())),
        ArrowType::LargeUtf8 => Arc::new(StringViewArray::from(array.as_string::<i64>())),
        ArrowType::Decimal32(..) => digits::<Decimal32Type>(array),
        ArrowType::Decimal64(..) => digits::<Decimal64Type>(array),
        ArrowType::Decimal128(..) => digits::<Decimal128Type>(array),
        ArrowType::Decimal256(..) => digits::<Decimal256Type>(array),
        _ => Arc::new(bytes(array).as_binary_view().clone().to_string_view().map_err(|e| e.to_string())?),
    })
}

fn bytes(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        ArrowType::BinaryView => array.clone(),
        ArrowType::Binary => Arc::new(BinaryViewArray::from(array.as_binary::<i32>())),
        ArrowType::LargeBinary => Arc::new(BinaryViewArray::from(array.as_binary::<i64>())),
        ArrowType::FixedSizeBinary(_) => {
            let mut builder = BinaryViewBuilder::with_capacity(array.len());
            array.as_fixed_size_binary().iter().for_each(|value| builder.append_option(value));
            Arc::new(builder.finish())
        }
        other => unreachable!("{other} is read as binary"),
    }
}

/// The same values without a buffer of nulls, of which there are none.
///
/// # Panics
/// If the array is in no physical form of the host.
pub(super) fn without_nulls(array: &ArrayRef) -> ArrayRef {
    debug_assert_eq!(array.null_count(), 0);
    if array.nulls().is_none() {
        return array.clone();
    }
    match array.data_type() {
        ArrowType::Int64 => Arc::new(Int64Array::new(array.as_primitive::<Int64Type>().values().clone(), None)),
        ArrowType::Float64 => Arc::new(Float64Array::new(array.as_primitive::<Float64Type>().values().clone(), None)),
        ArrowType::Boolean => Arc::new(BooleanArray::new(array.as_boolean().values().clone(), None)),
        ArrowType::BinaryView => {
            let array = array.as_binary_view();
            let views = BinaryViewArray::try_new(array.views().clone(), array.data_buffers().to_vec(), None);
            Arc::new(views.expect("views that were good before"))
        }
        ArrowType::Utf8View => {
            let array = array.as_string_view();
            let views = StringViewArray::try_new(array.views().clone(), array.data_buffers().to_vec(), None);
            Arc::new(views.expect("views that were good before"))
        }
        other => unreachable!("{other} is no physical form"),
    }
}
