//! An operator that keeps a value of every type for each key, each with and without a time to live, a list, a map, and timers in both
//! domains. What it keeps follows from how many rows a key had and the sum of their prices, so that whoever reads its rows knows what must be in them.

use crate::{
    bytes::{Text, bit, bitmap, extension, fixed, i64s, of_i64s, of_u32s, texts, u32s},
    exports::wasmill::operator::guest::{Column, Groups, Reply, Rows, TimeDomain},
    wasmill::operator::{
        clock,
        data::{CellUpdate, Emission, EntryAction, EntryChanges, MarkedValues, TimerAction, TimerChanges},
        description::Cell,
        state,
    },
};

const TYPES: [&str; 6] = ["int64", "float64", "timestamp", "boolean", "utf8", "binary"];
const TEN_YEARS_MS: u64 = 315_360_000_000;
/// Until the timer of processing time.
const LATER_MS: i64 = 60_000;

/// The places of the list and the map among the cells.
const LIST: u32 = 2 * TYPES.len() as u32 + 1;
const MAP: u32 = LIST + 1;

/// Two value cells of each type, one whose values are gone after a millisecond, a list and a map.
pub(crate) fn cells() -> Vec<Cell> {
    let cell = |name: String, data_type: &str, ttl_ms| Cell {
        name,
        kind: "value".into(),
        data_type: data_type.into(),
        ttl_ms,
        version: 3,
        sub_key: None,
        encoding: None,
        ttl_domain: TimeDomain::ProcessingTime,
        renamed_from: None,
    };
    let list = Cell { kind: "list".into(), ..cell("rows".into(), "utf8", None) };
    let map = cell("latest".into(), "int64", Some(TEN_YEARS_MS));
    let map = Cell { kind: "map".into(), sub_key: Some("int64".into()), ..map };
    let both = |data_type: &&str| {
        [cell((*data_type).into(), data_type, None), cell(format!("{data_type}_ttl"), data_type, Some(TEN_YEARS_MS))]
    };
    TYPES.iter().flat_map(both).chain([cell("brief".into(), "int64", Some(1)), list, map]).collect()
}

/// What is kept of a key that had so many rows of this sum.
fn kept(counts: &[i64], sums: &[f64]) -> Vec<Column> {
    let (mut text, mut bytes) = (Text::new(counts.len(), 16), Text::new(counts.len(), 16));
    for count in counts {
        text.push(&format!("n\u{e9}{count}"));
        bytes.push(&"\u{1}".repeat((count % 4) as usize));
    }
    vec![
        fixed(of_i64s(counts.iter().copied())),
        fixed(sums.iter().flat_map(|sum| sum.to_le_bytes()).collect()),
        fixed(of_i64s(counts.iter().map(|count| count * 1_000))),
        fixed(bitmap(counts.iter().map(|count| count % 2 == 1))),
        text.column(),
        bytes.column(),
    ]
}

pub(crate) fn process(rows: &Rows, groups: &Groups, state: &[Column]) -> Reply {
    let mut counts: Vec<i64> = i64s(&state[0].values).collect();
    let mut sums: Vec<f64> = i64s(&state[2].values).map(|bits| f64::from_bits(bits as u64)).collect();
    let mut numbers = Vec::with_capacity(rows.count as usize);
    for (group, price) in u32s(&groups.of_row).zip(i64s(&rows.columns[0].values)) {
        counts[group as usize] += 1;
        sums[group as usize] += price as f64;
        numbers.push(counts[group as usize]);
    }
    let is_new = |group: usize| state[0].validity.as_deref().is_some_and(|validity| !bit(validity, group));
    let new: Vec<u32> = (0..groups.count).filter(|&group| is_new(group as usize)).collect();
    let twice = kept(&counts, &sums).into_iter().zip(kept(&counts, &sums));
    let mut cells: Vec<CellUpdate> = twice.flat_map(|(a, b)| [CellUpdate::All(a), CellUpdate::All(b)]).collect();
    cells.push(CellUpdate::Marked(MarkedValues {
        groups: bitmap((0..counts.len()).map(is_new)),
        values: fixed(of_i64s(new.iter().map(|_| 1))),
    }));
    let set = |domain, time: i64| TimerChanges {
        domain,
        action: TimerAction::Set,
        times: of_i64s(new.iter().map(|_| time)),
        groups: of_u32s(new.iter().copied()),
    };
    let later = clock::processing_time() + LATER_MS;
    let timers = vec![set(TimeDomain::EventTime, i64::MAX), set(TimeDomain::ProcessingTime, later)];
    let timers = if new.is_empty() { vec![] } else { timers };
    Reply { emissions: vec![], cells, timers, entries: entries(groups, &numbers) }
}

