//! What instances take that live at one time: 5,000 of them, each after one call of 256 rows.

use std::{fs, time::Instant};

#[path = "../boundary/operators.rs"]
mod operators;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use operators::{AT, Operator, bids};

const INSTANCES: usize = 5_000;

/// What 5,000 may take beside what one takes.
const MB_MAX: usize = 300;

fn main() {
    let batch = bids(256);
    let call = |operator: &mut Operator| {
        operator.instance.process(AT, 0, &batch, None, &[]).expect("a good reply");
    };
    call(&mut Operator::start("keep"));
    let before = proportional_kb();
    let started = Instant::now();
    let mut operators: Vec<Operator> = (0..INSTANCES).map(|_| Operator::start("keep")).collect();
    report("opened", started, proportional_kb() - before);
    let started = Instant::now();
    operators.iter_mut().for_each(call);
    let kb = proportional_kb() - before;
    report("called", started, kb);
    assert!(kb / 1_024 <= MB_MAX, "{INSTANCES} instances take {} MB, over {MB_MAX}", kb / 1_024);
}

fn report(what: &str, started: Instant, kb: usize) {
    let us = started.elapsed().as_secs_f64() * 1e6 / INSTANCES as f64;
    println!("{INSTANCES} instances {what}: {:.1} KiB each, {us:.1} us each", kb as f64 / INSTANCES as f64);
}

/// Memory of this process, shared pages counted by their share.
fn proportional_kb() -> usize {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").expect("Linux says so");
    let line = rollup.lines().find(|line| line.starts_with("Pss:")).expect("it has a sum");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("a number of kB")
}
