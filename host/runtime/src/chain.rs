//! A chain: the vertices of one subtask, passing batches to each other by reference.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use wasmill_connectors::{Sink, SinkPart};
use wasmill_flow::{Command, Event, NextTimers, Rounds};
use wasmill_model::{Batch, Timestamp, batch::ROWS_TARGET, ids::CheckpointId, time};
use wasmill_plugin::Notice;

use crate::{
    activity::{self, Doing},
    checkpoint::Taken,
    clock::now_us,
    counters::{Counters, CpuTime},
    error::Error,
    exchange::{Barrier, Element},
    operator::{Emitted, Operator},
    partition::Partitioner,
    taps::Taps,
};

/// One vertex of the chain.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Where the rows of each port go.
    pub(crate) outputs: Vec<Vec<Target>>,
    pub(crate) counters: Arc<Counters>,
    /// Its place in the graph, and the number of the subtask.
    pub(crate) vertex: u32,
    pub(crate) subtask: u32,
    /// In which order it is told of time and of the end.
    pub(crate) rounds: Rounds,
    pub(crate) tap: Option<Tap>,
}

/// Where the rows of a node can be looked at.
#[derive(Debug)]
pub(crate) struct Tap {
    pub(crate) taps: Arc<Taps>,
    /// The vertex's place in the graph.
    pub(crate) vertex: usize,
    pub(crate) subtask: u32,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// The head's rows come from outside the chain.
    Source,
    Operator(Box<Operator>),
    Sink(SinkNode),
}

/// A sink and the names for its errors.
pub(crate) struct SinkNode {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) subtask: u32,
}

impl std::fmt::Debug for SinkNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SinkNode").field("subtask", &self.subtask).finish_non_exhaustive()
    }
}

/// Where rows go: to an input of a node of the chain, or out of it.
#[derive(Debug)]
pub(crate) enum Target {
    Inside { node: usize, input: usize },
    Exchange(Partitioner),
}

/// The nodes of a subtask. The first is the head; every other one is fed by exactly one before it.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) nodes: Vec<Node>,
}

impl Chain {
    /// Lets a node handle rows of one of its inputs, and all nodes behind it what follows.
    pub(crate) fn process(&mut self, node: usize, input: usize, batch: &Batch) -> Result<(), Error> {
        let Node { name, kind, counters, vertex, .. } = &mut self.nodes[node];
        activity::set(Doing::Calling { vertex: *vertex });
        match kind {
            Kind::Source => panic!("a source has no input"),
            Kind::Operator(operator) => {
                let emitted = operator.process(input, batch)?;
                self.emit(node, emitted)
            }
            Kind::Sink(sink) => {
                let cpu = CpuTime::start();
                counters.batches.fetch_add(1, Relaxed);
                counters.rows_in.fetch_add(batch.rows as u64, Relaxed);
                sink.sink.write(batch).map_err(|source| sink_error(name, sink.subtask, source))?;
                counters.rows_out.fetch_add(batch.rows as u64, Relaxed);
                if let Some(read_at_us) = batch.read_at_us {
                    // Clocks of hosts differ: what has come before it was read took no time.
                    let took_us = now_us().saturating_sub(read_at_us).max(0);
                    counters.latency.record(took_us as u64, batch.rows as u64);
                }
                cpu.charge(counters);
                Ok(())
            }
        }
    }

    fn emit(&mut self, node: usize, emitted: Emitted) -> Result<(), Error> {
        for (port, batch) in emitted {
            self.deliver(node, port, &batch)?;
        }
        Ok(())
    }

    /// Hands rows of a node's port to everybody who reads it, in batches of at most the target size.
    pub(crate) fn deliver(&mut self, node: usize, port: usize, batch: &Batch) -> Result<(), Error> {
        if let Some(Tap { taps, vertex, subtask }) = &self.nodes[node].tap {
            taps.pass(*vertex, port, *subtask, batch);
        }
        if batch.rows <= ROWS_TARGET {
            return self.deliver_one(node, port, batch);
        }
        for offset in (0..batch.rows).step_by(ROWS_TARGET) {
            self.deliver_one(node, port, &batch.slice(offset, ROWS_TARGET.min(batch.rows - offset)))?;
        }
        Ok(())
    }

