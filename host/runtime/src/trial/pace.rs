//! How fast an operator is on the rows of a fixture.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::UInt32Array;
use wasmill_model::Batch;

use super::{Script, Step, Trial};
use crate::{
    clock::Clock,
    counters::thread_cpu,
    error::Error,
    operator::{Conduct, Operator, OperatorUsage},
};

/// Rows that are handed over in turns: more would measure how the memory they lie in is read.
const BATCH_ROWS_MAX: usize = 1 << 16;

/// What a stretch of calls took.
#[derive(Debug, Clone)]
pub struct Pace {
    pub rows: u64,
    pub calls: u64,
    /// CPU time of the calls: grouping, state, the guest, checks and the rows that come out.
    pub cpu: Duration,
    /// The time that passed. Where others use the machine, more than the CPU time.
    pub wall: Duration,
    /// The part of `wall` from entering guest code to leaving it, arguments and results copied included.
    pub in_guest: Duration,
    /// Rows that were left out.
    pub rejected: u64,
    pub usage: OperatorUsage,
}

impl Trial {
    /// Runs the rows of a script in batches of this many, over and over, for about this time. `None`: there are no rows.
    /// Watermarks and timers are left out: this is about rows.
    ///
    /// # Errors
    /// The first call that fails the operator.
    pub fn pace(&self, script: &Script, rows_per_batch: usize, time: Duration) -> Result<Option<Pace>, Error> {
        let batches = self.batches(script, rows_per_batch);
        if batches.is_empty() {
            return Ok(None);
        }
        let conduct = Conduct { clock: Clock::by_hand(), renew: false, meter: true };
        let mut operator = self.operator(conduct, &Arc::default())?;
        // The first calls pay for memory that the later ones find.
        let warm = Instant::now() + time / 10;
        while Instant::now() < warm {
            turn(&mut operator, &batches)?;
        }
        let before = operator.usage().unwrap_or_default();
        let rejected = operator.rejected();
        let (began, cpu) = (Instant::now(), thread_cpu());
        let (mut rows, mut calls) = (0, 0);
        while calls == 0 || began.elapsed() < time {
            rows += turn(&mut operator, &batches)?;
            calls += batches.len() as u64;
        }
        let (cpu, wall) = (thread_cpu().saturating_sub(cpu), began.elapsed());
        let usage = operator.usage().unwrap_or_default();
        let in_guest = usage.instance.in_guest.saturating_sub(before.instance.in_guest);
        Ok(Some(Pace { rows, calls, cpu, wall, in_guest, rejected: operator.rejected() - rejected, usage }))
    }

    /// Full batches of each input, its rows repeated as often as it takes, the inputs in turns.
    fn batches(&self, script: &Script, rows_per_batch: usize) -> Vec<(usize, Batch)> {
        let mut of_inputs = Vec::new();
        for input in 0..self.times.len() {
            let rows = script.steps.iter().filter_map(|step| match step {
                Step::Rows { input: of, batches } if *of == input => Some(batches),
                _ => None,
            });
            let rows: Vec<Batch> = rows.flatten().map(|batch| self.with_event_times(input, batch)).collect();
            if rows.is_empty() {
                continue;
            }
            let all = Batch::concat(&rows);
            let batches = all.rows.min(BATCH_ROWS_MAX).div_ceil(rows_per_batch);
            let of_batch = |batch: usize| {
                let first = batch * rows_per_batch;
                let numbers = (first..first + rows_per_batch).map(|row| (row % all.rows) as u32);
                (input, all.take(&UInt32Array::from_iter_values(numbers)))
            };
            of_inputs.push((0..batches).map(of_batch).collect::<Vec<_>>());
        }
        let most = of_inputs.iter().map(Vec::len).max().unwrap_or(0);
        (0..most).flat_map(|i| of_inputs.iter().filter_map(move |batches| batches.get(i).cloned())).collect()
    }
}

/// Hands over each batch once: how many rows that were.
fn turn(operator: &mut Operator, batches: &[(usize, Batch)]) -> Result<u64, Error> {
    for (input, batch) in batches {
        operator.process(*input, batch)?;
    }
    Ok(batches.iter().map(|(_, batch)| batch.rows as u64).sum())
}
