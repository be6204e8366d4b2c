//! Grouping: which rows of a batch share a key, and what the following calls need to know of each key.

use wasmill_model::{
    Timestamp,
    keys::{EncodedKeys, INT_KEY_BYTES},
    reply::Groups,
};

use crate::arena::Position;

/// The groups of the current call. All vectors have one element a group and are used again for every call.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub(crate) keys: EncodedKeys,
    pub(crate) hashes: Vec<u64>,
    /// The latest event time of each group's rows; empty if nobody needs it.
    pub(crate) latest: Vec<Timestamp>,
    /// The record of each group, or `NOWHERE`; empty until they have been looked up.
    pub(crate) positions: Vec<Position>,
    /// The first words of the records, while they are looked up.
    pub(crate) words: Vec<u64>,
    /// Open addressing from hashes to group + 1; 0 is empty.
    table: Vec<u32>,
}

impl Call {
    /// Begins a call: numbers the keys of the rows in the order of their first row.
    pub(crate) fn group(&mut self, keys: &EncodedKeys, hashes: &[u64]) -> Groups {
        assert_eq!(keys.len(), hashes.len(), "there is not one hash a key");
        self.keys.clear();
        self.hashes.clear();
        self.positions.clear();
        self.latest.clear();
        // Few collisions are worth a large table while it stays in the first cache.
        let spread = if hashes.len() <= 1_024 { 4 } else { 2 };
        let slots = (hashes.len() * spread).next_power_of_two().max(2);
        self.table.clear();
        self.table.resize(slots, 0);
        let of_row = match keys.fixed::<INT_KEY_BYTES>() {
            Some(keys) => self.number_ints(keys, hashes),
            None => self.number(keys, hashes),
        };
        Groups { count: self.hashes.len() as u32, of_row: of_row.into() }
    }

    fn number_ints(&mut self, keys: &[[u8; INT_KEY_BYTES]], hashes: &[u64]) -> Vec<u32> {
        let mut first_rows: Vec<u32> = Vec::with_capacity(hashes.len());
        let (table, group_hashes) = (&mut self.table, &mut self.hashes);
        let numbers = hashes.iter().zip(keys).zip(0..).map(|((&hash, key), row)| {
            let same = |group: u32, first_rows: &[u32]| keys[first_rows[group as usize] as usize] == *key;
            let group = number(table, group_hashes, hash, |group| same(group, &first_rows));
            if group as usize == first_rows.len() {
                first_rows.push(row);
            }
            group
        });
        let of_row = numbers.collect();
        self.keys.extend_fixed(first_rows.iter().map(|&row| &keys[row as usize]));
        of_row
    }

    fn number(&mut self, keys: &EncodedKeys, hashes: &[u64]) -> Vec<u32> {
        let (table, group_hashes, group_keys) = (&mut self.table, &mut self.hashes, &mut self.keys);
        let numbers = hashes.iter().zip(keys.iter()).map(|(&hash, key)| {
            let group = number(table, group_hashes, hash, |group| group_keys.get(group as usize) == key);
            if group as usize == group_keys.len() {
                group_keys.push(key);
            }
            group
        });
        numbers.collect()
    }
}

/// The group of a key, a new one if no group is the `same`.
#[inline]
fn number(table: &mut [u32], group_hashes: &mut Vec<u64>, hash: u64, same: impl Fn(u32) -> bool) -> u32 {
    let mask = table.len() - 1;
    // The high bits: the low ones are much alike within a subtask.
    let mut slot = (hash >> 32) as usize & mask;
    loop {
        let entry = &mut table[slot];
        if *entry == 0 {
            let group = group_hashes.len() as u32;
            group_hashes.push(hash);
            *entry = group + 1;
            return group;
        }
        let group = *entry - 1;
        if group_hashes[group as usize] == hash && same(group) {
            return group;
        }
        slot = (slot + 1) & mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keys: &[&[u8]], hash: impl Fn(&[u8]) -> u64, expect: &[u32]) {
        let mut encoded = EncodedKeys::default();
        keys.iter().for_each(|key| encoded.push(key));
        let hashes: Vec<u64> = keys.iter().map(|key| hash(key)).collect();
        let mut call = Call::default();
        for _ in 0..2 {
            let groups = call.group(&encoded, &hashes);
            assert_eq!(&groups.of_row[..], expect);
            assert_eq!(groups.count as usize, call.keys.len());
            assert!(keys.iter().zip(expect).all(|(key, &group)| call.keys.get(group as usize) == *key));
        }
    }

    /// rule 15
    #[test]
    fn groups_are_numbered_by_their_first_row() {
        let first = |key: &[u8]| u64::from(key.first().copied().unwrap_or(0)) << 40;
        check(&[], first, &[]);
        check(&[b"b", b"a", b"b", b"", b"a"], first, &[0, 1, 0, 2, 1]);
        check(&[b"key five9", b"key one 9", b"key five9"], first, &[0, 1, 0]);
        // Keys of 9 bytes together, cut unevenly.
        check(&[b"12345678", b"0123456789", b"12345678", b"0123456789"], first, &[0, 1, 0, 1]);
    }

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        check(&[b"b", b"a", b"b", b"c"], |_| u64::MAX, &[0, 1, 0, 2]);
        check(&[b"nine byte", b"nine BYTE", b"nine byte"], |_| 7, &[0, 1, 0]);
    }
}
