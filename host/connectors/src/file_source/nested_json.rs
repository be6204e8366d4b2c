//! Nested values of columnar files as JSON text, for columns that ask for it.

use arrow_array::{Array, ArrayRef, StringViewArray, cast::AsArray, types::*};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType as ArrowType;
use wasmill_model::{DataType, Field};

use crate::{
    file_source::convert::{convert, own_type},
    source_columns::SourceColumn,
};

/// Whether values of this type have a JSON text.
pub(super) fn can_write(found: &ArrowType) -> bool {
    match found {
        ArrowType::Struct(fields) => fields.iter().all(|field| can_write(field.data_type())),
        ArrowType::List(item) | ArrowType::LargeList(item) | ArrowType::FixedSizeList(item, _) => {
            can_write(item.data_type())
        }
        ArrowType::Map(entries, _) => can_write(entries.data_type()),
        other => own_type(other).is_some(),
    }
}

/// The JSON text of each value; a null stays one.
///
/// # Panics
/// If the type has none.
pub(super) fn texts(array: &ArrayRef) -> Result<StringViewArray, String> {
    let values = Values::of(array)?;
    let mut text = Vec::new();
    let text = (0..array.len()).map(|row| {
        text.clear();
        values.write(row, &mut text);
        let text = std::str::from_utf8(&text).expect("JSON of UTF-8 is UTF-8");
        array.is_valid(row).then(|| text.to_owned())
    });
    Ok(text.collect())
}

/// The values of an array, each of which can be written.
struct Values {
    nulls: Option<NullBuffer>,
    kind: Kind,
}

enum Kind {
    Struct(Vec<(String, Values)>),
    /// Where the elements of each begin and end.
    List {
        ends: Vec<(usize, usize)>,
        elements: Box<Values>,
    },
    Scalar {
        data_type: DataType,
        array: ArrayRef,
    },
}

impl Values {
    fn of(array: &ArrayRef) -> Result<Self, String> {
        let list = |ends: Vec<(usize, usize)>, elements: &ArrayRef| -> Result<Kind, String> {
            Ok(Kind::List { ends, elements: Box::new(Self::of(elements)?) })
        };
        let kind = match array.data_type() {
            ArrowType::Struct(fields) => {
                let columns = array.as_struct().columns().iter();
                let fields = fields.iter().zip(columns).map(|(field, c)| Ok((field.name().clone(), Self::of(c)?)));
                Kind::Struct(fields.collect::<Result<_, String>>()?)
            }
            ArrowType::List(_) => {
                let lists = array.as_list::<i32>();
                list(pairs(lists.offsets().iter().map(|at| *at as usize)), lists.values())?
            }
            ArrowType::LargeList(_) => {
                let lists = array.as_list::<i64>();
                list(pairs(lists.offsets().iter().map(|at| *at as usize)), lists.values())?
            }
            ArrowType::FixedSizeList(_, size) => {
                let (lists, size) = (array.as_fixed_size_list(), *size as usize);
                list((0..lists.len()).map(|row| (row * size, (row + 1) * size)).collect(), lists.values())?
            }
            ArrowType::Map(..) => {
                let map = array.as_map();
                let entries: ArrayRef = std::sync::Arc::new(map.entries().clone());
                list(pairs(map.offsets().iter().map(|at| *at as usize)), &entries)?
            }
            other => {
                let data_type = own_type(other).expect("`can_write` was asked");
                let column = SourceColumn::plain(Field::nullable("element", data_type));
                let array = convert(array, &column)?.array;
                Kind::Scalar { data_type, array }
            }
        };
        Ok(Self { nulls: array.nulls().cloned(), kind })
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return out.extend_from_slice(b"null");
        }
        match &self.kind {
            Kind::Struct(fields) => {
                for (place, (name, values)) in fields.iter().enumerate() {
                    out.push(if place == 0 { b'{' } else { b',' });
                    write_json(&name.as_str(), out);
                    out.push(b':');
                    values.write(row, out);
                }
                out.extend_from_slice(if fields.is_empty() { b"{}" } else { b"}" });
            }
            Kind::List { ends, elements } => {
                out.push(b'[');
                let (start, end) = ends[row];
                for element in start..end {
                    if element > start {
                        out.push(b',');
                    }
                    elements.write(element, out);
                }
                out.push(b']');
            }
            Kind::Scalar { array, .. } if array.is_null(row) => out.extend_from_slice(b"null"),
            Kind::Scalar { data_type, array } => match data_type {
                DataType::Int64 | DataType::Timestamp => write_json(&array.as_primitive::<Int64Type>().value(row), out),
                DataType::Float64 => write_json(&array.as_primitive::<Float64Type>().value(row), out),
                DataType::Boolean => write_json(&array.as_boolean().value(row), out),
                DataType::Utf8 => write_json(&array.as_string_view().value(row), out),
                DataType::Binary => {
                    let hex = array.as_binary_view().value(row).iter().map(|byte| format!("{byte:02x}"));
                    write_json(&hex.collect::<String>(), out);
                }
            },
        }
    }
}

fn pairs(offsets: impl Iterator<Item = usize>) -> Vec<(usize, usize)> {
    let offsets: Vec<usize> = offsets.collect();
    offsets.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

fn write_json(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("memory takes everything, and scalars are always JSON");
}
