//! The modes that answer as they should.

use crate::{
    bytes::{Text, bit, bitmap, emit, extension, fixed, i64s, of_i64s, of_u32s, texts, u32s},
    entries, every_type,
    exports::wasmill::operator::guest::{Column, Failure, Groups, Notice, Reply, Rows, TimeDomain},
    wasmill::operator::{
        clock,
        data::{CellUpdate, Emission, MarkedValues, Outcome, TimerAction, TimerChanges},
        log, metrics,
    },
};

pub(crate) fn process(
    mode: &str,
    input: u32,
    rows: Rows,
    groups: Option<Groups>,
    state: Vec<Column>,
) -> Result<Reply, Failure> {
    let a = || i64s(&rows.columns[0].values);
    Ok(match mode {
        "pass" | "context" => emit(Outcome::Unchanged),
        "drop" => emit(Outcome::DropAll),
        "keep" => emit(Outcome::Keep(bitmap(a().map(|n| n & 1 == 0)))),
        "take" => emit(Outcome::Take(of_u32s((0..rows.count.div_ceil(2)).rev().map(|r| 2 * r)))),
        "map" => emit(extension(None, vec![fixed(of_i64s(a().map(|n| n.wrapping_mul(2))))])),
        "map-take" => {
            let last: Vec<i64> = a().collect();
            let twice = [last[last.len() - 1] * 2, last[0] * 2];
            let take = of_u32s([rows.count - 1, 0].into_iter());
            emit(extension(Some(take), vec![fixed(of_i64s(twice.into_iter()))]))
        }
        "types" => emit(Outcome::Replace(rows)),
        "rewrite" => rewrite(rows),
        "count" | "count-both" | "count-one" => count(groups.expect("keyed"), &state, TimeDomain::EventTime, i64::MAX),
        "count-later" => {
            count(groups.expect("keyed"), &state, TimeDomain::ProcessingTime, clock::processing_time() + 20)
        }
        "every-type" => every_type::process(&rows, &groups.expect("keyed"), &state),
        "union" => emit(Outcome::Replace(Rows { event_times: None, ..rows })),
        "count-marked" => count_marked(&groups.expect("keyed"), &state),
        _ if mode.starts_with("entries") || mode == "broadcast" => entries::process(mode, &rows, groups.as_ref()),
        "fail" => return fail(&rows, input),
        "log" => {
            log::write(log::Level::Warn, "a line\nwith \u{1b}[31mred");
            println!("to standard output");
            eprint!("to standard ");
            eprintln!("error");
            emit(Outcome::Unchanged)
        }
        "metrics" => {
            metrics::add("rows", u64::from(rows.count));
            metrics::set("last_rows", f64::from(rows.count));
            metrics::add("Bad Name", 1);
            (0..1_000).for_each(|i| metrics::add(&format!("many_{i}"), 1));
            emit(Outcome::Unchanged)
        }
        "clock" => {
            let wasi = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after the epoch");
            let columns = [clock::processing_time(), clock::watermark(), wasi.as_millis() as i64];
            let columns = columns.map(|time| fixed(time.to_le_bytes().to_vec()));
            emit(Outcome::Replace(Rows { count: 1, event_times: None, columns: columns.into() }))
        }
        "notice" => emit(Outcome::DropAll),
        "row" => {
            let _ = input;
            emit(Outcome::Unchanged)
        }
        "wasi" => {
            log::write(log::Level::Info, &wasi());
            emit(Outcome::Unchanged)
        }
        other => {
            return Err(Failure { fatal: true, row: None, message: format!("mode `{other}` has no process") });
        }
    })
}

/// Every row anew, value by value: numbers copied, one of them changed, texts read as `&str` and written again.
fn rewrite(rows: Rows) -> Reply {
    let count = rows.count as usize;
    let columns = rows
        .columns
        .iter()
        .enumerate()
        .map(|(place, column)| match column.offsets {
            None if place == 2 => fixed(of_i64s(i64s(&column.values).map(|n| n * 9 / 10))),
            None => fixed(of_i64s(i64s(&column.values))),
            Some(_) => {
                let mut text = Text::new(count, column.values.len());
                for value in texts(column) {
                    let host = value.strip_prefix("https://").unwrap_or(value);
                    text.push(host);
                }
                text.column()
            }
        })
        .collect();
    emit(Outcome::Replace(Rows { count: rows.count, event_times: rows.event_times, columns }))
}

fn counts_of(groups: &Groups, state: &[Column]) -> Vec<i64> {
    let mut counts: Vec<i64> = i64s(&state[0].values).collect();
    for group in u32s(&groups.of_row) {
        counts[group as usize] += 1;
    }
    counts
}

