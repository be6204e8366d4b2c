//! State as a struct: one field a cell. The host keeps it; a call sees the cells of its keys.
//!
//! | field | holds |
//! |---|---|
//! | [`Value<T>`] | at most one value a key; comes with every call |
//! | [`List<T>`] | values a key, in the order in which they were added; read when asked for |
//! | [`Map<K, V>`] | a value for each sub-key of a key, in the order of the sub-keys; read when asked for |
//!
//! A struct with `#[derive(State)]` is the state of a key, one with `#[derive(Shared)]` what all keys share, of
//! [`BroadcastOperator`](crate::BroadcastOperator)s. Attributes of a field:
//!
//! | attribute | says |
//! |---|---|
//! | `#[state(name = "...")]` | the cell's name, if it is not the field's |
//! | `#[state(ttl_ms = 86_400_000)]` | how long a value, or an entry, lives since it was last written; else until it is removed |
//! | `#[state(event_time)]` | with `ttl_ms`: the clock of that is the watermark, not the host's |
//! | `#[state(version = 2)]` | the version of what the values mean; 1 if it is not there |
//! | `#[state(renamed_from = "...")]` | the cell's name in an earlier version of the operator, whose state it takes over |

use alloc::{vec, vec::Vec};
use core::iter;

use crate::{
    build::{BitsBuilder, ColumnBuilder},
    columns::Columns,
    data::{Cell, CellUpdate, Column, DataType, EntryChanges, MarkedValues, TimeDomain},
    field::{FieldType, ReadField},
};

#[cfg(feature = "cbor")]
mod cbor;
mod entries;
mod list;
mod map;
mod reads;

#[cfg(feature = "cbor")]
pub use cbor::Cbor;
pub use list::List;
pub use map::Map;
#[cfg(not(target_family = "wasm"))]
pub(crate) use reads::Found;
pub use wasmill_sdk_macros::{Shared, State};

/// At most one value a key, of type `i64`, `f64`, `bool`, [`Timestamp`](crate::Timestamp), `String` or `Vec<u8>`.
/// Only what was changed is written, and has its time to live renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value<T> {
    value: Option<T>,
    changed: bool,
}

impl<T> Value<T> {
    /// The value, if there is one.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// Whether there is no value: the key is new, was cleared, or its time to live is over.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.value.is_none()
    }

    /// Sets the value.
    #[inline]
    pub fn set(&mut self, value: T) {
        self.value = Some(value);
        self.changed = true;
    }

    /// Removes the value.
    #[inline]
    pub fn clear(&mut self) {
        self.value = None;
        self.changed = true;
    }

    /// The value, to be changed in place; this one if there is none yet.
    ///
    /// ```
    /// # use wasmill_sdk::state::Value;
    /// # let mut count = Value::of(Some(1));
    /// *count.get_or_insert(0) += 1;
    /// assert_eq!(count.get(), Some(&2));
    /// ```
    #[inline]
    pub fn get_or_insert(&mut self, value: T) -> &mut T {
        self.changed = true;
        self.value.get_or_insert(value)
    }

    /// Removes the value and returns it.
    pub fn take(&mut self) -> Option<T> {
        self.changed = true;
        self.value.take()
    }

    /// What the host keeps now.
    pub fn of(value: Option<T>) -> Self {
        Self { value, changed: false }
    }
}

impl<T: Copy> Value<T> {
    /// The value, or this one if there is none.
    #[inline]
    pub fn get_or(&self, value: T) -> T {
        self.value.unwrap_or(value)
    }
}

/// A type that a cell can hold.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept in state",
    label = "not a cell type",
    note = "a cell holds i64, f64, bool, Timestamp, String or Vec<u8>, or, with the feature `cbor`, Cbor<T> of a struct"
)]
pub trait CellType: FieldType + Clone + for<'a> ReadField<'a> + 'static {
    /// What is in values of type `binary`.
    const ENCODING: Option<&'static str> = None;
}

impl CellType for i64 {}
impl CellType for f64 {}
impl CellType for bool {}
impl CellType for crate::Timestamp {}
impl CellType for alloc::string::String {}
impl CellType for Vec<u8> {}

/// A type by which the entries of a [`Map`] are told apart. Its order is that of the entries.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a sub-key",
    label = "not a sub-key",
    note = "a sub-key is an i64, bool, Timestamp, String or Vec<u8>"
)]
pub trait SubKey: CellType + Ord {
    /// The next one in the order; `None`: there is none.
    fn successor(&self) -> Option<Self>;
}

