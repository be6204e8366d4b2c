//! The same work as a job, in a native loop: no sandbox, no plan, no operator that could be replaced. What it costs is
//! what the work itself costs; the rest of a job's cost is the price of the engine.

use std::{
    collections::HashMap,
    fs::File,
    hash::{BuildHasherDefault, Hasher},
    hint::black_box,
    io::{BufRead as _, BufReader},
    sync::{Arc, mpsc},
    thread,
};

use anyhow::{Context, Result, bail};
use arrow_array::{BooleanArray, Float64Array, RecordBatch, cast::AsArray as _, types::Int64Type};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{DataType, Field, FieldRef, Schema};
use arrow_select::filter::filter_record_batch;

use crate::events::{Column, Generator, mix};

/// First word of the command line of a twin.
pub(crate) const TWIN: &str = "twin";
/// Batches that may wait between two threads.
const CHANNEL_BATCHES: usize = 16;

/// What a loop did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What came in: bids or words.
    pub(crate) events: u64,
    /// Rows that reached the end.
    pub(crate) rows: u64,
}

/// Runs one loop: `NAME EVENTS`, or `wordcount FILE`.
pub(crate) fn run(name: &str, arguments: &[&str]) -> Result<Outcome> {
    let [argument] = arguments else { bail!("the twin of {name} wants one argument") };
    if name == "wordcount" {
        return word_count(argument);
    }
    let events: u64 = argument.parse().with_context(|| format!("`{argument}` is no number of events"))?;
    let step: fn(RecordBatch) -> RecordBatch = match name {
        "q0" => |batch| batch,
        "q1" => dollars_to_euros,
        "q2" => some_auctions,
        "keyed" => return Ok(keyed(events)),
        _ => bail!("there is no twin of {name}"),
    };
    Ok(one_chain(events, step))
}

/// Generator, one step, an end that reads all columns and only counts.
fn one_chain(events: u64, step: impl Fn(RecordBatch) -> RecordBatch) -> Outcome {
    let generator = Generator::new();
    let blocks = (0..).map_while(|block| generator.block(block, events, &Column::ALL));
    let rows = blocks.map(|batch| black_box(step(batch)).num_rows() as u64).sum();
    Outcome { events, rows }
}

fn numbers(batch: &RecordBatch, column: Column) -> &[i64] {
    let place = batch.schema_ref().column_with_name(column.name()).expect("the column was asked for").0;
    batch.column(place).as_primitive::<Int64Type>().values()
}

/// Query 1: every price in another currency.
fn dollars_to_euros(batch: RecordBatch) -> RecordBatch {
    let prices: Float64Array =
        numbers(&batch, Column::Price).iter().map(|price| *price as f64 * 0.908).collect::<Vec<_>>().into();
    let mut fields: Vec<FieldRef> = batch.schema_ref().fields().to_vec();
    let mut columns = batch.columns().to_vec();
    let place = Column::Price as usize;
    fields[place] = Arc::new(Field::new("price", DataType::Float64, false));
    columns[place] = Arc::new(prices);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("the new column is as long as the others")
}

/// Query 2: the bids on every 123rd auction.
fn some_auctions(batch: RecordBatch) -> RecordBatch {
    let auctions = numbers(&batch, Column::Auction);
    let kept = BooleanArray::new(BooleanBuffer::collect_bool(auctions.len(), |row| auctions[row] % 123 == 0), None);
    filter_record_batch(&batch, &kept).expect("there is a bit for each row")
}

/// Bids a bidder, on two threads: each generates half of the events and counts half of the bidders.
fn keyed(events: u64) -> Outcome {
    const THREADS: usize = 2;
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..THREADS).map(|_| mpsc::sync_channel::<Vec<i64>>(CHANNEL_BATCHES)).unzip();
    let threads: Vec<_> = receivers
        .into_iter()
        .enumerate()
        .map(|(me, receiver)| {
            let other = senders[1 - me].clone();
            thread::spawn(move || count_half(me, events, other, &receiver))
        })
        .collect();
    drop(senders);
    let rows = threads.into_iter().map(|thread| thread.join().expect("a loop does not panic")).sum();
    Outcome { events, rows }
}

