//! The events themselves: what the columns of a range of them hold.
//!
//! One hash a row decides everything random in it. Text comes from *pools*, arrays made beforehand of which rows take
//! views, so that no text is copied.

use std::{
    ops::Range,
    sync::{Arc, LazyLock},
};

use arrow_array::{ArrayRef, Int64Array, StringViewArray, UInt32Array};
use arrow_select::take::take;
use wasmill_model::{Batch, DataType, Field, Schema};

use super::{clock::EventClock, divide::Divisor};

/// Of this many events in a row, one is a person, three are auctions and the rest are bids, in this order.
pub(super) const EPOCH: u64 = 50;
const BIDS_OF_EPOCH: u64 = 46;
const AUCTIONS_OF_EPOCH: u64 = 3;

/// The first id of auctions and persons.
const FIRST_ID: u64 = 1_000;
/// A hot auction is the latest whose number this divides.
const HOT_AUCTION_STEP: u64 = 100;
/// Others are among this many latest.
const OPEN_AUCTIONS: u64 = 100;

const CHANNELS: u64 = 10_000;
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const POOL: u64 = 1_024;
const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] = ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const CITIES: [&str; 10] =
    ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];

/// The kinds of events, each a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bid,
    Auction,
    Person,
}

impl Kind {
    /// By port number.
    pub(super) const ALL: [Kind; 3] = [Self::Bid, Self::Auction, Self::Person];
    /// As they happen within an epoch: nothing is mentioned before it exists.
    pub(super) const IN_ORDER: [Kind; 3] = [Self::Person, Self::Auction, Self::Bid];

    pub(super) fn port(self) -> &'static str {
        ["bids", "auctions", "persons"][self as usize]
    }

    pub(super) fn schema(self) -> Schema {
        use DataType::{Int64, Timestamp, Utf8};
        let columns: &[(&str, DataType)] = match self {
            Self::Bid => &[
                ("auction", Int64),
                ("bidder", Int64),
                ("price", Int64),
                ("channel", Utf8),
                ("url", Utf8),
                ("date_time", Timestamp),
                ("extra", Utf8),
            ],
            Self::Auction => &[
                ("id", Int64),
                ("item_name", Utf8),
                ("description", Utf8),
                ("initial_bid", Int64),
                ("reserve", Int64),
                ("date_time", Timestamp),
                ("expires", Timestamp),
                ("seller", Int64),
                ("category", Int64),
                ("extra", Utf8),
            ],
            Self::Person => &[
                ("id", Int64),
                ("name", Utf8),
                ("email_address", Utf8),
                ("credit_card", Utf8),
                ("city", Utf8),
                ("state", Utf8),
                ("date_time", Timestamp),
                ("extra", Utf8),
            ],
        };
        let fields = columns.iter().map(|(name, data_type)| Field::new(*name, *data_type)).collect();
        Schema::new(fields).expect("the names differ")
    }

    /// Where in an epoch the first of them stands, and how many there are.
    fn place(self) -> (u64, u64) {
        match self {
            Self::Person => (0, 1),
            Self::Auction => (1, AUCTIONS_OF_EPOCH),
            Self::Bid => (EPOCH - BIDS_OF_EPOCH, BIDS_OF_EPOCH),
        }
    }

    /// How many of them come before an event.
    fn count_before(self, event: u64) -> u64 {
        let (first, count) = self.place();
        event / EPOCH * count + (event % EPOCH).saturating_sub(first).min(count)
    }

    /// The event that is number `n`, from 0, of them.
    #[inline]
    fn event_of(self, n: u64) -> u64 {
        let (first, count) = self.place();
        n / count * EPOCH + first + n % count
    }
}

/// Makes events.
#[derive(Debug)]
pub(super) struct Generator {
    /// Added to the number of an event before it is hashed.
    salt: u64,
    bidders: Divisor,
    only_bids: bool,
    clock: EventClock,
    pools: &'static Pools,
    /// Scratch: the hashes of the rows being made.
    hashes: Vec<u64>,
}

impl Generator {
    /// `keys`: how many different bidders there are.
    pub(super) fn new(seed: u64, keys: u64, only_bids: bool, clock: EventClock) -> Self {
        Self {
            salt: seed.wrapping_mul(0xd1b5_4a32_d192_ed03),
            bidders: Divisor::new(keys),
            only_bids,
            clock,
            pools: Pools::shared(),
            hashes: Vec::new(),
        }
    }

