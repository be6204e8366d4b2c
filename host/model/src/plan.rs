//! The plan of a job: which vertices run as one chain, and which columns anybody reads.

use crate::{
    descriptor::Shape,
    graph::{Edge, Exchange, JobGraph, Role},
    spec::OnError,
};

mod drift;

pub use drift::InStep;

/// How a job graph is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub chains: Vec<Chain>,
    /// For each vertex, port and column: whether somebody downstream reads it. Only those are produced and carried.
    pub wanted: Vec<Vec<Vec<bool>>>,
}

/// Vertices joined by forward edges. One subtask runs one parallel instance of all of them, passing batches by
/// reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// In topological order. The first is a source, or takes its rows from exchanges; each other one takes them from
    /// exactly one before it.
    pub vertices: Vec<usize>,
    pub parallelism: u32,
}

impl Plan {
    /// Plans a checked job.
    pub fn new(graph: &JobGraph) -> Self {
        let mut chains: Vec<Chain> = Vec::new();
        for (place, vertex) in graph.vertices.iter().enumerate() {
            let producer = chained_to(graph, place);
            match producer.and_then(|from| chains.iter_mut().find(|c| c.vertices.contains(&from))) {
                Some(chain) => chain.vertices.push(place),
                None => chains.push(Chain { vertices: vec![place], parallelism: vertex.parallelism }),
            }
        }
        Self { chains, wanted: wanted_columns(graph) }
    }

    /// The chain that runs this vertex.
    pub fn chain_of(&self, vertex: usize) -> usize {
        self.chains.iter().position(|c| c.vertices.contains(&vertex)).expect("every vertex is in a chain")
    }

    /// Whether an edge stays inside a chain.
    pub fn is_inside(&self, edge: &Edge) -> bool {
        self.chain_of(edge.from) == self.chain_of(edge.to)
    }
}

/// The vertex whose chain this one joins: its only input comes to it by a forward exchange.
fn chained_to(graph: &JobGraph, vertex: usize) -> Option<usize> {
    let mut edges = graph.inputs_of(vertex);
    let edge = edges.next().filter(|edge| edge.exchange == Exchange::Forward)?;
    edges.next().is_none().then_some(edge.from)
}

fn wanted_columns(graph: &JobGraph) -> Vec<Vec<Vec<bool>>> {
    let nothing = |vertex: &crate::graph::Vertex| vertex.ports.iter().map(|p| vec![false; p.schema.len()]).collect();
    let mut wanted: Vec<Vec<Vec<bool>>> = graph.vertices.iter().map(nothing).collect();
    for vertex in (0..graph.vertices.len()).rev() {
        for edge in graph.inputs_of(vertex) {
            let needed = needed_of_input(graph, edge, &wanted[vertex]);
            for (column, needed) in wanted[edge.from][edge.port].iter_mut().zip(needed) {
                *column |= needed;
            }
        }
    }
    wanted
}

/// Which columns of an edge its consumer needs, given what is wanted of the consumer's ports.
fn needed_of_input(graph: &JobGraph, edge: &Edge, wanted_of_port: &[Vec<bool>]) -> Vec<bool> {
    let schema = &graph.vertices[edge.from].ports[edge.port].schema;
    let consumer = &graph.vertices[edge.to];
    let Role::Operator { descriptor, inputs, on_error, .. } = &consumer.role else { return vec![true; schema.len()] };
    if *on_error == OnError::DeadLetter {
        // A dead letter shows the whole row.
        return vec![true; schema.len()];
    }
    let mut needed = vec![false; schema.len()];
    let mut need = |name: &str| {
        if let Some(place) = schema.index_of(name) {
            needed[place] = true;
        }
    };
    descriptor.inputs[edge.input].columns.iter().for_each(|name| need(name));
    inputs[edge.input].key.iter().flatten().for_each(|name| need(name));
    for (port, wanted) in descriptor.ports.iter().zip(wanted_of_port) {
        let replaced = match &port.shape {
            Shape::Pass { input } if *input as usize == edge.input => &[][..],
            Shape::Extend { input, columns } if *input as usize == edge.input => columns,
            _ => continue,
        };
        for (place, field) in schema.fields().iter().enumerate() {
            if wanted[place] && !replaced.iter().any(|column| column.name == field.name) {
                need(&field.name);
            }
        }
    }
    needed
}
