//! Several snapshot files read as one: a full one and the deltas that follow it.
//!
//! The newest row of a key wins. Rows come in the order of their keys, one at a time: nothing is held but one block of each file.

use crate::file::{Error, Row, Rows, Writer};

/// What becomes of keys that are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tombstones {
    /// They are left out: the oldest of the files is a full one, so that nothing older could come back.
    Drop,
    /// They stay: several deltas become one.
    Keep,
}

/// The rows of several files. After an error there are no more.
#[derive(Debug)]
pub struct Merge {
    /// Oldest first.
    inputs: Vec<Rows>,
    /// Inputs that have a row, as a heap: the one whose row comes next is the first.
    heap: Vec<usize>,
    tombstones: Tombstones,
    /// Whether the first of the heap stands on the row that was given last.
    given: bool,
}

impl Merge {
    /// Merges files, oldest first. They are clipped as their rows are.
    pub fn new(inputs: Vec<Rows>, tombstones: Tombstones) -> Result<Self, Error> {
        let mut merge = Self { heap: Vec::with_capacity(inputs.len()), inputs, tombstones, given: false };
        for input in 0..merge.inputs.len() {
            if merge.inputs[input].advance()? {
                merge.heap.push(input);
            }
        }
        (0..merge.heap.len() / 2).rev().for_each(|place| merge.sift_down(place));
        Ok(merge)
    }

    /// The next row; none after the last.
    #[expect(clippy::should_implement_trait, reason = "an iterator's items cannot borrow from it")]
    pub fn next(&mut self) -> Result<Option<Row<'_>>, Error> {
        loop {
            if self.given {
                self.pass().inspect_err(|_| self.heap.clear())?;
            }
            let Some(&first) = self.heap.first() else { return Ok(None) };
            self.given = true;
            if self.tombstones == Tombstones::Keep || self.inputs[first].row().value.is_some() {
                return Ok(Some(self.inputs[first].row()));
            }
        }
    }

    /// Writes all rows that are left.
    pub fn write(&mut self, writer: &mut Writer) -> Result<(), Error> {
        while let Some(Row { key, value }) = self.next()? {
            writer.push(key, value)?;
        }
        Ok(())
    }

    /// Goes past the key of the first of the heap, in all inputs.
    fn pass(&mut self) -> Result<(), Error> {
        self.given = false;
        // Older rows of the key stand right below: the newest of equal keys comes first.
        while let Some(older) = self.older() {
            self.advance(older)?;
        }
        self.advance(0)
    }

    /// The place of an input that has the key of the first.
    fn older(&self) -> Option<usize> {
        let key = self.inputs[*self.heap.first()?].row().key;
        let children = 1..self.heap.len().min(3);
        children.into_iter().find(|&child| self.inputs[self.heap[child]].row().key == key)
    }

    /// Moves the input in a place of the heap to its next row, and the place to where it belongs.
    fn advance(&mut self, place: usize) -> Result<(), Error> {
        if !self.inputs[self.heap[place]].advance()? {
            self.heap.swap_remove(place);
        }
        self.sift_down(place);
        Ok(())
    }

    fn sift_down(&mut self, mut place: usize) {
        loop {
            let children = 2 * place + 1..(2 * place + 3).min(self.heap.len());
            let least = children.reduce(|a, b| if self.is_before(b, a) { b } else { a });
            match least {
                Some(child) if self.is_before(child, place) => self.heap.swap(child, place),
                _ => return,
            }
            place = least.unwrap_or(place);
        }
    }

    /// Whether the row in a place of the heap comes before that in another; of equal keys the newest.
    fn is_before(&self, a: usize, b: usize) -> bool {
        let (a, b) = (self.heap[a], self.heap[b]);
        self.inputs[a].row().key.cmp(self.inputs[b].row().key).then(b.cmp(&a)).is_lt()
    }
}
