//! Values one by one, and to and from columns: the harness wants to be plain, not fast.

use crate::{
    build::{BoolBuilder, BytesBuilder, ColumnBuilder, F64Builder, I64Builder, NullableBuilder},
    columns::{Column, Columns},
    data::{self, DataType, Field},
    row::{Row, RowBuilder},
};

/// One value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Datum {
    Null,
    Whole(i64),
    /// The bits of a float: keys must be comparable, and float64 is no key type.
    Float(u64),
    Boolean(bool),
    Bytes(Vec<u8>),
}

/// One row of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) values: Vec<Datum>,
    pub(super) event_time: Option<i64>,
}

pub(super) fn data_type(name: &str) -> DataType {
    DataType::from_name(name).unwrap_or_else(|| panic!("bad descriptor: there is no type {name}"))
}

/// The fields of a row struct, as a schema.
pub(super) fn schema_of<R: Row>() -> Vec<Field> {
    R::FIELDS.iter().map(|def| def.named(&())).collect()
}

/// Row structs as records.
pub(super) fn records<R: Row>(rows: impl IntoIterator<Item = R>) -> Vec<Record> {
    let mut builder = R::Builder::default();
    let mut count = 0;
    for row in rows {
        row.write(&mut builder);
        count += 1;
    }
    let columns = builder.finish().into_iter().zip(R::FIELDS);
    let columns: Vec<Vec<Datum>> = columns.map(|(column, def)| decode(column, count, def.data_type)).collect();
    transpose(columns, count)
}

pub(super) fn transpose(columns: Vec<Vec<Datum>>, count: usize) -> Vec<Record> {
    let record = |row: usize| Record { values: columns.iter().map(|c| c[row].clone()).collect(), event_time: None };
    (0..count).map(record).collect()
}

/// The values of a column.
pub(super) fn decode(column: data::Column, rows: usize, data_type: DataType) -> Vec<Datum> {
    let column = Column::new(column, rows);
    let value = |row: usize| match data_type {
        _ if column.validity().is_some_and(|bits| !bits.get(row)) => Datum::Null,
        DataType::Int64 | DataType::Timestamp => Datum::Whole(column.i64s()[row]),
        DataType::Float64 => Datum::Float(column.f64s()[row].to_bits()),
        DataType::Boolean => Datum::Boolean(column.booleans().get(row)),
        DataType::Utf8 | DataType::Binary => {
            Datum::Bytes(column.binaries().get(row).expect("offsets lie within the values").to_vec())
        }
    };
    let values: Vec<Datum> = (0..rows).map(value).collect();
    for value in values.iter().filter(|_| data_type == DataType::Utf8) {
        if let Datum::Bytes(bytes) = value {
            assert!(std::str::from_utf8(bytes).is_ok(), "bad reply: a utf8 value is not UTF-8");
        }
    }
    values
}

/// A column of these values.
pub(super) fn encode<'d>(values: impl IntoIterator<Item = &'d Datum>, data_type: DataType) -> data::Column {
    fn fill<'d, B: ColumnBuilder>(
        values: impl IntoIterator<Item = &'d Datum>,
        push: impl Fn(&mut B, &Datum),
    ) -> data::Column {
        let mut builder = NullableBuilder::<B>::default();
        for value in values {
            match value {
                Datum::Null => builder.push_null(),
                value => push(builder.push_valid(), value),
            }
        }
        builder.finish()
    }
    let wrong = |value: &Datum| panic!("{value:?} in a column of type {}", data_type.name());
    match data_type {
        DataType::Int64 | DataType::Timestamp => fill(values, |builder: &mut I64Builder, value| match value {
            Datum::Whole(value) => builder.push(*value),
            value => wrong(value),
        }),
        DataType::Float64 => fill(values, |builder: &mut F64Builder, value| match value {
            Datum::Float(bits) => builder.push(f64::from_bits(*bits)),
            value => wrong(value),
        }),
        DataType::Boolean => fill(values, |builder: &mut BoolBuilder, value| match value {
            Datum::Boolean(value) => builder.push(*value),
            value => wrong(value),
        }),
        DataType::Utf8 | DataType::Binary => fill(values, |builder: &mut BytesBuilder, value| match value {
            Datum::Bytes(value) => builder.push(value),
            value => wrong(value),
        }),
    }
}

/// Columns of these records, by place.
pub(super) fn columns(records: &[Record], fields: &[Field], places: &[usize]) -> Vec<data::Column> {
    let column = |&place: &usize| {
        encode(records.iter().map(|record| &record.values[place]), data_type(&fields[place].data_type))
    };
    places.iter().map(column).collect()
}

/// Records as row structs. Columns are found by name.
pub(super) fn rows<R: for<'a> crate::row::ReadRow<'a>>(records: &[Record], fields: &[Field]) -> Vec<R> {
    let place = |def: &crate::row::FieldDef| {
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        let place = names.iter().position(|name| *name == def.name);
        let place = place.unwrap_or_else(|| panic!("there is no column `{}`; columns: {}", def.name, names.join(", ")));
        let found = &fields[place];
        let fits = found.data_type == def.data_type.name() && (def.nullable || !found.nullable);
        assert!(fits, "the row's field `{}` does not fit the column, which is {found:?}", def.name);
        place
    };
    let places: Vec<usize> = R::FIELDS.iter().map(place).collect();
    let types: Vec<DataType> = R::FIELDS.iter().map(|def| def.data_type).collect();
    let columns = Columns::of(columns(records, fields, &places), records.len());
    let reader = R::open(&columns, &types);
    (0..records.len()).map(|row| R::read(&reader, row)).collect()
}

/// Values of a column, none of which is null unless it may be.
pub(super) fn checked(column: data::Column, rows: usize, field: &Field) -> Vec<Datum> {
    let values = decode(column, rows, data_type(&field.data_type));
    assert!(field.nullable || !values.contains(&Datum::Null), "bad reply: a null in column {}", field.name);
    values
}
