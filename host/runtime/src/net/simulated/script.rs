//! What the writer of a channel sends, all of which follows from a seed; and whether that is what its reader gets.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use arrow_array::{Int64Array, StringViewArray, cast::AsArray, types::Int64Type};
use wasmill_connectors::CheckpointKind;
use wasmill_model::{Batch, DataType, Field, Timestamp, ids::CheckpointId};
use wasmill_wire::Layout;

use crate::exchange::{Barrier, Element};

/// Elements of a script before its end, at least, and how many more there may be.
const ELEMENTS: Range<u64> = 25..50;

/// Rows of a wide script have one text of so many bytes in so many rows: its largest batches travel in several frames.
const WIDE_BYTES: usize = 150_000;
const WIDE_EVERY: i64 = 700;

/// Numbers that follow from a seed: the generator known as SplitMix64.
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    /// A number below this one.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub(super) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }
}

/// The layout of all batches: a number that counts rows, and a text that follows from it.
pub(super) fn layout() -> Arc<Layout> {
    let fields = [Field::new("n", DataType::Int64), Field::new("text", DataType::Utf8)];
    Arc::new(Layout::new(&fields, &[true, true], false, false))
}

#[derive(Debug)]
enum Step {
    /// So many.
    Rows(i64),
    Watermark(Timestamp),
    Idle,
    Barrier(u64),
}

/// All that the control at one place says: a later watermark says what an earlier one did, and that nothing is idle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Control {
    watermark: Option<Timestamp>,
    idle: bool,
}

impl Control {
    fn watermark(&mut self, time: Timestamp) {
        *self = Self { watermark: Some(time), idle: false };
    }
}

/// Every second one is that of a savepoint.
fn barrier(number: u64) -> Barrier {
    let kind = if number.is_multiple_of(2) { CheckpointKind::Checkpoint } else { CheckpointKind::Savepoint };
    Barrier { checkpoint: CheckpointId(number), kind }
}

/// What is sent by a channel.
#[derive(Debug)]
pub(super) struct Script {
    steps: Vec<Step>,
    /// The number of its first row: no two channels of an attempt have rows in common.
    first: i64,
    wide: bool,
    rows: i64,
    /// The control behind so many rows.
    control: BTreeMap<i64, Control>,
    /// Behind how many rows each barrier stands, in their order.
    barriers: Vec<i64>,
}

impl Script {
    pub(super) fn new(random: &mut Random, channel: usize) -> Self {
        let (mut steps, mut rows, mut time) = (Vec::new(), 0, 0);
        let (first, wide) = ((channel as i64 + 1) * 1_000_000, random.below(4) == 0);
        // Some channels have no rows at all.
        let elements = if random.below(8) == 0 { 9..12 } else { 0..12 };
        let mut control: BTreeMap<i64, Control> = BTreeMap::new();
        let mut barriers = Vec::new();
        for _ in 0..random.within(ELEMENTS) {
            let step = match random.within(elements.clone()) {
                0..6 => Step::Rows(random.within(1..60) as i64),
                6..9 => Step::Rows(random.within(300..2_500) as i64),
                9 if wide && elements.start == 0 => Step::Rows(random.within(6_000..9_000) as i64),
                9..11 => {
                    time += random.within(1..1_000) as i64;
                    Step::Watermark(time)
                }
                // Once there were rows the reader runs, and no checkpoint begins before that.
                _ if rows > 0 && random.below(2) == 0 => Step::Barrier(barriers.len() as u64),
                _ => Step::Idle,
            };
            match step {
                Step::Rows(more) => rows += more,
                Step::Watermark(time) => control.entry(rows).or_default().watermark(time),
                Step::Idle => control.entry(rows).or_default().idle = true,
                Step::Barrier(_) => barriers.push(rows),
            }
            steps.push(step);
        }
        Self { steps, first, wide, rows, control, barriers }
    }

