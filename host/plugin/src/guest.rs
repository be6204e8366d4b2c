//! What the host keeps for a running guest, and the interfaces of the contract that a guest may call.

use wasmill_model::Timestamp;
use wasmtime::{
    StoreContextMut,
    component::{ComponentType, Lift, LinkerInstance, Resource, WasmStr},
};

use crate::{
    entries::{self, Reads},
    limits::{Limiter, Limits},
    log::{Level, Log, LogSink},
    metrics::Metrics,
};

/// The time of a call. Both clocks stand still while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallTime {
    /// The host's clock, ms since the epoch.
    pub now_ms: Timestamp,
    pub watermark: Timestamp,
}

/// The data of a guest's store.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) limiter: Limiter,
    pub(crate) log: Log,
    pub(crate) metrics: Metrics,
    pub(crate) time: CallTime,
    /// The tick of the engine at which the call is at its end.
    pub(crate) until_tick: u64,
    pub(crate) reads: Reads,
    pub(crate) random: Random,
    pub(crate) handles: Handles,
}

impl Guest {
    pub(crate) fn new(limits: &Limits, log: LogSink, seed: u64, time: CallTime, reads: Reads) -> Self {
        Self {
            limiter: Limiter::new(limits),
            log: Log::new(log, limits),
            metrics: Metrics::new(limits.metric_names),
            time,
            until_tick: 0,
            reads,
            random: Random(seed),
            handles: Handles::default(),
        }
    }
}

/// Handles that the host has given out.
#[derive(Debug, Default)]
pub(crate) struct Handles {
    open: usize,
    most: usize,
}

impl Handles {
    /// Gives out a handle to what this number stands for.
    pub(crate) fn open<T: 'static>(&mut self, number: u32) -> Resource<T> {
        self.open += 1;
        self.most = self.most.max(self.open);
        Resource::new_own(number)
    }

    /// The guest has dropped one.
    pub(crate) fn dropped(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// The most that were open at one time.
    pub(crate) fn most(&self) -> usize {
        self.most
    }
}

/// Numbers that follow from a seed: the generator known as SplitMix64. Not for secrets.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The numbers of one call: the same whatever calls there were before it, so that it can be made again alone.
    pub(crate) fn of_call(seed: u64, calls_before: u64) -> Self {
        Self(Self(seed).next().wrapping_add(Self(!calls_before).next()))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// `enum level` of the contract, in its order.
#[derive(Debug, Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "its variants are made by lifting")]
enum WitLevel {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

impl From<WitLevel> for Level {
    fn from(level: WitLevel) -> Self {
        match level {
            WitLevel::Trace => Self::Trace,
            WitLevel::Debug => Self::Debug,
            WitLevel::Info => Self::Info,
            WitLevel::Warn => Self::Warn,
            WitLevel::Error => Self::Error,
        }
    }
}

type Cx<'a> = StoreContextMut<'a, Guest>;

/// Offers a function of `wasmill:operator/{log,metrics,clock,state}`; false if there is no such function.
pub(crate) fn offer(at: &mut LinkerInstance<'_, Guest>, interface: &str, function: &str) -> wasmtime::Result<bool> {
    match (interface, function) {
        ("log", "write") => at.func_wrap(function, |mut cx: Cx<'_>, (level, message): (WitLevel, WasmStr)| {
            let message = message.to_str(&cx)?.into_owned();
            let guest = cx.data_mut();
            guest.log.write(guest.time.now_ms, level.into(), &message);
            Ok(())
        })?,
        ("metrics", "add") => at.func_wrap(function, |mut cx: Cx<'_>, (name, delta): (String, u64)| {
            cx.data_mut().metrics.add(&name, delta);
            Ok(())
        })?,
        ("metrics", "set") => at.func_wrap(function, |mut cx: Cx<'_>, (name, value): (String, f64)| {
            cx.data_mut().metrics.set(&name, value);
            Ok(())
        })?,
        ("clock", "processing-time") => {
            at.func_wrap(function, |cx: Cx<'_>, ()| Ok((cx.data().time.now_ms,)))?;
        }
        ("clock", "watermark") => at.func_wrap(function, |cx: Cx<'_>, ()| Ok((cx.data().time.watermark,)))?,
        ("state", function) => return entries::offer(at, function),
        _ => return Ok(false),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_call_follow_from_the_seed_and_its_place() {
        let numbers = |seed, calls_before| {
            let mut random = Random::of_call(seed, calls_before);
            [random.next(), random.next()]
        };
        assert_eq!(numbers(1, 7), numbers(1, 7));
        let mut all: Vec<u64> = (0..100).flat_map(|i| [numbers(1, i), numbers(i + 2, 1)].concat()).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 400);
    }
}