impl SubKey for i64 {
    fn successor(&self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl SubKey for crate::Timestamp {
    fn successor(&self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl SubKey for bool {
    fn successor(&self) -> Option<Self> {
        (!self).then_some(true)
    }
}

impl SubKey for alloc::string::String {
    fn successor(&self) -> Option<Self> {
        Some(alloc::format!("{self}\0"))
    }
}

impl SubKey for Vec<u8> {
    fn successor(&self) -> Option<Self> {
        Some(self.iter().copied().chain([0]).collect())
    }
}

/// What a cell holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellKind {
    /// At most one value a key.
    Value,
    /// Values a key, in the order in which they were added.
    List,
    /// A value for each sub-key of a key.
    Map,
    /// A value for each sub-key, for all keys.
    Broadcast,
}

impl CellKind {
    /// The name the contract uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::List => "list",
            Self::Map => "map",
            Self::Broadcast => "broadcast",
        }
    }
}

/// A cell as a struct's field declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellDef {
    /// Its name; with the operator's name in the job file, its identity.
    pub name: &'static str,
    /// What it holds.
    pub kind: CellKind,
    /// The type of its values.
    pub data_type: DataType,
    /// The type of its sub-keys, if they are the operator's.
    pub sub_key: Option<DataType>,
    /// What is in values of type `binary`.
    pub encoding: Option<&'static str>,
    /// How long a value lives since it was last written, ms.
    pub ttl_ms: Option<u64>,
    /// Whether that is by event time.
    pub event_time: bool,
    /// The version of what the value means.
    pub version: u32,
    /// Its name in an earlier version of the operator.
    pub renamed_from: Option<&'static str>,
}

impl CellDef {
    /// Values of this type that live until they are removed. It has no name yet.
    pub(crate) const fn of<T: CellType>(kind: CellKind, sub_key: Option<DataType>) -> Self {
        Self {
            name: "",
            kind,
            data_type: T::DATA_TYPE,
            sub_key,
            encoding: T::ENCODING,
            ttl_ms: None,
            event_time: false,
            version: 1,
            renamed_from: None,
        }
    }

    pub(crate) fn describe(&self) -> Cell {
        let owned = |text: &str| alloc::string::String::from(text);
        Cell {
            kind: owned(self.kind.name()),
            sub_key: self.sub_key.map(|sub_key| owned(sub_key.name())),
            encoding: self.encoding.map(owned),
            ttl_ms: self.ttl_ms,
            ttl_domain: if self.event_time { TimeDomain::EventTime } else { TimeDomain::ProcessingTime },
            version: self.version,
            renamed_from: self.renamed_from.map(owned),
            ..Cell::value(self.name, self.data_type)
        }
    }
}

/// Where a cell stands: in the descriptor, and among the value cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Among all cells.
    pub cell: u32,
    /// Among those whose values come with every call.
    pub value: usize,
}

impl Place {
    /// That of a cell among these.
    pub const fn of(cells: &[CellDef], cell: usize) -> Self {
        let (mut value, mut earlier) = (0, cells);
        let mut left = cell;
        while left > 0 {
            let [first, others @ ..] = earlier else { break };
            value += matches!(first.kind, CellKind::Value) as usize;
            (earlier, left) = (others, left - 1);
        }
        Self { cell: cell as u32, value }
    }
}

/// What has changed in a call.
#[derive(Debug, Default)]
pub struct Changes {
    /// Of the value cells, one after the other.
    pub cells: Vec<CellUpdate>,
    /// Of all others.
    pub entries: Vec<EntryChanges>,
}

/// A field of a state.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a cell",
    label = "not a cell",
    note = "a cell is a Value<T>, List<T> or Map<K, V>"
)]
pub trait CellField: Sized + 'static {
    /// The cell, without a name.
    const CELL: CellDef;

    /// The cell of every group of a call.
    fn load(state: &Columns, place: Place) -> impl Iterator<Item = Self>;

    /// Reads what the operator has said it will need, of all groups at once.
    fn fetch<'c>(_groups: impl Iterator<Item = &'c Self> + Clone) {}

    /// Reads all there is.
    fn fetch_all(&self) {}

    /// Adds what has changed in any group.
    fn changes<'c>(groups: impl ExactSizeIterator<Item = &'c Self> + Clone, changes: &mut Changes);
}

/// A field of what all keys share.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be shared by all keys",
    label = "not a shared cell",
    note = "what all keys share is kept in a Map<K, V>"
)]
pub trait SharedField: CellField {
    /// The cell at this place.
    fn load_shared(cell: u32) -> Self;
}

/// The cells of a key. Derive it:
///
/// ```
/// use wasmill_sdk::{Timestamp, state::{List, Map, State, Value}};
///
/// #[derive(State)]
/// struct Visits {
///     count: Value<i64>,
///     /// Forgotten after a day without a visit.
///     #[state(ttl_ms = 86_400_000)]
///     last: Value<Timestamp>,
///     /// How often each page was seen; each is forgotten when all pages are a week younger than its last visit.
///     #[state(ttl_ms = 604_800_000, event_time, renamed_from = "page_counts")]
///     pages: Map<String, i64>,
///     referrers: List<String>,
/// }
/// ```
///
/// ```compile_fail
/// #[derive(wasmill_sdk::state::State)]
/// struct Wrong {
///     count: wasmill_sdk::state::Value<u32>, // error: `u32` cannot be kept in state
/// }
/// ```
///
/// ```compile_fail
/// #[derive(wasmill_sdk::state::State)]
/// struct Wrong {
///     #[state(event_time)] // error: `event_time` is the clock of `ttl_ms`, which is not given
///     count: wasmill_sdk::state::Value<i64>,
/// }
/// ```
pub trait State: Sized + 'static {
    /// The cells, in the order of the fields.
    const CELLS: &'static [CellDef];

    /// The cells of every group of a call.
    fn load(state: &Columns) -> Vec<Self>;

    /// Reads what the operator has said it will need, of all groups at once.
    fn fetch(groups: &[Self]);

    /// Reads all there is of the key.
    fn fetch_all(&self);

    /// What has changed, a cell after the other.
    fn changes(groups: &[Self]) -> Changes;
}

