//! What is asked of the host during a call: entries, as they were when it began.

use crate::{data::Column, memory};

/// Which entries of some groups are asked for.
pub(super) struct Scan<'a> {
    pub(super) cell: u32,
    pub(super) groups: &'a [u32],
    /// For each group: entries from here on.
    pub(super) start: Option<&'a Column>,
    /// For each group: entries before this.
    pub(super) end: Option<&'a Column>,
    /// The last ones, in the opposite order.
    pub(super) descending: bool,
    /// Entries a group, at most.
    pub(super) limit: u32,
}

/// Entries of several groups, one group's after another's.
pub(crate) struct Found {
    /// How many there are of each group, u32.
    pub(crate) counts: alloc::vec::Vec<u8>,
    pub(crate) sub_keys: Column,
    pub(crate) values: Column,
}

/// The value of each pair of group and sub-key; null: there is none.
pub(super) fn get(cell: u32, groups: &[u32], sub_keys: &Column) -> Column {
    #[cfg(target_family = "wasm")]
    return crate::bindings::wasmill::operator::state::get(cell, memory::u32_bytes(groups), sub_keys);
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::host::get(cell, memory::u32_bytes(groups), sub_keys);
}

/// The first entries of each group, or the last.
pub(super) fn scan(scan: &Scan<'_>) -> Found {
    let Scan { cell, groups, start, end, descending, limit } = *scan;
    let groups = memory::u32_bytes(groups);
    #[cfg(target_family = "wasm")]
    {
        let found = crate::bindings::wasmill::operator::state::scan(cell, groups, start, end, descending, limit);
        Found { counts: found.counts, sub_keys: found.sub_keys, values: found.values }
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::host::scan(cell, groups, (start, end), (descending, limit))
}
