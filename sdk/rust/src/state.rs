//! Keyed state as a struct: one [`Value`] a cell. The host keeps it; a call sees the cells of its keys.

use alloc::vec::Vec;

use crate::{
    build::{BitsBuilder, ColumnBuilder},
    columns::Columns,
    data::{Cell, CellUpdate, Column, DataType, MarkedValues},
    field::{FieldType, ReadField},
};

pub use wasmill_sdk_macros::State;

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

/// A type that a [`Value`] can hold.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept in state",
    label = "not a cell type",
    note = "a cell is a Value<T> of an i64, f64, bool, Timestamp, String or Vec<u8>"
)]
pub trait CellType: FieldType + Clone + for<'a> ReadField<'a> {}

impl CellType for i64 {}
impl CellType for f64 {}
impl CellType for bool {}
impl CellType for crate::Timestamp {}
impl CellType for alloc::string::String {}
impl CellType for Vec<u8> {}

/// A cell as a struct's field declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellDef {
    /// Its name; with the operator's name in the job file, its identity.
    pub name: &'static str,
    /// The type of its values.
    pub data_type: DataType,
    /// How long an untouched value lives, ms.
    pub ttl_ms: Option<u64>,
    /// The version of what the value means.
    pub version: u32,
}

impl CellDef {
    pub(crate) fn describe(&self) -> Cell {
        Cell { ttl_ms: self.ttl_ms, version: self.version, ..Cell::value(self.name, self.data_type) }
    }
}

/// The cells of a key. Derive it:
///
/// ```
/// use wasmill_sdk::{Timestamp, state::{State, Value}};
///
/// #[derive(State)]
/// struct Visits {
///     count: Value<i64>,
///     /// Forgotten after a day without a visit.
///     #[state(ttl_ms = 86_400_000)]
///     last: Value<Timestamp>,
/// }
/// ```
///
/// ```compile_fail
/// #[derive(wasmill_sdk::state::State)]
/// struct Wrong {
///     count: wasmill_sdk::state::Value<u32>, // error: `u32` cannot be kept in state
/// }
/// ```
pub trait State: Sized + 'static {
    /// The cells, in the order of the fields.
    const CELLS: &'static [CellDef];

    /// The cells of every group of a call.
    fn load(state: &Columns) -> Vec<Self>;

    /// What has changed, a cell after the other.
    fn changes(groups: &[Self]) -> Vec<CellUpdate>;
}

/// No state.
impl State for () {
    const CELLS: &'static [CellDef] = &[];

    fn load(state: &Columns) -> Vec<()> {
        alloc::vec![(); state.count()]
    }

    fn changes(_: &[()]) -> Vec<CellUpdate> {
        Vec::new()
    }
}

/// The values of a cell, one a group.
#[doc(hidden)]
pub fn load_cell<T: CellType>(state: &Columns, place: usize) -> impl Iterator<Item = Value<T>> {
    let reader = Option::<T>::open(state.column(place), T::DATA_TYPE);
    (0..state.count()).map(move |group| Value::of(Option::<T>::read(&reader, group)))
}

/// What has changed in a cell.
#[doc(hidden)]
pub fn cell_changes<'s, T: CellType + 's>(values: impl ExactSizeIterator<Item = &'s Value<T>> + Clone) -> CellUpdate {
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
fn changed_values<'s, T: CellType + 's>(values: impl Iterator<Item = &'s Value<T>> + Clone, changed: usize) -> Column {
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

/// The next group's value.
#[doc(hidden)]
#[inline]
pub fn next_cell<T>(values: &mut impl Iterator<Item = Value<T>>) -> Value<T> {
    values.next().unwrap_or_else(|| crate::memory::broken_contract())
}
