//! Bids of an auction house: event `i` is a pure function of `i`, so that every engine can be given the same events.
//!
//! The formulas, and the form of the columns, are those of the `nexmark` source. They are written here once more, on
//! purpose: counts that agree were computed twice.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringViewArray, UInt32Array};
use arrow_schema::{DataType, Field, Schema};
use arrow_select::take::take;

/// Events of a block.
pub(crate) const BLOCK: u64 = 4_096;
/// Different bidders.
pub(crate) const BIDDERS: u64 = 10_000;

const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const CHANNELS: u64 = 10_000;
const EXTRAS: u64 = 1_024;
/// Event time of event 0, ms since the epoch; ten events share a millisecond.
const FIRST_TIME_MS: u64 = 1_700_000_000_000;

/// The columns of a bid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Auction,
    Bidder,
    /// In cents.
    Price,
    Channel,
    Url,
    /// ms since the epoch.
    DateTime,
    Extra,
}

impl Column {
    /// In their order.
    pub(crate) const ALL: [Self; 7] =
        [Self::Auction, Self::Bidder, Self::Price, Self::Channel, Self::Url, Self::DateTime, Self::Extra];

    pub(crate) fn name(self) -> &'static str {
        ["auction", "bidder", "price", "channel", "url", "date_time", "extra"][self as usize]
    }

    fn field(self) -> Field {
        let is_text = matches!(self, Self::Channel | Self::Url | Self::Extra);
        Field::new(self.name(), if is_text { DataType::Utf8View } else { DataType::Int64 }, false)
    }
}

/// Mixes a number so that all bits of the result depend on all of its bits.
#[inline]
pub(crate) fn mix(i: u64) -> u64 {
    let mut z = i.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x0123_4567);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Makes blocks of bids.
pub(crate) struct Generator {
    /// The hot ones, then the others.
    channels: StringViewArray,
    urls: StringViewArray,
    extras: StringViewArray,
}

impl Generator {
    pub(crate) fn new() -> Self {
        let hot = HOT_CHANNELS.iter().map(ToString::to_string);
        Self {
            channels: pool(hot.chain((0..CHANNELS).map(|k| format!("channel-{k}")))),
            urls: pool((0..CHANNELS).map(|k| format!("https://www.nexmark.com/{k}/item.htm?q=1"))),
            extras: pool((0..EXTRAS).map(extra)),
        }
    }

    /// The events of one block, those below `end`, in the columns that are wanted; none if there are none.
    pub(crate) fn block(&self, block: u64, end: u64, wanted: &[Column]) -> Option<RecordBatch> {
        let first = block * BLOCK;
        let rows = end.saturating_sub(first).min(BLOCK);
        if rows == 0 {
            return None;
        }
        let hashes: Vec<u64> = (first..first + rows).map(mix).collect();
        let columns = wanted.iter().map(|column| self.column(*column, first, &hashes)).collect();
        let schema = Schema::new(wanted.iter().map(|column| column.field()).collect::<Vec<_>>());
        Some(RecordBatch::try_new(Arc::new(schema), columns).expect("all columns have a value for each hash"))
    }

    fn column(&self, column: Column, first: u64, hashes: &[u64]) -> ArrayRef {
        match column {
            Column::Auction => numbered(first, hashes, |i, r| 1_000 + auction(i, r)),
            Column::Bidder => numbered(first, hashes, |_, r| 1_000 + (r >> 8) % BIDDERS),
            Column::Price => numbered(first, hashes, |_, r| 100 + (r >> 24) % 1_000_000),
            Column::DateTime => numbered(first, hashes, |i, _| FIRST_TIME_MS + i / 10),
            Column::Channel => pooled(&self.channels, hashes, channel),
            Column::Url => pooled(&self.urls, hashes, |r| (r >> 40) % CHANNELS),
            Column::Extra => pooled(&self.extras, hashes, |r| (r >> 50) % EXTRAS),
        }
    }
}

/// Half of the bids are on a hot auction, the others on one of the latest hundred.
#[inline]
fn auction(i: u64, r: u64) -> u64 {
    let latest = i * 3 / 46;
    if r & 1 == 0 { latest / 100 * 100 } else { latest.saturating_sub(((r >> 1) & 0x7f) % 100) }
}

/// Half of the bids come by a hot channel.
#[inline]
fn channel(r: u64) -> u64 {
    let hot = (r >> 32) & 1 == 0;
    if hot { (r >> 33) & 3 } else { HOT_CHANNELS.len() as u64 + (r >> 40) % CHANNELS }
}

#[inline]
fn numbered(first: u64, hashes: &[u64], value: impl Fn(u64, u64) -> u64) -> ArrayRef {
    let values: Vec<i64> = (first..).zip(hashes).map(|(i, r)| value(i, *r) as i64).collect();
    Arc::new(Int64Array::from(values))
}

#[inline]
fn pooled(pool: &StringViewArray, hashes: &[u64], index: impl Fn(u64) -> u64) -> ArrayRef {
    let places: Vec<u32> = hashes.iter().map(|r| index(*r) as u32).collect();
    take(pool, &UInt32Array::from(places), None).expect("the places lie within the pool")
}

/// Texts in one buffer, for rows to take views of.
fn pool(texts: impl Iterator<Item = String>) -> StringViewArray {
    StringViewArray::from_iter_values(texts).gc()
}

/// Letters that no other field explains.
fn extra(k: u64) -> String {
    let r = mix(k + 77_777_777);
    (0..16 + (k & 15)).map(|place| char::from(b'a' + ((r >> (place & 31)) & 15) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray as _;
    use arrow_array::types::Int64Type;

    use super::*;

    #[test]
    fn blocks_follow_each_other_and_end() {
        let generator = Generator::new();
        let times: Vec<i64> = (0..)
            .map_while(|block| generator.block(block, 10_000, &[Column::DateTime]))
            .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect();
        let expect: Vec<i64> = (0..10_000).map(|i| 1_700_000_000_000 + i / 10).collect();
        assert_eq!(times, expect);
        assert!(generator.block(0, 0, &Column::ALL).is_none());
    }

    #[test]
    fn values_are_in_their_ranges() {
        let batch = Generator::new().block(244, 2_000_000, &Column::ALL).expect("there are events");
        assert_eq!(batch.num_rows() as u64, BLOCK);
        // Event 244 * 4096; the latest auction is 3/46 of it.
        let latest = 1_000 + 244 * 4_096 * 3 / 46;
        for (place, range) in [(0, latest - 100..latest + 300), (1, 1_000..11_000), (2, 100..1_000_100)] {
            let column = batch.column(place).as_primitive::<Int64Type>();
            assert!(column.values().iter().all(|value| range.contains(value)), "{}", batch.schema().field(place));
        }
        for (place, range) in [(3, 5..13), (4, 38..42), (6, 16..32)] {
            let mut lengths = batch.column(place).as_string_view().iter().flatten().map(str::len);
            assert!(lengths.all(|length| range.contains(&length)), "{}", batch.schema().field(place));
        }
    }

    #[test]
    fn hot_channels_and_cold_ones() {
        let batch = Generator::new().block(0, 4_096, &[Column::Channel]).expect("there are events");
        let column = batch.column(0).as_string_view();
        let hot = column.iter().flatten().filter(|name| HOT_CHANNELS.contains(name)).count();
        assert!((1_900..2_200).contains(&hot), "{hot}");
        assert!(column.iter().flatten().all(|name| HOT_CHANNELS.contains(&name) || name.starts_with("channel-")));
    }
}
