//! Which sources are to keep in step: those whose rows meet in an operator, if one of them says how far it may run ahead.
//!
//! A sink keeps nothing that grows with the distance of its inputs, so rows that meet in a sink alone do not count.

use std::time::Duration;

use crate::{
    graph::{JobGraph, Role},
    plan::Plan,
};

/// A source whose watermark others are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InStep {
    /// The chain that it heads.
    pub chain: usize,
    /// Sources of one number are held against each other.
    pub group: usize,
    /// How far it may be ahead of the slowest of its group; `None`: however far, but others wait for it.
    pub max_drift: Option<Duration>,
}

impl Plan {
    /// The sources that keep in step, in the order of the graph.
    pub fn in_step(&self, graph: &JobGraph) -> Vec<InStep> {
        let groups = groups(graph);
        let sources = graph.vertices.iter().enumerate().filter_map(|(place, vertex)| {
            let Role::Source { event_time: Some(time), .. } = &vertex.role else { return None };
            // Where no rows with an event time leave, there is no watermark that could ever rise.
            let has_times = graph.outputs_of(place).any(|edge| vertex.ports[edge.port].event_times);
            let in_step = InStep { chain: self.chain_of(place), group: groups[place], max_drift: time.max_drift };
            has_times.then_some(in_step)
        });
        let sources: Vec<InStep> = sources.collect();
        let waits = |group| sources.iter().any(|source| source.group == group && source.max_drift.is_some());
        sources.iter().filter(|source| waits(source.group)).copied().collect()
    }
}

/// Of each vertex, a number that it shares with all whose rows meet its own in an operator.
fn groups(graph: &JobGraph) -> Vec<usize> {
    let mut groups: Vec<usize> = (0..graph.vertices.len()).collect();
    for edge in &graph.edges {
        if !matches!(graph.vertices[edge.to].role, Role::Sink) {
            let (one, other) = (groups[edge.from], groups[edge.to]);
            groups.iter_mut().filter(|group| **group == other).for_each(|group| *group = one);
        }
    }
    groups
}
