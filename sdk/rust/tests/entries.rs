//! Lists and maps as fields of state: against plain collections, whatever is read and written in which order.

use std::{cell::RefCell, collections::BTreeMap};

use serde::{Deserialize, Serialize};
use wasmill_sdk::{
    Ctx, Error, Keyed, KeyedOperator, Row, Timer, Timestamp,
    data::{Context, EntryAction, TimeDomain},
    ports::{New, Pass},
    state::{Cbor, List, Map, State, SubKey, Value},
    testing::Harness,
};

#[derive(Row, Clone)]
struct Step {
    key: i64,
    seed: i64,
}

#[derive(Row)]
struct Seed {
    seed: i64,
}

#[derive(Row)]
struct Key {
    key: i64,
}

#[derive(State, Debug)]
struct Both {
    map: Map<i64, i64>,
    count: Value<i64>,
    list: List<i64>,
}

type Model = (BTreeMap<i64, i64>, Vec<i64>);

thread_local! {
    /// What each key must have.
    static MODELS: RefCell<BTreeMap<i64, Model>> = const { RefCell::new(BTreeMap::new()) };
}

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as i64 % bound
    }
}

/// Reads and writes at random, and looks whether it sees what it must.
struct Wild;

impl KeyedOperator for Wild {
    type Config = ();
    type Input<'a> = Step;
    type State = Both;
    type Output = Pass;
    const PREFETCH: bool = true;

    fn open(_: (), _: &Context) -> Result<Self, Error> {
        Ok(Self)
    }

    fn prefetch(&self, step: &Step, both: &Both) {
        let mut random = Random(step.seed as u64 ^ 77);
        match random.below(5) {
            0 => both.map.want_all(),
            1 => both.map.want_last(random.below(4) as usize),
            2 => both.map.want_from(random.below(40)),
            _ => {}
        }
        (0..random.below(4)).for_each(|_| both.map.want(&random.below(40)));
        match random.below(3) {
            0 => both.list.want_all(),
            1 => both.list.want_last(random.below(4) as usize),
            _ => {}
        }
    }

    fn on_row(&mut self, step: Step, both: &mut Both, _: &mut Ctx<Pass>) -> Result<(), Error> {
        MODELS.with_borrow_mut(|models| {
            let model = models.entry(step.key).or_default();
            let mut random = Random(step.seed as u64);
            for _ in 0..random.below(8) {
                on_map(&mut random, &mut both.map, &mut model.0);
                on_list(&mut random, &mut both.list, &mut model.1);
            }
        });
        *both.count.get_or_insert(0) += 1;
        Ok(())
    }
}

fn on_map(random: &mut Random, map: &mut Map<i64, i64>, model: &mut BTreeMap<i64, i64>) {
    let key = random.below(40);
    let owned = |(key, value): (&i64, &i64)| (*key, *value);
    match random.below(24) {
        0..4 => {
            map.insert(key, key * 7);
            model.insert(key, key * 7);
        }
        4..6 => {
            map.remove(&key);
            model.remove(&key);
        }
        6 => assert_eq!(map.take(&key), model.remove(&key)),
        7..10 => {
            *map.get_or_insert(key, 100) += 1;
            *model.entry(key).or_insert(100) += 1;
        }
        10..13 => assert_eq!(map.get(&key), model.get(&key).copied()),
        13 => assert_eq!(map.contains(&key), model.contains_key(&key)),
        14 => assert!(map.iter().eq(model.iter().map(owned))),
        15..17 => {
            let end = key + random.below(20);
            assert!(map.range(key..end).eq(model.range(key..end).map(owned)));
        }
        17 => assert!(map.range(key..).eq(model.range(key..).map(owned))),
        18 => assert!(map.range(..=key).eq(model.range(..=key).map(owned))),
        19..21 => {
            let count = random.below(6) as usize;
            assert!(map.first(count).eq(model.iter().map(owned).take(count)));
        }
        21..23 => {
            let count = random.below(6) as usize;
            assert!(map.last(count).eq(model.iter().rev().map(owned).take(count)));
        }
        _ if random.below(4) == 0 => {
            map.clear();
            model.clear();
        }
        _ => assert_eq!((map.is_empty(), map.count()), (model.is_empty(), model.len())),
    }
}

