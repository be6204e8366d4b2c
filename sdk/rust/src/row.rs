//! Rows as structs.

use alloc::{format, string::String, vec::Vec};

use crate::{
    columns::Columns,
    config::Config,
    data::{Column, DataType, Field, Input},
};

/// A column as a struct's field declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldDef {
    /// The column's name, unless the configuration renames it.
    pub name: &'static str,
    /// The type it is written as.
    pub data_type: DataType,
    /// Another type it can be read from.
    pub also: Option<DataType>,
    /// Whether it may hold nulls.
    pub nullable: bool,
}

impl FieldDef {
    /// The column it is under this configuration.
    pub(crate) fn named(&self, config: &impl Config) -> Field {
        let field = Field::new(config.rename(self.name), self.data_type);
        if self.nullable { field.nullable() } else { field }
    }
}

/// A struct whose fields are columns, by name. Derive it:
///
/// ```
/// use wasmill_sdk::{Row, Timestamp};
///
/// #[derive(Row)]
/// struct Bid<'a> {
///     auction: i64,
///     channel: &'a str,
///     /// A column that may hold nulls.
///     note: Option<&'a str>,
///     #[row(name = "dateTime")]
///     at: Timestamp,
/// }
/// ```
///
/// As an input it names the columns that the operator sees: no other is sent to it. As an output it names the columns it makes.
/// A field whose type is no column type is refused:
///
/// ```compile_fail
/// #[derive(wasmill_sdk::Row)]
/// struct Wrong {
///     port: u16, // error: `u16` cannot be a column's value
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a row",
    label = "not a row",
    note = "write #[derive(Row)] above the struct"
)]
pub trait Row: Sized {
    /// The columns, in the order of the fields.
    const FIELDS: &'static [FieldDef];

    /// Columns in the making, the same for every lifetime of the struct.
    type Builder: RowBuilder;

    /// Appends this row.
    fn write(self, builder: &mut Self::Builder);
}

/// The columns of a [`Row`] in the making.
pub trait RowBuilder: Default + 'static {
    /// Makes room for this many more rows.
    fn reserve(&mut self, rows: usize);

    /// The columns, in the order of the fields.
    fn finish(self) -> Vec<Column>;
}

/// A [`Row`] that can be read from columns that live for `'a`. `#[derive(Row)]` derives it too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from columns",
    label = "not a row to read",
    note = "write #[derive(Row)] above the struct; a struct to be read has at most one lifetime"
)]
pub trait ReadRow<'a>: Row {
    /// The columns, opened.
    type Reader;

    /// Opens the columns, which are those of `FIELDS`, of the types that `types` tells.
    fn open(columns: &'a Columns, types: &[DataType]) -> Self::Reader;

    /// The row of this number.
    fn read(reader: &Self::Reader, row: usize) -> Self;
}

/// No columns at all.
impl Row for () {
    const FIELDS: &'static [FieldDef] = &[];
    type Builder = ();

    #[inline]
    fn write(self, (): &mut ()) {}
}

impl RowBuilder for () {
    fn reserve(&mut self, _: usize) {}

    fn finish(self) -> Vec<Column> {
        Vec::new()
    }
}

impl ReadRow<'_> for () {
    type Reader = ();

    fn open(_: &Columns, _: &[DataType]) {}

    #[inline]
    fn read((): &(), _: usize) {}
}

/// The type of each of these columns in an input; a message if one is missing or is none that the field takes.
pub(crate) fn types_in(fields: &[FieldDef], config: &impl Config, input: &Input) -> Result<Vec<DataType>, String> {
    let type_of = |def: &FieldDef| {
        let name = config.rename(def.name);
        let found = input.field(name)?;
        if found.nullable && !def.nullable {
            return Err(format!("column `{name}` may hold nulls: make the field that reads it an Option"));
        }
        let accepted = [Some(def.data_type), def.also].into_iter().flatten().find(|t| t.name() == found.data_type);
        accepted.ok_or_else(|| match def.also {
            Some(also) => {
                format!("column `{name}` is {}, expected {} or {}", found.data_type, def.data_type.name(), also.name())
            }
            None => format!("column `{name}` is {}, expected {}", found.data_type, def.data_type.name()),
        })
    };
    fields.iter().map(type_of).collect()
}

/// The type of the column at this place.
#[doc(hidden)]
pub fn type_at(types: &[DataType], place: usize) -> DataType {
    types.get(place).copied().unwrap_or_else(|| crate::memory::broken_contract())
}
