//! How late a guest is stopped that never ends.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use wasmill_hostile::template;
use wasmill_plugin::{CallError, DescribeError, Engine, Limits, Plugin};

use super::{
    Figure, Verdict,
    guest::{Guest, rows, thread_time},
};

const DEMAND_MS: f64 = 20.0;

/// Whole numbers of the engine's ticks and others.
const DEADLINES_MS: [u64; 4] = [3, 20, 57, 150];
const ROUNDS: usize = 3;

/// Guests of `tests/guests/hostile` that never end: in a loop, in bulk operations, in calls of the host, in `realloc`,
/// in their start function, in each function of the contract.
const GUESTS: [&str; 13] = [
    "call_clock-spin",
    "call_copy-loop",
    "call_describe-loop",
    "call_fill-loop",
    "call_host-loop",
    "call_log-loop",
    "call_on-notice-loop",
    "call_on-timers-loop",
    "call_open-loop",
    "call_process-loop",
    "call_random-loop",
    "call_realloc-loop",
    "call_start-loop",
];

/// All the memory there is by default, filled for the first time and then again: the longest steps that nothing interrupts.
const LARGEST_FILL: &str = r#"
(func $process (type $process)
  (drop (memory.grow (i32.const 1000)))
  (loop $l (memory.fill (i32.const 0x1000) (i32.const 7) (i32.const 0x3f00000)) (br $l)) unreachable)"#;

/// The longest text that may be logged, again and again.
const LARGEST_LOG: &str = r#"
(import "wasmill:operator/log@0.1.0" "write" (func $log (param i32 i32 i32)))
(func $process (type $process)
  (drop (memory.grow (i32.const 1000)))
  (memory.fill (i32.const 0x1000) (i32.const 65) (i32.const 0xf00000))
  (loop $l (call $log (i32.const 4) (i32.const 0x1000) (i32.const 0xf00000)) (br $l)) unreachable)"#;

struct Late {
    wall_ms: f64,
    /// By the CPU time of the thread, which does not count that others had the core.
    cpu_ms: f64,
    guest: String,
    deadline_ms: u64,
}

pub(crate) fn figures(engine: &Engine) -> Result<Vec<Figure>> {
    let mut guests = Vec::new();
    for name in GUESTS {
        guests.push((name.to_owned(), Guest::hostile(engine, name)?));
    }
    for (name, text) in [("largest fill", LARGEST_FILL), ("largest log", LARGEST_LOG)] {
        guests.push((name.to_owned(), Plugin::compile(engine, &template::component(text)?)?));
    }
    let mut all = Vec::new();
    for (name, plugin) in &guests {
        for deadline_ms in DEADLINES_MS {
            for _ in 0..ROUNDS {
                all.push(stop(plugin, name, deadline_ms)?);
            }
        }
    }
    all.sort_by(|a, b| a.wall_ms.total_cmp(&b.wall_ms));
    let middle = all[all.len() / 2].wall_ms;
    let wall = &all[all.len() - 1];
    let cpu = all.iter().max_by(|a, b| a.cpu_ms.total_cmp(&b.cpu_ms)).expect("there are guests");
    let described = |late: &Late, ms: f64| format!("{ms:.1} ms ({}, {} ms)", late.guest, late.deadline_ms);
    Ok(vec![
        Figure {
            name: format!("endless loops of {} kinds end late, at most", guests.len()),
            demand: format!("<= {DEMAND_MS} ms"),
            measured: format!("{}, median {middle:.1} ms", described(wall, wall.wall_ms)),
            verdict: Verdict::of(wall.wall_ms <= DEMAND_MS),
            values: vec![("wall_ms_max", wall.wall_ms), ("wall_ms_median", middle)],
        },
        Figure {
            name: "  the same by CPU time of the thread".to_owned(),
            demand: String::new(),
            measured: described(cpu, cpu.cpu_ms),
            verdict: Verdict::None,
            values: vec![("cpu_ms_max", cpu.cpu_ms)],
        },
    ])
}

/// Calls until the deadline ends it; how much later that was.
fn stop(plugin: &Plugin, name: &str, deadline_ms: u64) -> Result<Late> {
    let deadline = Duration::from_millis(deadline_ms);
    let limits = Limits { call_deadline: deadline, ..Limits::default() };
    let batch = rows(16);
    let began = Began::now();
    let (error, taken) = match Guest::new(plugin.clone(), limits, "{}") {
        Ok(guest) => {
            let began = Began::now();
            match guest.start(guest.options()) {
                Ok(mut instance) => {
                    // Other calls before the one that never ends take microseconds.
                    let began = Began::now();
                    (guest.call_all(&mut instance, &batch).err(), began.taken())
                }
                Err(error) => (Some(error), began.taken()),
            }
        }
        Err(DescribeError::Call(error)) => (Some(error), began.taken()),
        Err(error) => bail!("{name}: {error}"),
    };
    let Some(CallError::Deadline { .. }) = error else {
        bail!("{name} was not stopped by its deadline of {deadline_ms} ms: {error:?}");
    };
    let late = |taken: Duration| (taken.as_secs_f64() - deadline.as_secs_f64()) * 1e3;
    Ok(Late { wall_ms: late(taken.0), cpu_ms: late(taken.1), guest: name.to_owned(), deadline_ms })
}

/// When a call began, by the clock and by the CPU time of this thread.
struct Began(Instant, Duration);

impl Began {
    fn now() -> Self {
        Self(Instant::now(), thread_time())
    }

    fn taken(&self) -> (Duration, Duration) {
        (self.0.elapsed(), thread_time() - self.1)
    }
}