fn on_list(random: &mut Random, list: &mut List<i64>, model: &mut Vec<i64>) {
    match random.below(16) {
        0..6 => {
            let value = random.below(1_000);
            list.push(value);
            model.push(value);
        }
        6..9 => assert_eq!(list.pop_first(), (!model.is_empty()).then(|| model.remove(0))),
        9 => assert!(list.iter().eq(model.iter().copied())),
        10..12 => {
            let count = random.below(5) as usize;
            assert!(list.last(count).eq(model.iter().rev().copied().take(count)));
        }
        12..14 => {
            let count = random.below(5) as usize;
            assert!(list.first(count).eq(model.iter().copied().take(count)));
        }
        14 => assert_eq!((list.is_empty(), list.count()), (model.is_empty(), model.len())),
        _ if random.below(4) == 0 => {
            list.clear();
            model.clear();
        }
        _ => {}
    }
}

/// rule 47, rule 48, rule 49, rule 50: seen through fields.
#[test]
fn lists_and_maps_behave_as_collections_do() {
    let mut random = Random(1);
    let mut harness = Harness::<Keyed<Wild>>::setup().keyed_input::<Step>(&["key"]).open().expect("it opens");
    for round in 0..600 {
        let steps = (0..1 + random.below(12)).map(|_| Step { key: random.below(5), seed: random.below(1 << 30) });
        harness.process(steps.collect::<Vec<_>>()).expect("no row fails");
        let models = MODELS.with_borrow(Clone::clone);
        for (key, (map, list)) in models {
            let kept = harness.state::<Both>(Key { key });
            assert_eq!(kept.map, Map::of(map), "map of {key} after call {round}");
            assert_eq!(kept.list, List::of(list), "list of {key} after call {round}");
        }
    }
}

#[derive(Row, Clone)]
struct Payment {
    card: i64,
    shop: String,
    amount: i64,
}

#[derive(Row)]
struct At {
    shop: String,
    amount: i64,
}

#[derive(State)]
struct Card {
    by_shop: Map<String, i64>,
    recent: List<i64>,
}

#[derive(Row, Debug, PartialEq)]
struct Seen {
    at_shop: i64,
    last: i64,
}

/// `AHEAD`: says beforehand what it reads.
struct Shops<const AHEAD: bool>;

impl<const AHEAD: bool> KeyedOperator for Shops<AHEAD> {
    type Config = ();
    type Input<'a> = At;
    type State = Card;
    type Output = New<Seen>;
    const PREFETCH: bool = AHEAD;

    fn open(_: (), _: &Context) -> Result<Self, Error> {
        Ok(Self)
    }

    fn prefetch(&self, row: &At, card: &Card) {
        card.by_shop.want(row.shop.as_str());
        card.recent.want_last(1);
    }

    fn on_row(&mut self, row: At, card: &mut Card, ctx: &mut Ctx<New<Seen>>) -> Result<(), Error> {
        let last = card.recent.last(1).next().unwrap_or(-1);
        ctx.out.emit(Seen { at_shop: card.by_shop.get(row.shop.as_str()).unwrap_or(0), last });
        *card.by_shop.get_or_insert(row.shop, 0) += row.amount;
        card.recent.push(row.amount);
        Ok(())
    }
}

/// What left for 900 payments of 300 cards, in three calls, and how often the operator asked the host.
fn shops<const AHEAD: bool>() -> (Vec<Seen>, usize) {
    let mut harness =
        Harness::<Keyed<Shops<AHEAD>>>::setup().keyed_input::<Payment>(&["card"]).open().expect("it opens");
    for call in 0..3 {
        let payment = |n: i64| Payment { card: n % 100, shop: format!("shop {}", n % 7), amount: n + call };
        harness.process((0..300).map(payment)).expect("no row fails");
    }
    (harness.take("out"), harness.state_reads())
}