/// Adds the rows of each key to its count, and sets a timer for keys seen for the first time.
fn count(groups: Groups, state: &[Column], domain: TimeDomain, at: i64) -> Reply {
    let counts = counts_of(&groups, state);
    let validity = state[0].validity.as_deref();
    let new: Vec<u32> =
        validity.map_or_else(Vec::new, |v| (0..groups.count).filter(|&g| !bit(v, g as usize)).collect());
    let timers = TimerChanges {
        domain,
        action: TimerAction::Set,
        times: of_i64s(new.iter().map(|_| at)),
        groups: of_u32s(new.iter().copied()),
    };
    let mut cells = vec![CellUpdate::All(fixed(of_i64s(counts.into_iter())))];
    cells.extend(state[1..].iter().map(|_| CellUpdate::Unchanged));
    Reply { emissions: vec![], cells, timers: if new.is_empty() { vec![] } else { vec![timers] }, entries: vec![] }
}

/// Adds to the counts of every other key only, clears the note of the first, and emits the running count of each row.
fn count_marked(groups: &Groups, state: &[Column]) -> Reply {
    let counts = counts_of(groups, state);
    let marked = |group: &usize| group.is_multiple_of(2);
    let values: Vec<i64> = counts.iter().enumerate().filter(|(group, _)| marked(group)).map(|(_, &n)| n).collect();
    let values = of_i64s(values.into_iter());
    let numbers = MarkedValues { groups: bitmap((0..counts.len()).map(|g| marked(&g))), values: fixed(values) };
    let cleared = Column { validity: Some(vec![0]), offsets: Some(vec![0; 8]), values: vec![] };
    let note = MarkedValues { groups: bitmap((0..counts.len()).map(|g| g == 0)), values: cleared };
    let running = fixed(of_i64s(u32s(&groups.of_row).map(|g| counts[g as usize])));
    let clear = TimerChanges {
        domain: TimeDomain::ProcessingTime,
        action: TimerAction::Clear,
        groups: of_u32s([0].into_iter()),
        times: of_i64s([-5].into_iter()),
    };
    Reply {
        emissions: vec![Emission { port: 0, rows: extension(None, vec![running]) }],
        cells: vec![CellUpdate::Marked(numbers), CellUpdate::Marked(note)],
        timers: vec![clear],
        entries: vec![],
    }
}

fn fail(rows: &Rows, _input: u32) -> Result<Reply, Failure> {
    match i64s(&rows.columns[0].values).zip(0u32..).find(|(n, _)| *n < 0) {
        Some((n, row)) => Err(Failure { fatal: n == i64::MIN, row: Some(row), message: format!("{n} is negative") }),
        None => Ok(emit(Outcome::Unchanged)),
    }
}

/// What the outside looks like from in here.
fn wasi() -> String {
    let random = std::collections::hash_map::RandomState::new();
    let hash = std::hash::BuildHasher::hash_one(&random, 1);
    let read = std::io::Read::read(&mut std::io::stdin(), &mut [0; 8]).map_err(|e| e.kind());
    let file = std::fs::read("/etc/passwd").map_err(|e| e.kind());
    let start = std::time::Instant::now();
    std::thread::sleep(std::time::Duration::from_secs(3_600));
    format!(
        "args {:?} vars {:?} stdin {read:?} file {file:?} slept {:?} hash {hash}",
        std::env::args().count(),
        std::env::vars().count(),
        start.elapsed(),
    )
}

pub(crate) fn on_timers(
    mode: &str,
    domain: TimeDomain,
    due: Rows,
    groups: Groups,
    state: Vec<Column>,
) -> Result<Reply, Failure> {
    if mode == "bad:timer-pass" {
        return Ok(emit(Outcome::Unchanged));
    }
    if mode == "every-type" {
        return Ok(every_type::on_timers(domain, &groups, &state));
    }
    let times: Vec<i64> = i64s(due.event_times.as_deref().expect("timers have a time")).collect();
    log::write(log::Level::Debug, &format!("{domain:?} {times:?} {} columns", due.columns.len()));
    let counts: Vec<i64> = i64s(&state[0].values).collect();
    let emitted = fixed(of_i64s(u32s(&groups.of_row).map(|g| counts[g as usize])));
    let nulls = vec![0; (groups.count as usize).div_ceil(8)];
    let cleared = Column { validity: Some(nulls), offsets: None, values: vec![0; 8 * groups.count as usize] };
    Ok(Reply {
        emissions: vec![Emission { port: 0, rows: extension(None, vec![emitted]) }],
        cells: vec![CellUpdate::All(cleared), CellUpdate::Unchanged],
        timers: vec![],
        entries: vec![],
    })
}

pub(crate) fn on_notice(mode: &str, notice: Notice) -> Result<Reply, Failure> {
    if mode != "notice" {
        return Err(Failure { fatal: true, row: None, message: "nobody asked".into() });
    }
    let mut told = Text::new(1, 32);
    told.push(&format!("{notice:?}"));
    Ok(emit(Outcome::Replace(Rows { count: 1, event_times: None, columns: vec![told.column()] })))
}