/// No state.
impl State for () {
    const CELLS: &'static [CellDef] = &[];

    fn load(state: &Columns) -> Vec<()> {
        vec![(); state.count()]
    }

    fn fetch(_: &[()]) {}

    fn fetch_all(&self) {}

    fn changes(_: &[()]) -> Changes {
        Changes::default()
    }
}

/// What all keys share, of a [`BroadcastOperator`](crate::BroadcastOperator): a copy is in every instance. Derive it:
///
/// ```
/// use wasmill_sdk::state::{Map, Shared};
///
/// #[derive(Shared)]
/// struct Rates {
///     by_currency: Map<String, f64>,
/// }
/// ```
///
/// ```compile_fail
/// #[derive(wasmill_sdk::state::Shared)]
/// struct Wrong {
///     count: wasmill_sdk::state::Value<i64>, // error: `Value<i64>` cannot be shared by all keys
/// }
/// ```
pub trait Shared: Sized + 'static {
    /// The cells, in the order of the fields.
    const CELLS: &'static [CellDef];

    /// The cells, the first of which stands at a place.
    fn load(first: u32) -> Self;

    /// Reads what the operator has said it will need.
    fn fetch(&self);

    /// Reads all there is.
    fn fetch_all(&self);

    /// What has changed.
    fn changes(&self) -> Changes;
}

impl<T: CellType> CellField for Value<T> {
    const CELL: CellDef = CellDef::of::<T>(CellKind::Value, None);

    fn load(state: &Columns, place: Place) -> impl Iterator<Item = Self> {
        let reader = Option::<T>::open(state.column(place.value), T::DATA_TYPE);
        (0..state.count()).map(move |group| Self::of(Option::<T>::read(&reader, group)))
    }

    fn changes<'c>(groups: impl ExactSizeIterator<Item = &'c Self> + Clone, changes: &mut Changes) {
        changes.cells.push(cell_changes(groups));
    }
}

/// What has changed in a value cell.
fn cell_changes<'s, T: CellType>(values: impl ExactSizeIterator<Item = &'s Value<T>> + Clone) -> CellUpdate {
    let changed = values.clone().filter(|value| value.changed).count();
    if changed == 0 {
        return CellUpdate::Unchanged;
    }
    let column = changed_values(values.clone(), changed);
    if changed == values.len() {
        return CellUpdate::All(column);
    }
    let mut groups = BitsBuilder::with_capacity(values.len());
    values.for_each(|value| groups.push(value.changed));
    CellUpdate::Marked(MarkedValues { groups: groups.finish(), values: column })
}

/// The values that have changed, in a column without a bitmap if none of them was cleared.
fn changed_values<'s, T: CellType>(values: impl Iterator<Item = &'s Value<T>> + Clone, changed: usize) -> Column {
    let values = values.filter(|value| value.changed).map(|value| &value.value);
    if values.clone().all(Option::is_some) {
        let mut column = T::Builder::default();
        column.reserve(changed);
        values.flatten().for_each(|value| value.clone().write(&mut column));
        return column.finish();
    }
    let mut column = <Option<T> as FieldType>::Builder::default();
    column.reserve(changed);
    values.for_each(|value| value.clone().write(&mut column));
    column.finish()
}

/// The next group's cell.
#[doc(hidden)]
#[inline]
pub fn next_cell<F>(cells: &mut impl Iterator<Item = F>) -> F {
    cells.next().unwrap_or_else(|| crate::memory::broken_contract())
}

/// One value as a column.
fn column_of<T: FieldType>(value: T) -> Column {
    columns_of(iter::once(value))
}

/// Values as a column.
fn columns_of<T: FieldType>(values: impl Iterator<Item = T>) -> Column {
    let mut column = T::Builder::default();
    column.reserve(values.size_hint().0);
    values.for_each(|value| value.write(&mut column));
    column.finish()
}

/// The values of a column.
fn read_column<T: for<'a> ReadField<'a>>(column: Column, count: usize) -> Vec<T> {
    let column = crate::columns::Column::new(column, count);
    let reader = T::open(&column, T::DATA_TYPE);
    (0..count).map(|row| T::read(&reader, row)).collect()
}
