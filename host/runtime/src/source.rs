//! The source at the head of a chain: polling, event times, watermarks.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use arrow_array::{Array, cast::AsArray, types::Int64Type};
use serde_json::Value;
use wasmill_connectors::{Polled, ReadBefore, Source, SourceConfig, Split};
use wasmill_flow::{Event, Progress, WatermarkGenerator, WatermarkOptions};
use wasmill_model::{
    Batch,
    graph::{SourceTime, Vertex},
    ids::Subtask,
    portions::Asks,
    time,
};

use crate::{
    activity::{Activity, Doing},
    bad_rows::BadRows,
    chain::Chain,
    checkpoint::Checkpointer,
    clock::{now_ms, now_us},
    counters::{Counters, CpuTime},
    error::Error,
    row_limit::RowLimit,
    signal::{Signal, Wish},
    subtask,
};

/// The source of one subtask.
pub(crate) struct Head {
    vertex: String,
    /// With the chain that the source heads.
    subtask: Subtask,
    source: Box<dyn Source>,
    time: Option<SourceTime>,
    watermarks: Option<WatermarkGenerator>,
    /// For each port: the columns somebody downstream reads; the source may bring the event times besides.
    wanted: Vec<Vec<bool>>,
    limit: Option<Arc<RowLimit>>,
    counters: Arc<Counters>,
    activity: Arc<Activity>,
    bad_rows: BadRows,
    /// What it has asked for last.
    asked_for: Option<Asks>,
    /// The origin of the generator's clock.
    started: Instant,
}

/// What the source of a subtask is opened from.
pub(crate) struct Open<'a> {
    pub(crate) vertex: &'a Vertex,
    pub(crate) subtask: Subtask,
    pub(crate) config: &'a SourceConfig,
    /// All of the source.
    pub(crate) splits: &'a Arc<[Split]>,
    /// For each port and column: whether somebody downstream reads it.
    pub(crate) wanted: &'a [Vec<bool>],
    /// For each port: whether an edge leaves it.
    pub(crate) read: &'a [bool],
    pub(crate) time: Option<&'a SourceTime>,
    /// Of all sources of the attempt.
    pub(crate) limit: Option<Arc<RowLimit>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) activity: Arc<Activity>,
    pub(crate) bad_rows: BadRows,
    /// How far all subtasks of the source had read at the checkpoint that is gone on from.
    pub(crate) before: Option<ReadBefore>,
}

impl Head {
    /// Opens the source of a subtask.
    pub(crate) fn open(open: Open<'_>) -> Result<Self, Error> {
        let Open { vertex, subtask, config, splits, wanted, read, time, limit, counters, activity, bad_rows, before } =
            open;
        // Behind the ports of the connector may come that of the dead letters, which the host fills.
        let asked = wanted.iter().enumerate().take(config.ports().len()).map(|(port, columns)| {
            let mut columns = columns.clone();
            if let Some(column) = time.and_then(|time| time.column_of_port[port]) {
                columns[column] = true;
            }
            read[port].then_some(columns)
        });
        let asked: Vec<Option<Vec<bool>>> = asked.collect();
        let source = config.open(subtask.index, vertex.parallelism, splits, &asked, before.as_ref());
        let failed = |source| Error::Source { vertex: vertex.name.clone(), subtask: subtask.index, source };
        let source = source.map_err(failed)?;
        let started = Instant::now();
        let watermarks = time.map(|time| {
            let idle_after = (!config.bounded()).then_some(time.idle_after);
            let in_step = time.max_drift.is_some();
            let options = WatermarkOptions { out_of_order: time.out_of_order, idle_after, in_step };
            activity.has_source(idle_after);
            WatermarkGenerator::new(1, options, Duration::ZERO)
        });
        if watermarks.is_none() {
            activity.has_no_times();
        }
        Ok(Self {
            vertex: vertex.name.clone(),
            subtask,
            source,
            time: time.map(|time| {
                // Of a port that nobody reads there are no times either.
                let read = time.column_of_port.iter().zip(read);
                SourceTime { column_of_port: read.map(|(column, read)| column.filter(|_| *read)).collect(), ..*time }
            }),
            watermarks,
            wanted: wanted.to_vec(),
            limit,
            counters,
            activity,
            bad_rows,
            asked_for: None,
            started,
        })
    }