    /// The events of a kind among those of these numbers.
    pub(super) fn batch(&mut self, kind: Kind, events: Range<u64>, wanted: &[bool]) -> Batch {
        let numbers = match (self.only_bids, kind) {
            (true, Kind::Bid) => events,
            (true, _) => 0..0,
            (false, _) => kind.count_before(events.start)..kind.count_before(events.end),
        };
        let rows = (numbers.end - numbers.start) as usize;
        let salt = self.salt.wrapping_add(kind as u64 * 0x8cb9_2ba7_2f3d_8dd7);
        self.hashes.clear();
        self.hashes.extend(numbers.clone().map(|n| mix(n.wrapping_add(salt))));
        let column = |(place, wanted): (usize, &bool)| {
            wanted.then(|| match kind {
                Kind::Bid => self.bid(place, numbers.clone()),
                Kind::Auction => self.auction(place, numbers.clone()),
                Kind::Person => self.person(place, numbers.clone()),
            })
        };
        let columns = wanted.iter().enumerate().map(column).collect();
        Batch { rows, event_times: None, columns, key_hashes: None, read_at_us: None }
    }

    /// A column of bids.
    fn bid(&self, place: usize, numbers: Range<u64>) -> ArrayRef {
        match place {
            0 => self.integers_numbered(numbers, |n, r| {
                let latest = n * AUCTIONS_OF_EPOCH / BIDS_OF_EPOCH;
                let hot = latest / HOT_AUCTION_STEP * HOT_AUCTION_STEP;
                let other = latest.saturating_sub(((r >> 1) & 0x7f) % OPEN_AUCTIONS);
                FIRST_ID + if r & 1 == 0 { hot } else { other }
            }),
            1 => self.integers(|r| FIRST_ID + self.bidders.divide(r >> 8).1),
            2 => self.integers(|r| 100 + (r >> 24) % 1_000_000),
            3 => self.pooled(&self.pools.channels, |r| {
                let hot = (r >> 33) & 3;
                let other = HOT_CHANNELS.len() as u64 + channel(r);
                if (r >> 32) & 1 == 0 { hot } else { other }
            }),
            4 => self.pooled(&self.pools.urls, channel),
            5 => self.date_times(Kind::Bid, numbers),
            _ => self.extras(),
        }
    }

    /// A column of auctions.
    fn auction(&self, place: usize, numbers: Range<u64>) -> ArrayRef {
        let initial_bid = |r: u64| 100 + (r >> 20) % 10_000;
        match place {
            0 => self.integers_numbered(numbers, |n, _| FIRST_ID + n),
            1 => self.pooled(&self.pools.item_names, |r| (r >> 10) % POOL),
            2 => self.pooled(&self.pools.descriptions, |r| (r >> 20) % POOL),
            3 => self.integers(initial_bid),
            4 => self.integers(|r| initial_bid(r) + (r >> 34) % 10_000),
            5 => self.date_times(Kind::Auction, numbers),
            6 => self.integers_numbered(numbers, |n, r| {
                let opens = self.clock.at(Kind::Auction.event_of(n));
                // Open for 1 to 20 seconds.
                (opens + 1_000 + ((r >> 5) % 19_001) as i64) as u64
            }),
            // One of the persons so far, one of whom came before the first auction.
            7 => self.integers_numbered(numbers, |n, r| FIRST_ID + (r >> 8) % (n / AUCTIONS_OF_EPOCH + 1)),
            8 => self.integers(|r| 10 + (r >> 3) % 5),
            _ => self.extras(),
        }
    }

    /// A column of persons.
    fn person(&self, place: usize, numbers: Range<u64>) -> ArrayRef {
        match place {
            0 => self.integers_numbered(numbers, |n, _| FIRST_ID + n),
            1 => self.pooled(&self.pools.names, person_name),
            2 => self.pooled(&self.pools.emails, person_name),
            3 => self.pooled(&self.pools.credit_cards, |r| (r >> 20) % POOL),
            4 => self.pooled(&self.pools.cities, |r| (r >> 30) % CITIES.len() as u64),
            5 => self.pooled(&self.pools.states, |r| (r >> 36) % STATES.len() as u64),
            6 => self.date_times(Kind::Person, numbers),
            _ => self.extras(),
        }
    }

    #[inline]
    fn integers(&self, value: impl Fn(u64) -> u64) -> ArrayRef {
        let values: Vec<i64> = self.hashes.iter().map(|r| value(*r) as i64).collect();
        Arc::new(Int64Array::from(values))
    }