    fn deliver_one(&mut self, node: usize, port: usize, batch: &Batch) -> Result<(), Error> {
        for target in 0..self.nodes[node].outputs[port].len() {
            let Node { outputs, counters, .. } = &mut self.nodes[node];
            match &mut outputs[port][target] {
                Target::Inside { node, input } => {
                    let (node, input) = (*node, *input);
                    self.process(node, input, batch)?;
                }
                Target::Exchange(partitioner) => {
                    let cpu = CpuTime::start();
                    let sent = partitioner.send(batch);
                    counters.charge_blocked();
                    sent?;
                    cpu.charge(counters);
                }
            }
        }
        Ok(())
    }

    /// Runs a round of a node, and of all nodes behind it what follows from it.
    pub(crate) fn round(&mut self, node: usize, event: Event) -> Result<(), Error> {
        self.nodes[node].rounds.begin(event);
        self.go_round(node)?;
        let Node { counters, subtask, .. } = &self.nodes[node];
        match event {
            Event::Watermark(watermark) => counters.set_watermark(*subtask, watermark),
            Event::Idle | Event::End => counters.set_watermark(*subtask, time::MAX),
            Event::ProcessingTime(_) => {}
        }
        Ok(())
    }

    fn go_round(&mut self, node: usize) -> Result<(), Error> {
        loop {
            let Node { kind, rounds, vertex, .. } = &mut self.nodes[node];
            let Kind::Operator(operator) = kind else {
                match rounds.next(NextTimers { event_time: None, processing_time: None }) {
                    Some(command) => self.pass_on(node, command)?,
                    None => return Ok(()),
                }
                continue;
            };
            let Some(command) = rounds.next(operator.next_timers()) else { return Ok(()) };
            operator.set_watermark(rounds.watermark());
            activity::set(Doing::Calling { vertex: *vertex });
            let emitted = match command {
                Command::FireTimers { domain, up_to, max } => operator.fire(domain, up_to, max)?,
                Command::CloseTimers { domain } => operator.close_timers(domain),
                Command::NoticeWatermark(watermark) => operator.notice(Notice::Watermark(watermark))?,
                Command::NoticeEnd => operator.notice(Notice::EndOfInput)?,
                Command::Endless { domain } => return Err(operator.endless(domain)),
                forward => {
                    self.pass_on(node, forward)?;
                    continue;
                }
            };
            self.emit(node, emitted)?;
        }
    }

    /// Fires the processing-time timers of all nodes that are due.
    pub(crate) fn fire_processing_timers(&mut self, now_ms: Timestamp) -> Result<(), Error> {
        for node in 0..self.nodes.len() {
            self.round(node, Event::ProcessingTime(now_ms))?;
        }
        Ok(())
    }

    /// The earliest processing-time timer of all nodes.
    pub(crate) fn next_processing_time(&self) -> Option<Timestamp> {
        let operators = self.nodes.iter().filter_map(|node| match &node.kind {
            Kind::Operator(operator) => operator.next_timers().processing_time,
            _ => None,
        });
        operators.min()
    }