    /// Feeds the chain until the source ends or is told to.
    pub(crate) fn run(
        &mut self,
        chain: &mut Chain,
        signal: &Signal,
        checkpoints: &mut Option<Checkpointer>,
        report: &mut impl FnMut(subtask::Progress),
    ) -> Result<(), Error> {
        self.feed(chain, signal, checkpoints, report)?;
        // From here on nobody waits for it, however long its last timers take.
        self.activity.stand(Progress::Finished, None);
        self.counters.gauge(self.subtask.index).set_watermark(time::MAX);
        chain.round(0, Event::End)
    }

    /// How far it has read.
    pub(crate) fn positions(&self) -> Vec<Value> {
        self.source.positions()
    }

    fn feed(
        &mut self,
        chain: &mut Chain,
        signal: &Signal,
        checkpoints: &mut Option<Checkpointer>,
        report: &mut impl FnMut(subtask::Progress),
    ) -> Result<(), Error> {
        let mut looked_at = None;
        loop {
            let changes = signal.changes();
            if looked_at.replace(changes) != Some(changes) {
                self.follow(chain, signal, checkpoints)?;
            }
            if self.limit.as_ref().is_some_and(|limit| limit.is_spent()) {
                // Other sources may be waiting for rows that nobody wants any more.
                signal.raise(Wish::Drain);
            }
            match signal.get() {
                Wish::Run => {}
                Wish::Drain => return Ok(()),
                Wish::Commit | Wish::Stop => return Err(Error::Stopped),
            }
            let now = now_ms();
            if chain.next_processing_time().is_some_and(|at| at <= now) {
                chain.fire_processing_timers(now)?;
            }
            if self.is_ahead(signal) {
                chain.flush()?;
                let next_timer = chain.next_processing_time().unwrap_or(i64::MAX);
                let wait_ms = next_timer.saturating_sub(now).clamp(1, 1_000);
                let began = Instant::now();
                signal.wait(changes, Some(began + Duration::from_millis(wait_ms as u64)));
                self.counters.held_since(began);
                continue;
            }
            self.activity.set(Doing::Reading);
            let polled = self.poll(now)?;
            self.ask(report);
            match polled {
                Polled::Batch { port, batch } => {
                    self.bad_rows.passed(batch.rows as u64);
                    self.deliver(chain, port, batch)?;
                }
                Polled::Bad(rows) => {
                    if let Some(letters) = self.bad_rows.handle(rows)? {
                        chain.deliver(0, self.wanted.len() - 1, &letters)?;
                    }
                }
                Polled::Pending { retry_at_ms } => {
                    chain.flush()?;
                    self.fruitless(chain)?;
                    let next_timer = chain.next_processing_time().unwrap_or(i64::MAX);
                    let wait_ms = retry_at_ms.min(next_timer).saturating_sub(now).clamp(1, 1_000);
                    let began = Instant::now();
                    self.activity.set(Doing::WaitingForRows);
                    signal.wait(changes, Some(began + Duration::from_millis(wait_ms as u64)));
                    chain.nodes[0].counters.idle_since(began);
                }
                Polled::End => return Ok(()),
            }
        }
    }

    /// Does what has become due with a change: takes what was given, and a checkpoint's part.
    fn follow(
        &mut self,
        chain: &mut Chain,
        signal: &Signal,
        checkpoints: &mut Option<Checkpointer>,
    ) -> Result<(), Error> {
        if self.asked_for.is_some()
            && let Some(given) = signal.given(self.subtask)
        {
            self.source.give(&given);
        }
        let Some(checkpoints) = checkpoints else { return Ok(()) };
        checkpoints.follow(chain, signal)?;
        match checkpoints.wanted(signal) {
            Some(barrier) => checkpoints.take(chain, barrier, Some(self.positions())),
            None => Ok(()),
        }
    }

