//! Stand-ins for what a component imports: log lines and numbers are kept for the test of this thread, time stands where
//! the test put it.

use std::{cell::RefCell, collections::BTreeMap};

use super::kept::Kept;
use crate::{Timestamp, data::Column, log::Level, state::Found};

struct Host {
    lines: Vec<(Level, String)>,
    metrics: BTreeMap<String, f64>,
    now: Timestamp,
    watermark: Timestamp,
    /// What can be read in the call that is being made.
    kept: Option<Kept>,
}

thread_local! {
    static HOST: RefCell<Host> = const {
        RefCell::new(Host {
            lines: Vec::new(),
            metrics: BTreeMap::new(),
            now: Timestamp(0),
            watermark: Timestamp::MIN,
            kept: None,
        })
    };
}

pub(crate) fn write_log(level: Level, message: &str) {
    HOST.with_borrow_mut(|host| host.lines.push((level, message.to_owned())));
}

pub(crate) fn add_metric(name: &str, delta: u64) {
    HOST.with_borrow_mut(|host| *host.metrics.entry(name.to_owned()).or_default() += delta as f64);
}

pub(crate) fn set_metric(name: &str, value: f64) {
    HOST.with_borrow_mut(|host| host.metrics.insert(name.to_owned(), value));
}

pub(crate) fn now() -> Timestamp {
    HOST.with_borrow(|host| host.now)
}

pub(crate) fn watermark() -> Timestamp {
    HOST.with_borrow(|host| host.watermark)
}

pub(super) fn set_times(now: Timestamp, watermark: Timestamp) {
    HOST.with_borrow_mut(|host| (host.now, host.watermark) = (now, watermark));
}

/// State is read from here until it is taken back.
pub(super) fn lend(kept: Kept) {
    HOST.with_borrow_mut(|host| host.kept = Some(kept));
}

pub(super) fn take_back() -> Kept {
    HOST.with_borrow_mut(|host| host.kept.take()).expect("it was lent before the call")
}

fn with_kept<T>(read: impl FnOnce(&mut Kept) -> T) -> T {
    HOST.with_borrow_mut(|host| read(host.kept.as_mut().expect("lists and maps are read during calls")))
}

pub(crate) fn get(cell: u32, groups: &[u8], sub_keys: &Column) -> Column {
    with_kept(|kept| kept.get(cell, groups, sub_keys))
}

pub(crate) fn scan(cell: u32, groups: &[u8], bounds: (Option<&Column>, Option<&Column>), order: (bool, u32)) -> Found {
    with_kept(|kept| kept.scan(cell, groups, bounds, order))
}

/// The lines this thread has logged since the last time it was asked.
pub fn take_log() -> Vec<(Level, String)> {
    HOST.with_borrow_mut(|host| std::mem::take(&mut host.lines))
}

/// What the counter or gauge of this name stands at on this thread.
pub fn metric(name: &str) -> Option<f64> {
    HOST.with_borrow(|host| host.metrics.get(name).copied())
}
