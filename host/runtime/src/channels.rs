//! The channels of an attempt, as far as one of their ends is here: gates, and senders into gates here and elsewhere.

use std::{collections::BTreeMap, sync::Arc};

use wasmill_model::{
    graph::{Edge, Exchange, Role},
    ids::Subtask,
};
use wasmill_wire::{Layout, Open};

use crate::{
    activity,
    exchange::{Gate, Meter, Sender, gate},
    job::Job,
    life::{Life, Stopper},
    net::{Inlets, Network},
    placement::Placement,
    row_limit::RowLimit,
};

/// What a subtask is made of, before its thread opens it.
pub(crate) struct Parts {
    pub(crate) limit: Option<Arc<RowLimit>>,
    pub(crate) feed: Option<(Gate, Vec<usize>)>,
    /// Of the gate, where each of its channels comes from.
    pub(crate) channels: Vec<activity::Channel>,
    /// Senders of each edge that leaves the chain here: the edge's place, one sender a reader.
    pub(crate) senders: Vec<(usize, Vec<Sender>)>,
}

/// Makes the channels of an attempt.
pub(crate) struct Channels<'a> {
    job: &'a Job,
    placement: &'a Placement,
    network: Option<&'a Network>,
    life: &'a Arc<Life>,
    /// Of the subtasks here.
    pub(crate) parts: BTreeMap<Subtask, Parts>,
    /// The gates here, with the edge of each of their channels.
    pub(crate) meters: Vec<(Meter, Vec<usize>)>,
    /// The ends of channels from elsewhere.
    pub(crate) inlets: Inlets,
}

/// One channel into a gate.
struct Channel {
    edge: usize,
    writer: Subtask,
}

impl<'a> Channels<'a> {
    pub(crate) fn new(
        job: &'a Job,
        placement: &'a Placement,
        network: Option<&'a Network>,
        life: &'a Arc<Life>,
    ) -> Self {
        let limit = job.bounds.rows.map(|rows| Arc::new(RowLimit::new(rows)));
        let all = job
            .plan
            .chains
            .iter()
            .enumerate()
            .flat_map(|(chain, of)| (0..of.parallelism).map(move |index| Subtask { chain: chain as u32, index }));
        let parts = all
            .filter(|subtask| placement.is_here(*subtask))
            .map(|subtask| {
                (subtask, Parts { limit: limit.clone(), feed: None, channels: Vec::new(), senders: Vec::new() })
            })
            .collect();
        Self { job, placement, network, life, parts, meters: Vec::new(), inlets: Inlets::new() }
    }

    /// Makes all of them, so that each writer has its senders in the order of the readers.
    pub(crate) fn connect(&mut self) {
        let (graph, plan) = (&self.job.graph, &self.job.plan);
        for (place, chain) in plan.chains.iter().enumerate() {
            let head = chain.vertices[0];
            if matches!(graph.vertices[head].role, Role::Source { .. }) {
                continue;
            }
            let edges: Vec<(usize, &Edge)> = graph.edges.iter().enumerate().filter(|(_, e)| e.to == head).collect();
            for index in 0..chain.parallelism {
                let reader = Subtask { chain: place as u32, index };
                let mut channels = Vec::new();
                for (edge, Edge { from, exchange, .. }) in &edges {
                    let from = plan.chain_of(*from);
                    let writers = match exchange {
                        Exchange::Forward => index..index + 1,
                        _ => 0..plan.chains[from].parallelism,
                    };
                    let writer = |index| Channel { edge: *edge, writer: Subtask { chain: from as u32, index } };
                    channels.extend(writers.map(writer));
                }
                if self.placement.is_here(reader) {
                    self.enter(reader, channels);
                } else {
                    self.leave(reader, channels);
                }
            }
        }
    }

    /// Channels to a subtask here: its gate.
    fn enter(&mut self, reader: Subtask, channels: Vec<Channel>) {
        let (gate, senders) = gate(channels.len());
        self.life.add(Stopper::Gate(gate.stopper()));
        self.meters.push((gate.meter(), channels.iter().map(|channel| channel.edge).collect()));
        let named = |channel: &Channel| activity::Channel { edge: channel.edge as u32, writer: channel.writer.index };
        let named = channels.iter().map(named).collect();
        let input_of_channel = channels.iter().map(|channel| self.job.graph.edges[channel.edge].input).collect();
        for (channel, sender) in channels.into_iter().zip(senders) {
            if self.placement.is_here(channel.writer) {
                self.give(&channel, Sender::Local(sender));
            } else {
                let (open, layout) = self.name(&channel, reader);
                self.inlets.insert(open, (sender.into_inlet(), layout));
            }
        }
        if let Some(parts) = self.parts.get_mut(&reader) {
            parts.feed = Some((gate, input_of_channel));
            parts.channels = named;
        }
    }

    /// Channels to a subtask elsewhere, of those that write here.
    fn leave(&mut self, reader: Subtask, channels: Vec<Channel>) {
        for channel in channels {
            if !self.placement.is_here(channel.writer) {
                continue;
            }
            let network = self.network.unwrap_or_else(|| panic!("no network leads to subtask {reader}"));
            let (open, layout) = self.name(&channel, reader);
            let sender = network.sender(self.placement.place(reader), open, &layout, self.life);
            self.give(&channel, Sender::Remote(Box::new(sender)));
        }
    }

    fn give(&mut self, channel: &Channel, sender: Sender) {
        let Some(parts) = self.parts.get_mut(&channel.writer) else { return };
        match parts.senders.iter_mut().find(|(edge, _)| *edge == channel.edge) {
            Some((_, senders)) => senders.push(sender),
            None => parts.senders.push((channel.edge, vec![sender])),
        }
    }

    /// What a channel is called between TaskManagers, and what its batches have.
    fn name(&self, channel: &Channel, reader: Subtask) -> (Open, Arc<Layout>) {
        let edge = &self.job.graph.edges[channel.edge];
        let port = &self.job.graph.vertices[edge.from].ports[edge.port];
        let wanted = &self.job.plan.wanted[edge.from][edge.port];
        let hashed = matches!(edge.exchange, Exchange::Hash { .. });
        let layout = Layout::new(port.schema.fields(), wanted, port.event_times, hashed);
        let open = Open {
            job: self.placement.job,
            attempt: self.placement.attempt,
            edge: channel.edge as u32,
            writer: channel.writer.index,
            reader: reader.index,
            layout: layout.fingerprint(),
        };
        (open, Arc::new(layout))
    }
}