    /// All of it but the end.
    pub(super) fn elements(&self) -> impl Iterator<Item = Element> {
        let mut row = 0;
        self.steps.iter().map(move |step| match step {
            Step::Rows(rows) => {
                row += rows;
                Element::Batch(self.batch(row - rows..row))
            }
            Step::Watermark(time) => Element::Watermark(*time),
            Step::Idle => Element::Idle,
            Step::Barrier(number) => Element::Barrier(barrier(*number)),
        })
    }

    fn batch(&self, rows: Range<i64>) -> Batch {
        let count = (rows.end - rows.start) as usize;
        let texts: Vec<String> = rows.clone().map(|row| self.text(row)).collect();
        let numbers = Int64Array::from_iter_values(rows.map(|row| self.first + row));
        Batch::new(count, vec![Arc::new(numbers), Arc::new(StringViewArray::from_iter_values(texts))])
    }

    fn text(&self, row: i64) -> String {
        let letter = char::from(b'a' + (row % 26) as u8);
        let is_long = self.wide && row % WIDE_EVERY == 0;
        let length = if is_long { WIDE_BYTES } else { (row % 20) as usize };
        letter.to_string().repeat(length)
    }

    fn control(&self, row: i64) -> Control {
        self.control.get(&row).copied().unwrap_or_default()
    }
}

/// What has come of a script so far, which is held against it.
#[derive(Debug)]
pub(super) struct Reading {
    script: Arc<Script>,
    rows: i64,
    /// Behind the last row.
    control: Control,
    barriers: u64,
    pub(super) has_begun: bool,
    pub(super) has_ended: bool,
}

impl Reading {
    pub(super) fn new(script: Arc<Script>) -> Self {
        Self { script, rows: 0, control: Control::default(), barriers: 0, has_begun: false, has_ended: false }
    }

    /// Takes the next element; what is wrong with it, if it is not what was sent.
    pub(super) fn take(&mut self, element: &Element) -> Result<(), String> {
        if self.has_ended {
            return Err(format!("{element:?} came behind the end"));
        }
        self.has_begun = true;
        match element {
            Element::Batch(batch) => self.batch(batch)?,
            Element::Watermark(time) => self.control.watermark(*time),
            Element::Idle => self.control.idle = true,
            Element::Barrier(found) => self.barrier(*found)?,
            Element::End => {
                self.is_all_said()?;
                if self.barriers != self.script.barriers.len() as u64 {
                    return Err(format!("the end came behind {} barriers", self.barriers));
                }
                if self.rows != self.script.rows {
                    return Err(format!("the end came behind {} of {} rows", self.rows, self.script.rows));
                }
                self.has_ended = true;
            }
        }
        Ok(())
    }

    /// Takes a barrier, which must be the next one, behind just the rows that were sent before it.
    fn barrier(&mut self, found: Barrier) -> Result<(), String> {
        let place = self.script.barriers.get(self.barriers as usize);
        if found != barrier(self.barriers) || place != Some(&self.rows) {
            return Err(format!("{found:?} came behind {} rows and {} barriers", self.rows, self.barriers));
        }
        self.barriers += 1;
        Ok(())
    }

    fn is_all_said(&self) -> Result<(), String> {
        let (said, sent) = (self.control, self.script.control(self.rows));
        if said == sent { Ok(()) } else { Err(format!("behind {} rows {sent:?} was sent, {said:?} came", self.rows)) }
    }

    fn batch(&mut self, batch: &Batch) -> Result<(), String> {
        self.is_all_said()?;
        let rows = self.rows..self.rows + batch.rows as i64;
        if let Some((row, control)) = self.script.control.range(rows.start + 1..rows.end).next() {
            return Err(format!("{control:?} was sent behind {row} rows and did not come before more"));
        }
        let (numbers, texts) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_string_view());
        for ((row, &number), text) in rows.clone().zip(numbers.values()).zip(texts) {
            let expected = self.script.first + row;
            if number != expected || row >= self.script.rows {
                return Err(format!("row {number} came where {expected} was to come"));
            }
            if text != Some(&self.script.text(row)) {
                return Err(format!("row {number} came with another text"));
            }
        }
        (self.rows, self.control) = (rows.end, Control::default());
        Ok(())
    }
}
