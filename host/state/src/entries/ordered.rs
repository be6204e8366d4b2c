//! Positions in the order of what stands there: chunks of a bounded length, so that neither finding a place nor making room in it
//! takes long however many there are. As the leaves of a B-tree, of which the nodes above are one list.

use std::cmp::Ordering;

use crate::arena::Position;

/// Positions in a chunk, at most.
const CHUNK_MAX: usize = 128;

/// Memory of an entry's place, in bytes: chunks are at least half full, but for the last.
pub(super) const BYTES_PER_ENTRY: usize = 2 * size_of::<Position>();

/// A place among the positions: a chunk, and a place in it. The end is the place behind the last chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) chunk: usize,
    pub(super) at: usize,
}

/// No chunk is empty.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    chunks: Vec<Vec<Position>>,
}

impl Ordered {
    pub(super) fn first(&self) -> Option<Position> {
        self.chunks.first()?.first().copied()
    }

    pub(super) fn last(&self) -> Option<Position> {
        self.chunks.last()?.last().copied()
    }

    /// A chunk of positions.
    pub(super) fn chunk(&self, chunk: usize) -> Option<&[Position]> {
        self.chunks.get(chunk).map(Vec::as_slice)
    }

    pub(super) fn get(&self, place: Place) -> Option<Position> {
        self.chunks.get(place.chunk)?.get(place.at).copied()
    }

    /// The first place where `order` is not `Less`, and whether it is `Equal` there. `order` says how what stands at a position
    /// compares with what is looked for.
    pub(super) fn find(&self, order: impl Fn(Position) -> Ordering) -> (Place, bool) {
        let before = |position: &Position| order(*position) == Ordering::Less;
        let chunk = self.chunks.partition_point(|chunk| chunk.last().is_some_and(before));
        let at = self.chunks.get(chunk).map_or(0, |chunk| chunk.partition_point(before));
        let place = Place { chunk, at };
        (place, self.get(place).is_some_and(|position| order(position) == Ordering::Equal))
    }

    pub(super) fn set(&mut self, place: Place, position: Position) {
        self.chunks[place.chunk][place.at] = position;
    }

    /// Puts a position before what stands at a place.
    pub(super) fn insert(&mut self, Place { mut chunk, mut at }: Place, position: Position) {
        if chunk == self.chunks.len() {
            // Behind all others, where lists grow: full chunks stay full.
            match self.chunks.last() {
                Some(last) if last.len() < CHUNK_MAX => (chunk, at) = (chunk - 1, last.len()),
                _ => return self.chunks.push(vec![position]),
            }
        }
        if self.chunks[chunk].len() == CHUNK_MAX {
            let behind = self.chunks[chunk].split_off(CHUNK_MAX / 2);
            self.chunks.insert(chunk + 1, behind);
            if at > CHUNK_MAX / 2 {
                (chunk, at) = (chunk + 1, at - CHUNK_MAX / 2);
            }
        }
        self.chunks[chunk].insert(at, position);
    }

    pub(super) fn remove(&mut self, Place { chunk, at }: Place) -> Position {
        let position = self.chunks[chunk].remove(at);
        if self.chunks[chunk].is_empty() {
            self.chunks.remove(chunk);
        } else if let [.., a, b] = &self.chunks[..self.chunks.len().min(chunk + 2)]
            && a.len() + b.len() <= CHUNK_MAX / 2
        {
            let second = self.chunks.len().min(chunk + 2) - 1;
            let behind = self.chunks.remove(second);
            self.chunks[second - 1].extend(behind);
        }
        position
    }

    /// From a place on, to the end.
    pub(super) fn from(&self, place: Place) -> impl Iterator<Item = Position> {
        let rest = self.chunks.get(place.chunk).map_or(&[][..], |chunk| &chunk[place.at..]);
        let others = self.chunks.get(place.chunk + 1..).unwrap_or_default();
        rest.iter().chain(others.iter().flatten()).copied()
    }

    /// Before a place, backwards to the begin.
    pub(super) fn before(&self, place: Place) -> impl Iterator<Item = Position> {
        let rest = self.chunks.get(place.chunk).map_or(&[][..], |chunk| &chunk[..place.at]);
        let others = &self.chunks[..place.chunk.min(self.chunks.len())];
        rest.iter().rev().chain(others.iter().rev().flat_map(|chunk| chunk.iter().rev())).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Position> {
        self.chunks.iter().flatten().copied()
    }

    /// The place behind the last.
    pub(super) fn end(&self) -> Place {
        Place { chunk: self.chunks.len(), at: 0 }
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        assert!(self.chunks.iter().all(|chunk| (1..=CHUNK_MAX).contains(&chunk.len())));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn holds_what_a_set_would_hold_in_its_order() {
        let (mut ordered, mut model, mut random) = (Ordered::default(), BTreeSet::new(), 7_u32);
        for step in 0..20_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let number = (random >> 16) % 3_000;
            let (place, found) = ordered.find(|position| position.0.cmp(&number));
            assert_eq!(found, model.contains(&number));
            // It grows, then shrinks.
            if found && (step > 8_000 || random & 1 == 0) {
                assert_eq!(ordered.remove(place), Position(number));
                model.remove(&number);
            } else if !found && step < 12_000 {
                ordered.insert(place, Position(number));
                model.insert(number);
            }
            ordered.check();
        }
        for number in [0, 1_000, 2_999, 3_000] {
            let (place, _) = ordered.find(|position| position.0.cmp(&number));
            assert!(ordered.from(place).map(|p| p.0).eq(model.range(number..).copied()));
            assert!(ordered.before(place).map(|p| p.0).eq(model.range(..number).rev().copied()));
        }
        assert!(ordered.iter().map(|p| p.0).eq(model.iter().copied()));
        assert!(ordered.before(ordered.end()).map(|p| p.0).eq(model.iter().rev().copied()));
        assert_eq!(ordered.last().map(|p| p.0), model.last().copied());
    }

    #[test]
    fn what_grows_at_its_end_has_full_chunks() {
        let mut ordered = Ordered::default();
        for number in 0..10 * CHUNK_MAX as u32 {
            ordered.insert(ordered.end(), Position(number));
        }
        assert_eq!(ordered.chunks.len(), 10);
    }
}