    /// Asks for more before all was read, once each time.
    fn ask(&mut self, report: &mut impl FnMut(subtask::Progress)) {
        if let Some(asks) = self.source.asks().filter(|asks| self.asked_for != Some(*asks)) {
            self.asked_for = Some(asks);
            report(subtask::Progress::Asks(asks));
        }
    }

    /// Whether it has to wait for other sources.
    fn is_ahead(&mut self, signal: &Signal) -> bool {
        let now = self.started.elapsed();
        let Some(watermarks) = self.watermarks.as_mut().filter(|watermarks| watermarks.is_in_step()) else {
            return false;
        };
        if let Some(limit) = signal.limit(self.subtask) {
            watermarks.set_limit(limit);
            self.activity.limit(limit);
        }
        let is_ahead = watermarks.ahead_of(now).is_some();
        if is_ahead {
            self.activity.keep(Doing::Ahead);
        }
        is_ahead
    }

    fn poll(&mut self, now: i64) -> Result<Polled, Error> {
        let cpu = CpuTime::start();
        let mut polled = self.source.poll(now).map_err(|source| Error::Source {
            vertex: self.vertex.clone(),
            subtask: self.subtask.index,
            source,
        })?;
        if let Polled::Batch { batch, .. } = &mut polled {
            if let Some(limit) = &self.limit {
                match limit.take(batch.rows) {
                    // Another source had the last rows: as if this poll had not been made.
                    0 => return Ok(Polled::End),
                    rows if rows < batch.rows => *batch = batch.slice(0, rows),
                    _ => {}
                }
            }
            batch.read_at_us = Some(now_us());
            self.activity.rows();
            self.counters.batches.fetch_add(1, Relaxed);
            self.counters.rows_out.fetch_add(batch.rows as u64, Relaxed);
        }
        if let Some(progress) = self.source.progress() {
            self.counters.gauge(self.subtask.index).set_progress(progress);
        }
        cpu.charge(&self.counters);
        Ok(polled)
    }

    fn deliver(&mut self, chain: &mut Chain, port: usize, mut batch: Batch) -> Result<(), Error> {
        let column = self.time.as_ref().and_then(|time| time.column_of_port[port]);
        if let Some(column) = column {
            set_event_times(&mut batch, column);
            if !self.wanted[port][column] {
                batch.columns[column] = None;
            }
        }
        let latest = batch.event_times.as_ref().and_then(|times| times.iter().copied().max());
        // While those behind are slow the source is not polled, and that is no silence of the source.
        if let Some(watermarks) = &mut self.watermarks {
            watermarks.blocked(self.started.elapsed());
        }
        chain.deliver(0, port, &batch)?;
        let Some(watermarks) = &mut self.watermarks else { return Ok(()) };
        let now = self.started.elapsed();
        watermarks.unblocked(now);
        let progress = watermarks.rows(0, latest, now);
        self.pass_on(chain, progress)
    }

    /// A poll has brought nothing.
    fn fruitless(&mut self, chain: &mut Chain) -> Result<(), Error> {
        let progress = self.watermarks.as_mut().and_then(|watermarks| watermarks.advance(self.started.elapsed()));
        self.pass_on(chain, progress)
    }

    fn pass_on(&self, chain: &mut Chain, progress: Option<Progress>) -> Result<(), Error> {
        let gauge = self.counters.gauge(self.subtask.index);
        if let Some(progress) = progress {
            self.activity.stand(progress, None);
        }
        match progress {
            Some(Progress::Watermark(watermark)) => gauge.set_watermark(watermark),
            Some(Progress::Idle | Progress::Finished) => gauge.set_watermark(time::MAX),
            None => {}
        }
        match progress {
            Some(Progress::Watermark(watermark)) => chain.round(0, Event::Watermark(watermark)),
            Some(Progress::Idle) => chain.round(0, Event::Idle),
            // The end is told by the source itself.
            Some(Progress::Finished) | None => Ok(()),
        }
    }
}

/// Takes the event times of rows from one of their columns.
pub(crate) fn set_event_times(batch: &mut Batch, column: usize) {
    let times = batch.column(column).as_primitive::<Int64Type>();
    assert_eq!(times.null_count(), 0, "the checker refuses event times that may be null");
    batch.event_times = Some(times.values().clone());
}