#[test]
fn what_a_batch_will_need_is_read_by_one_request_a_cell() {
    let (ahead, requests) = shops::<true>();
    let (one_by_one, many) = shops::<false>();
    assert_eq!(ahead, one_by_one);
    assert_eq!(requests, 3 * 2);
    assert!(many > 1_000, "{many} requests, one by one");
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Trip {
    from: String,
    stops: Vec<u32>,
}

#[derive(State, Debug, PartialEq)]
struct Typed {
    #[state(ttl_ms = 1_000, event_time, version = 3, renamed_from = "text")]
    texts: Map<Vec<u8>, String>,
    #[state(name = "flags", ttl_ms = 10)]
    by_flag: Map<bool, Vec<u8>>,
    plain: Value<f64>,
    times: Map<Timestamp, bool>,
    trips: List<Cbor<Trip>>,
    trip: Value<Cbor<Trip>>,
    by_name: Map<String, Cbor<Trip>>,
}

fn trip(n: u32) -> Cbor<Trip> {
    Cbor(Trip { from: format!("place {n}"), stops: (0..n).collect() })
}

/// Writes each kind of cell.
struct Kinds;

impl KeyedOperator for Kinds {
    type Config = ();
    type Input<'a> = Step;
    type State = Typed;
    type Output = Pass;

    fn open(_: (), _: &Context) -> Result<Self, Error> {
        Ok(Self)
    }

    fn on_row(&mut self, step: Step, typed: &mut Typed, _: &mut Ctx<Pass>) -> Result<(), Error> {
        let n = step.seed;
        typed.texts.insert(n.to_be_bytes().to_vec(), n.to_string());
        typed.by_flag.insert(n % 2 == 0, vec![n as u8]);
        typed.plain.set(0.5);
        typed.times.insert(Timestamp(-n), true);
        typed.trips.push(trip(n as u32));
        typed.trip.set(trip(n as u32));
        typed.by_name.insert(format!("{:02}", 99 - n), trip(n as u32));
        Ok(())
    }
}

fn kinds() -> Harness<Keyed<Kinds>> {
    Harness::setup().keyed_input::<Step>(&["key"]).with_event_times().open().expect("it opens")
}

#[test]
fn fields_say_what_their_cells_are() {
    let harness = kinds();
    let cell = |name: &str| harness.descriptor().cells.iter().find(|cell| cell.name == name).expect("it is declared");
    let texts = cell("texts");
    assert_eq!((&*texts.kind, &*texts.data_type, texts.sub_key.as_deref()), ("map", "utf8", Some("binary")));
    assert_eq!((texts.ttl_ms, texts.ttl_domain, texts.version), (Some(1_000), TimeDomain::EventTime, 3));
    assert_eq!((texts.renamed_from.as_deref(), texts.encoding.as_deref()), (Some("text"), None));
    assert_eq!((cell("flags").ttl_ms, cell("flags").ttl_domain), (Some(10), TimeDomain::ProcessingTime));
    let trips = cell("trips");
    assert_eq!((&*trips.kind, &*trips.data_type, trips.sub_key.as_deref()), ("list", "binary", None));
    assert_eq!(trips.encoding.as_deref(), Some("cbor"));
    assert_eq!((&*cell("trip").kind, cell("trip").encoding.as_deref()), ("value", Some("cbor")));
}

/// rule 48
#[test]
fn every_type_comes_back_in_order() {
    let mut harness = kinds();
    let step = |seed| (Timestamp(0), Step { key: 1, seed });
    harness.process_at([step(3), step(1), step(2)]).expect("no row fails");
    let kept = harness.state::<Typed>(Key { key: 1 });
    let expect = Typed {
        texts: Map::of((1..4_i64).map(|n| (n.to_be_bytes().to_vec(), n.to_string()))),
        by_flag: Map::of([(false, vec![1]), (true, vec![2])]),
        plain: Value::of(Some(0.5)),
        times: Map::of([-3, -2, -1].map(|ms| (Timestamp(ms), true))),
        trips: List::of([trip(3), trip(1), trip(2)]),
        trip: Value::of(Some(trip(2))),
        by_name: Map::of([("96", 3), ("97", 2), ("98", 1)].map(|(name, n)| (name.to_owned(), trip(n)))),
    };
    assert_eq!(kept, expect);
    assert_eq!(kept.trip.get().map(|trip| trip.stops.len()), Some(2));
}

/// rule 53
#[test]
fn entries_live_on_the_clock_of_their_cell() {
    let mut harness = kinds();
    let step = |ms, seed| (Timestamp(ms), Step { key: 1, seed });
    // One call: each entry counts as written at the latest time of the key's rows in it.
    harness.process_at([step(500, 1), step(2_000, 2)]).expect("no row fails");
    harness.process_at([step(2_100, 3)]).expect("no row fails");
    harness.advance_watermark(Timestamp(2_999)).expect("nothing fails");
    assert_eq!(harness.state::<Typed>(Key { key: 1 }).texts.count(), 3);
    harness.advance_watermark(Timestamp(3_000)).expect("nothing fails");
    let left: Vec<_> = harness.state::<Typed>(Key { key: 1 }).texts.iter().map(|(_, text)| text).collect();
    assert_eq!(left, ["3"]);
    assert_eq!(harness.state::<Typed>(Key { key: 1 }).by_flag.count(), 2);
    harness.advance_clock(Timestamp(10)).expect("nothing fails");
    assert_eq!(harness.state::<Typed>(Key { key: 1 }).by_flag.count(), 0);
    assert_eq!(harness.state::<Typed>(Key { key: 1 }).trips.count(), 3);
}

/// Keeps rows until a timer of their time.
struct Later;

#[derive(State)]
struct Waiting {
    #[state(ttl_ms = 5_000, event_time)]
    rows: Map<Timestamp, i64>,
}

impl KeyedOperator for Later {
    type Config = ();
    type Input<'a> = Seed;
    type State = Waiting;
    type Output = New<Seed>;
    const TIMERS: bool = true;
    const EVENT_TIMES: bool = true;
    const PREFETCH: bool = true;

    fn open(_: (), _: &Context) -> Result<Self, Error> {
        Ok(Self)
    }

    fn on_row(&mut self, row: Seed, waiting: &mut Waiting, ctx: &mut Ctx<New<Seed>>) -> Result<(), Error> {
        let at = ctx.event_time().ok_or_else(|| Error::new("no time"))?;
        waiting.rows.insert(at, row.seed);
        ctx.set_timer(Timer::EventTime(at));
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, waiting: &mut Waiting, ctx: &mut Ctx<New<Seed>>) -> Result<(), Error> {
        let Timer::EventTime(at) = timer else { return Err(Error::new("not its clock")) };
        ctx.out.emit(Seed { seed: waiting.rows.take(&at).unwrap_or(-1) });
        Ok(())
    }

    fn prefetch_timer(&self, timer: Timer, waiting: &Waiting) {
        if let Timer::EventTime(at) = timer {
            waiting.rows.want(&at);
        }
    }
}

/// rule 53, of timers.
#[test]
fn a_timer_sees_what_there_was_at_its_time_with_one_request_for_all_timers() {
    let mut harness =
        Harness::<Keyed<Later>>::setup().keyed_input::<Step>(&["key"]).with_event_times().open().expect("it opens");
    let step = |n: i64| (Timestamp(n * 100), Step { key: n % 3, seed: n });
    harness.process_at((1..50).map(step)).expect("no row fails");
    assert_eq!(harness.state_reads(), 0, "writing reads nothing");
    harness.finish().expect("no timer fails");
    let left: Vec<i64> = harness.take::<Seed>("out").into_iter().map(|row| row.seed).collect();
    assert_eq!(left, (1..50).collect::<Vec<_>>());
    assert_eq!((harness.state_reads(), harness.keys()), (1, 0));
}

#[test]
fn changes_leave_in_few_runs() {
    let mut map = Map::of([(1_i64, 1_i64), (2, 2)]);
    map.remove(&1);
    map.insert(3, 3);
    map.insert(4, 4);
    let changes = <Both as State>::changes(&[Both { map, count: Value::of(None), list: List::of([]) }]);
    let actions: Vec<_> = changes.entries.iter().map(|change| (change.action, change.groups.len() / 4)).collect();
    assert_eq!(actions, [(EntryAction::Remove, 1), (EntryAction::Put, 2)]);
    assert_eq!(changes.cells.len(), 1);
}

#[test]
fn a_sub_key_knows_the_next_one() {
    assert_eq!((1_i64.successor(), i64::MAX.successor()), (Some(2), None));
    assert_eq!((false.successor(), true.successor()), (Some(true), None));
    assert_eq!(Timestamp(5).successor(), Some(Timestamp(6)));
    assert_eq!("a".to_owned().successor(), Some("a\0".to_owned()));
    assert_eq!(vec![255_u8].successor(), Some(vec![255, 0]));
    let map = Map::of([(i64::MAX, 1_i64), (0, 0)]);
    assert_eq!(map.range(..=i64::MAX).count(), 2);
    assert_eq!(map.range((std::ops::Bound::Excluded(i64::MAX), std::ops::Bound::Unbounded)).count(), 0);
}