/// The number of each row of its key at the end of a list, and as the latest of those that leave the same remainder by three.
fn entries(groups: &Groups, numbers: &[i64]) -> Vec<EntryChanges> {
    let mut texts = Text::new(numbers.len(), 4);
    numbers.iter().for_each(|number| texts.push(&number.to_string()));
    let append = EntryChanges {
        cell: LIST,
        action: EntryAction::Append,
        groups: groups.of_row.clone(),
        sub_keys: None,
        values: Some(texts.column()),
    };
    let put = EntryChanges {
        cell: MAP,
        action: EntryAction::Put,
        groups: groups.of_row.clone(),
        sub_keys: Some(fixed(of_i64s(numbers.iter().map(|number| number % 3)))),
        values: Some(fixed(of_i64s(numbers.iter().copied()))),
    };
    vec![append, put]
}

/// How long the list of a key is, its last two, and all of the map.
fn entries_of(group: u32) -> String {
    let groups = of_u32s([group].into_iter());
    let all = state::scan(LIST, &groups, None, None, false, u32::MAX);
    let last = state::scan(LIST, &groups, None, None, true, 2);
    let map = state::scan(MAP, &groups, None, None, false, u32::MAX);
    let last = texts(&last.values).collect::<Vec<_>>().join(",");
    let map = i64s(&map.sub_keys.values).zip(i64s(&map.values.values)).map(|(key, value)| format!("{key}:{value}"));
    format!("{} {last} {}", texts(&all.values).len(), map.collect::<Vec<_>>().join(","))
}

/// A row for each timer: what is kept of its key at the end of all input, `later` at a time of the clock.
pub(crate) fn on_timers(domain: TimeDomain, groups: &Groups, kept: &[Column]) -> Reply {
    let mut told = Text::new(groups.count as usize, 256);
    for group in u32s(&groups.of_row) {
        match domain {
            TimeDomain::ProcessingTime => told.push("later"),
            TimeDomain::EventTime => {
                let values = cells()
                    .iter()
                    .zip(kept)
                    .map(|(cell, column)| shown(&cell.data_type, column, group as usize))
                    .collect::<Vec<_>>();
                told.push(&format!("{} {}", values.join(" "), entries_of(group)));
            }
        }
    }
    let emissions = vec![Emission { port: 0, rows: extension(None, vec![told.column()]) }];
    Reply { emissions, cells: kept.iter().map(|_| CellUpdate::Unchanged).collect(), timers: vec![], entries: vec![] }
}

fn shown(data_type: &str, column: &Column, group: usize) -> String {
    if column.validity.as_deref().is_some_and(|validity| !bit(validity, group)) {
        return "null".into();
    }
    let number = || i64s(&column.values).nth(group).unwrap_or_default();
    match data_type {
        "float64" => f64::from_bits(number() as u64).to_string(),
        "boolean" => bit(&column.values, group).to_string(),
        "utf8" => texts(column).nth(group).unwrap_or_default().to_owned(),
        "binary" => format!("{}B", texts(column).nth(group).unwrap_or_default().len()),
        _ => number().to_string(),
    }
}