/// One thread of `keyed`: keeps its own bidders, sends the others on, counts what is sent to it, and says how many
/// bidders it counted. Only the key is made, and only the key crosses: nobody reads the rest.
fn count_half(me: usize, events: u64, other: mpsc::SyncSender<Vec<i64>>, received: &mpsc::Receiver<Vec<i64>>) -> u64 {
    let generator = Generator::new();
    let mut counts = Counts::default();
    for batch in (me as u64..).step_by(2).map_while(|block| generator.block(block, events, &[Column::Bidder])) {
        let keys = numbers(&batch, Column::Bidder);
        let (mut own, mut others) = (Vec::with_capacity(keys.len()), Vec::with_capacity(keys.len()));
        for &key in keys {
            if (mix(key as u64) & 1) as usize == me { own.push(key) } else { others.push(key) }
        }
        counts.add(&own);
        let mut waiting = Some(others);
        while let Some(keys) = waiting.take() {
            if let Err(mpsc::TrySendError::Full(keys)) = other.try_send(keys) {
                waiting = Some(keys);
            }
            received.try_iter().for_each(|keys| counts.add(&keys));
        }
    }
    drop(other);
    received.iter().for_each(|keys| counts.add(&keys));
    counts.of.len() as u64
}

/// Counts of keys.
#[derive(Default)]
struct Counts {
    of: HashMap<i64, i64, BuildHasherDefault<Mixed>>,
}

impl Counts {
    fn add(&mut self, keys: &[i64]) {
        for &key in keys {
            *self.of.entry(key).or_default() += 1;
        }
    }
}

/// Hashes whole numbers, and text eight bytes at a time.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = mix(self.0 ^ u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, _end_of_text: u8) {}

    fn write_i64(&mut self, number: i64) {
        self.0 = mix(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Counts the words of a file, split at white space.
fn word_count(path: &str) -> Result<Outcome> {
    let file = File::open(path).with_context(|| format!("could not open {path}"))?;
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut counts: HashMap<Box<str>, u64, BuildHasherDefault<Mixed>> = HashMap::default();
    let (mut line, mut events) = (String::new(), 0);
    while reader.read_line(&mut line).with_context(|| format!("could not read {path}"))? > 0 {
        for word in line.split_ascii_whitespace() {
            events += 1;
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => drop(counts.insert(word.into(), 1)),
            }
        }
        line.clear();
    }
    Ok(Outcome { events, rows: black_box(&counts).len() as u64 })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use arrow_array::types::Float64Type;

    use super::*;

    fn outcome(name: &str, argument: &str) -> Outcome {
        run(name, &[argument]).expect("is known")
    }

    #[test]
    fn queries_keep_the_rows_they_should() {
        let generator = Generator::new();
        let all = |column: Column| -> Vec<i64> {
            let blocks = (0..).map_while(|block| generator.block(block, 50_000, &[column]));
            blocks.flat_map(|batch| numbers(&batch, column).to_vec()).collect()
        };
        let kept = all(Column::Auction).iter().filter(|auction| *auction % 123 == 0).count() as u64;
        let bidders = all(Column::Bidder).into_iter().collect::<HashSet<_>>().len() as u64;
        assert!(kept > 0 && bidders > 9_000);
        for (name, rows) in [("q0", 50_000), ("q1", 50_000), ("q2", kept), ("keyed", bidders)] {
            assert_eq!(outcome(name, "50000"), Outcome { events: 50_000, rows }, "{name}");
        }
    }

    #[test]
    fn query_1_changes_prices_only() {
        let batch = Generator::new().block(0, 100, &Column::ALL).expect("there are events");
        let out = dollars_to_euros(batch.clone());
        let euros = out.column(Column::Price as usize).as_primitive::<Float64Type>().values();
        let expect: Vec<f64> = numbers(&batch, Column::Price).iter().map(|price| *price as f64 * 0.908).collect();
        assert_eq!(euros.to_vec(), expect);
        for place in (0..7).filter(|place| *place != Column::Price as usize) {
            assert_eq!(out.column(place), batch.column(place));
        }
    }

    #[test]
    fn counts_run_on_from_batch_to_batch() {
        let mut counts = Counts::default();
        counts.add(&[7, 8, 7]);
        counts.add(&[7]);
        assert_eq!((counts.of[&7], counts.of[&8]), (3, 1));
    }

    #[test]
    fn words_are_counted() {
        let path = std::env::temp_dir().join(format!("wasmill-twin-{}", std::process::id()));
        std::fs::write(&path, "a b  a\n\nlonger-than-eight a\n")
            .expect("the folder for temporary files can be written");
        let found = outcome("wordcount", &path.to_string_lossy());
        std::fs::remove_file(&path).expect("was written above");
        assert_eq!(found, Outcome { events: 5, rows: 3 });
    }

    #[test]
    fn unknown_twins_are_refused() {
        assert!(run("q9", &["1"]).is_err());
        assert!(run("q0", &["many"]).is_err());
        assert!(run("q0", &[]).is_err());
    }
}
