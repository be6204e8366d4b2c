//! `wasmill run --explain`: the checked job, as a drawing and as JSON, without running it.

use serde_json::{Value, json};
use wasmill_model::{
    Schema,
    graph::{Role, Vertex},
};
use wasmill_runtime::Job;

mod drawing;

pub(crate) use drawing::draw;

/// For programs: one object.
pub(crate) fn json(job: &Job) -> Value {
    let graph = &job.graph;
    let vertices = graph.vertices.iter().enumerate().map(|(place, vertex)| {
        let ports = vertex.ports.iter().zip(&job.plan.wanted[place]).map(|(port, read)| {
            json!({ "name": port.name, "event_times": port.event_times, "schema": columns(&port.schema, read) })
        });
        json!({
            "name": vertex.name,
            "kind": kind(vertex),
            "parallelism": vertex.parallelism,
            "chain": job.plan.chain_of(place),
            "connector": text(vertex, "connector"),
            "path": paths(vertex),
            "plugin": text(vertex, "plugin"),
            "digest": job.digest(place).map(|digest| digest.to_string()),
            "ports": ports.collect::<Vec<_>>(),
        })
    });
    let edges = graph.edges.iter().map(|edge| {
        json!({
            "from": graph.vertices[edge.from].name,
            "port": graph.vertices[edge.from].ports[edge.port].name,
            "to": graph.vertices[edge.to].name,
            "input": edge.input,
            "exchange": edge.exchange.name(),
            "key": graph.key_of(edge),
            "chained": job.plan.is_inside(edge),
        })
    });
    let chains = job.plan.chains.iter().map(|chain| {
        let names: Vec<&str> = chain.vertices.iter().map(|&place| graph.vertices[place].name.as_str()).collect();
        json!({ "parallelism": chain.parallelism, "vertices": names })
    });
    json!({
        "job": graph.name,
        "bounded": job.is_bounded(),
        "slots": graph.slots(),
        "key_groups": graph.key_groups,
        "vertices": vertices.collect::<Vec<_>>(),
        "edges": edges.collect::<Vec<_>>(),
        "chains": chains.collect::<Vec<_>>(),
        "warnings": graph.warnings,
    })
}

fn columns(schema: &Schema, read: &[bool]) -> Vec<Value> {
    let fields = schema.fields().iter().zip(read);
    let column = fields.map(|(field, read)| {
        json!({ "name": field.name, "type": field.data_type.name(), "nullable": field.nullable, "read": read })
    });
    column.collect()
}

/// What a vertex is, in a word.
pub(crate) fn kind(vertex: &Vertex) -> &'static str {
    match vertex.role {
        Role::Source { .. } => "source",
        Role::Operator { .. } => "operator",
        Role::Sink => "sink",
    }
}

/// A value of the vertex's table that is a string.
fn text<'a>(vertex: &'a Vertex, name: &'static str) -> Option<&'a str> {
    vertex.spec.settings.get(name).and_then(|setting| setting.string().ok())
}

/// `path`, of which a source may have several.
fn paths(vertex: &Vertex) -> Vec<&str> {
    let Some(setting) = vertex.spec.settings.get("path") else { return Vec::new() };
    let items = setting.items().unwrap_or(std::slice::from_ref(setting));
    items.iter().filter_map(|item| item.string().ok()).collect()
}
