//! A bucket: the timers of one time, in the order of their keys as soon as somebody asks for the first of them.

use crate::{
    arena::{Arena, Position},
    timers::key_of,
};

/// The timers of one time. Most times have one timer.
#[derive(Debug)]
pub(super) enum Bucket {
    One(Position),
    Many(Box<Many>),
}

#[derive(Debug, Default)]
pub(super) struct Many {
    /// In the order in which they were set.
    fresh: Vec<Position>,
    /// Each in falling order of keys, so that its first timer is its last element. Each is at least twice as long as
    /// the next when the next is made, so there are few.
    runs: Vec<Vec<Position>>,
    /// Cleared timers among all these: less than half.
    cleared: usize,
}

impl Bucket {
    pub(super) fn push(&mut self, position: Position) {
        match self {
            Self::One(first) => {
                let fresh = vec![*first, position];
                *self = Self::Many(Box::new(Many { fresh, ..Many::default() }));
            }
            Self::Many(many) => many.fresh.push(position),
        }
    }

    /// Whether nothing is left, cleared timers included.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::One(position) => *position == Position::NOWHERE,
            Self::Many(many) => many.len() == 0,
        }
    }

    /// Says that one of the timers has been cleared. True: no other is left, and the bucket must go.
    pub(super) fn note_cleared(&mut self, arena: &mut Arena) -> bool {
        match self {
            Self::One(position) => {
                arena.free(*position);
                true
            }
            Self::Many(many) => {
                many.cleared += 1;
                if many.cleared * 2 >= many.len() {
                    many.purge(arena);
                }
                many.len() == 0
            }
        }
    }

    /// Takes out up to `max` timers in the order of their keys. Cleared ones are freed on the way.
    pub(super) fn take_first(&mut self, arena: &mut Arena, max: usize) -> Vec<Position> {
        match self {
            Self::One(position) => vec![std::mem::replace(position, Position::NOWHERE)],
            Self::Many(many) => many.take_first(arena, max),
        }
    }
}

impl Many {
    fn len(&self) -> usize {
        self.fresh.len() + self.runs.iter().map(Vec::len).sum::<usize>()
    }

    fn purge(&mut self, arena: &mut Arena) {
        for list in self.runs.iter_mut().chain([&mut self.fresh]) {
            list.retain(|&position| {
                let keep = !arena.is_forgotten(position);
                if !keep {
                    arena.free(position);
                }
                keep
            });
            list.shrink_to(list.len() * 2);
        }
        self.runs.retain(|run| !run.is_empty());
        self.cleared = 0;
    }

    fn take_first(&mut self, arena: &mut Arena, max: usize) -> Vec<Position> {
        self.sort(arena);
        let mut taken = Vec::with_capacity(max.min(self.len()));
        while taken.len() < max && !self.runs.is_empty() {
            let key = |run: &Vec<Position>| key_of(arena, *run.last().expect("no run is empty"));
            let first = (0..self.runs.len()).min_by_key(|&r| key(&self.runs[r])).expect("there is a run");
            let position = self.runs[first].pop().expect("no run is empty");
            if self.runs[first].is_empty() {
                self.runs.remove(first);
            }
            if arena.is_forgotten(position) {
                self.cleared -= 1;
                arena.free(position);
            } else {
                taken.push(position);
            }
        }
        if self.cleared * 2 > self.len() || self.cleared == self.len() {
            self.purge(arena);
        }
        taken
    }

    /// Makes a run of the fresh timers, and joins it with those before it that are not much longer.
    fn sort(&mut self, arena: &Arena) {
        if self.fresh.is_empty() {
            return;
        }
        self.runs.push(sorted(arena, std::mem::take(&mut self.fresh)));
        while let [.., before, last] = self.runs.as_slice()
            && before.len() < last.len() * 2
        {
            let run = merged(arena, before, last);
            self.runs.truncate(self.runs.len() - 2);
            self.runs.push(run);
        }
    }
}

/// In falling order of keys. Comparing the 8 bytes that follow what all keys have in common mostly saves looking at keys.
fn sorted(arena: &Arena, positions: Vec<Position>) -> Vec<Position> {
    let first = key_of(arena, positions[0]);
    let common = |common: usize, &position: &Position| {
        let key = key_of(arena, position);
        first[..common].iter().zip(key).take_while(|(a, b)| a == b).count()
    };
    let common = positions.iter().fold(first.len(), common);
    let mut order: Vec<(u64, Position)> = positions
        .iter()
        .map(|&position| {
            let mut prefix = [0; 8];
            let rest = &key_of(arena, position)[common..];
            let length = rest.len().min(8);
            prefix[..length].copy_from_slice(&rest[..length]);
            (u64::from_be_bytes(prefix), position)
        })
        .collect();
    drop(positions);
    order.sort_unstable_by(|(a, at), (b, bt)| b.cmp(a).then_with(|| key_of(arena, *bt).cmp(key_of(arena, *at))));
    order.into_iter().map(|(_, position)| position).collect()
}

fn merged(arena: &Arena, a: &[Position], b: &[Position]) -> Vec<Position> {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut run = Vec::with_capacity(a.len() + b.len());
    while let (Some(&&x), Some(&&y)) = (a.peek(), b.peek()) {
        let next = if key_of(arena, x) >= key_of(arena, y) { a.next() } else { b.next() };
        run.extend(next);
    }
    run.extend(a.chain(b));
    run
}