    #[inline]
    fn integers_numbered(&self, numbers: Range<u64>, value: impl Fn(u64, u64) -> u64) -> ArrayRef {
        let start = numbers.start;
        let values: Vec<i64> =
            self.hashes.iter().enumerate().map(|(i, r)| value(start + i as u64, *r) as i64).collect();
        Arc::new(Int64Array::from(values))
    }

    /// Takes text out of a pool. It keeps no check of its own: the array's views stay as they were validated.
    #[inline]
    fn pooled(&self, pool: &StringViewArray, index: impl Fn(u64) -> u64) -> ArrayRef {
        let indices: Vec<u32> = self.hashes.iter().map(|r| index(*r) as u32).collect();
        take(pool, &UInt32Array::from(indices), None).expect("indices are within the pool")
    }

    fn extras(&self) -> ArrayRef {
        self.pooled(&self.pools.extras, |r| (r >> 50) % POOL)
    }

    fn date_times(&self, kind: Kind, numbers: Range<u64>) -> ArrayRef {
        match (self.only_bids, kind) {
            (true, _) => self.integers_numbered(numbers, |n, _| self.clock.at(n) as u64),
            // The kind is a constant in each arm, so that the divisions by it become multiplications.
            (_, Kind::Bid) => self.integers_numbered(numbers, |n, _| self.clock.at(Kind::Bid.event_of(n)) as u64),
            (_, kind) => self.integers_numbered(numbers, |n, _| self.clock.at(kind.event_of(n)) as u64),
        }
    }
}

#[inline]
fn channel(r: u64) -> u64 {
    (r >> 40) % CHANNELS
}

fn person_name(r: u64) -> u64 {
    r % (FIRST_NAMES.len() * LAST_NAMES.len()) as u64
}

/// SplitMix64.
#[inline(always)]
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x0123_4567);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// All text there is.
#[derive(Debug)]
struct Pools {
    /// The hot ones, then the others.
    channels: StringViewArray,
    urls: StringViewArray,
    extras: StringViewArray,
    item_names: StringViewArray,
    descriptions: StringViewArray,
    names: StringViewArray,
    emails: StringViewArray,
    credit_cards: StringViewArray,
    cities: StringViewArray,
    states: StringViewArray,
}

impl Pools {
    /// The pools of all subtasks: they depend on nothing.
    fn shared() -> &'static Self {
        static POOLS: LazyLock<Pools> = LazyLock::new(Pools::new);
        &POOLS
    }

    fn new() -> Self {
        let names = || FIRST_NAMES.iter().flat_map(|first| LAST_NAMES.iter().map(move |last| (first, last)));
        let other_channels = (0..CHANNELS).map(|k| format!("channel-{k}"));
        let card = |k: u64| {
            let r = mix(k + 55_555_555);
            format!("{:04} {:04} {:04} {:04}", r % 10_000, (r >> 16) % 10_000, (r >> 32) % 10_000, (r >> 48) % 10_000)
        };
        Self {
            channels: pool(HOT_CHANNELS.iter().map(ToString::to_string).chain(other_channels)),
            urls: pool((0..CHANNELS).map(|k| format!("https://www.nexmark.com/{k}/item.htm?q=1"))),
            extras: pool((0..POOL).map(|k| letters(mix(k + 77_777_777), 16 + (k & 15)))),
            item_names: pool((0..POOL).map(|k| letters(mix(k + 33_333_333), 5 + (k & 15)))),
            descriptions: pool((0..POOL).map(|k| letters(mix(k + 44_444_444), 30 + (k & 63)))),
            names: pool(names().map(|(first, last)| format!("{first} {last}"))),
            emails: pool(names().map(|(first, last)| format!("{first}@{last}.com").to_lowercase())),
            credit_cards: pool((0..POOL).map(card)),
            cities: pool(CITIES.iter().map(ToString::to_string)),
            states: pool(STATES.iter().map(ToString::to_string)),
        }
    }
}

fn letters(bits: u64, length: u64) -> String {
    (0..length).map(|i| char::from(b'a' + ((bits >> (i & 31)) & 15) as u8)).collect()
}

/// An array of these texts, over one buffer.
fn pool(texts: impl Iterator<Item = String>) -> StringViewArray {
    let array = StringViewArray::from_iter_values(texts).gc();
    assert!(array.data_buffers().len() <= 1, "a pool has one buffer");
    array
}