    /// The input is empty for the moment: lets sinks show what they have.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        self.each_sink(|sink| sink.flush())
    }

    /// When a sink wants to be flushed although nothing comes, at the earliest.
    pub(crate) fn flush_at(&self) -> Option<Instant> {
        let sinks = self.nodes.iter().filter_map(|node| match &node.kind {
            Kind::Sink(sink) => sink.sink.flush_at(),
            _ => None,
        });
        sinks.min()
    }

    /// All input has ended: makes the results durable, not yet visible.
    pub(crate) fn prepare(&mut self) -> Result<(), Error> {
        self.each_sink(|sink| sink.prepare().map(drop))
    }

    /// Sends a barrier to all subtasks that read from this one.
    pub(crate) fn send_barrier(&self, barrier: Barrier) -> Result<(), Error> {
        let targets = self.nodes.iter().flat_map(|node| node.outputs.iter().flatten());
        for target in targets {
            if let Target::Exchange(edge) = target {
                edge.send_control(&Element::Barrier(barrier))?;
            }
        }
        Ok(())
    }

    /// What each node gives to a checkpoint.
    pub(crate) fn take(&mut self, Barrier { checkpoint, kind }: Barrier) -> Result<Vec<Taken>, Error> {
        self.each_part(|sink| sink.checkpoint(checkpoint, kind))
    }

    /// What each node gives to all later checkpoints: its input has ended.
    pub(crate) fn take_end(&mut self) -> Result<Vec<Taken>, Error> {
        self.each_part(|sink| sink.prepare())
    }

    /// Makes visible what belongs to a checkpoint that is complete.
    pub(crate) fn completed(&mut self, checkpoint: CheckpointId) -> Result<(), Error> {
        self.each_sink(|sink| sink.completed(checkpoint))
    }

    /// Says to all that read from this subtask that nothing more comes. Its own operators had been told before.
    pub(crate) fn send_end(&self) -> Result<(), Error> {
        let targets = self.nodes.iter().flat_map(|node| node.outputs.iter().flatten());
        for target in targets {
            if let Target::Exchange(edge) = target {
                edge.send_control(&Element::End)?;
            }
        }
        Ok(())
    }

    fn each_part(
        &mut self,
        mut sink_part: impl FnMut(&mut dyn Sink) -> Result<SinkPart, wasmill_connectors::Error>,
    ) -> Result<Vec<Taken>, Error> {
        let mut parts = Vec::with_capacity(self.nodes.len());
        for Node { name, kind, counters, vertex, .. } in &mut self.nodes {
            activity::set(Doing::Calling { vertex: *vertex });
            let cpu = CpuTime::start();
            parts.push(match kind {
                Kind::Source => Taken::default(),
                Kind::Operator(operator) => Taken { state: operator.seal(), ..Taken::default() },
                Kind::Sink(sink) => {
                    let part = sink_part(&mut *sink.sink);
                    let sink = part.map_err(|source| sink_error(name, sink.subtask, source))?;
                    Taken { sink, ..Taken::default() }
                }
            });
            cpu.charge(counters);
        }
        Ok(parts)
    }

    /// Makes the results visible.
    pub(crate) fn commit(&mut self) -> Result<(), Error> {
        self.each_sink(|sink| sink.commit())
    }

    fn each_sink(
        &mut self,
        mut act: impl FnMut(&mut dyn Sink) -> Result<(), wasmill_connectors::Error>,
    ) -> Result<(), Error> {
        for Node { name, kind, counters, vertex, .. } in &mut self.nodes {
            if let Kind::Sink(sink) = kind {
                activity::set(Doing::Calling { vertex: *vertex });
                let cpu = CpuTime::start();
                act(&mut *sink.sink).map_err(|source| sink_error(name, sink.subtask, source))?;
                cpu.charge(counters);
            }
        }
        Ok(())
    }

    /// Hands a watermark, an idleness or the end to everybody who reads from a node.
    fn pass_on(&mut self, node: usize, command: Command) -> Result<(), Error> {
        let (event, element) = match command {
            Command::ForwardWatermark(watermark) => (Event::Watermark(watermark), Element::Watermark(watermark)),
            Command::ForwardIdle => (Event::Idle, Element::Idle),
            Command::ForwardEnd => (Event::End, Element::End),
            other => panic!("{other:?} is not for those behind a node"),
        };
        for port in 0..self.nodes[node].outputs.len() {
            for target in 0..self.nodes[node].outputs[port].len() {
                match &self.nodes[node].outputs[port][target] {
                    Target::Inside { node, .. } => self.round(*node, event)?,
                    Target::Exchange(edge) => edge.send_control(&element)?,
                }
            }
        }
        Ok(())
    }
}

fn sink_error(vertex: &str, subtask: u32, source: wasmill_connectors::Error) -> Error {
    Error::Sink { vertex: vertex.to_owned(), subtask, source }
}
