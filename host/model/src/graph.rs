//! The job graph: a job file whose every edge has been resolved, typed and checked, before anything starts.

use std::{sync::Arc, time::Duration};

use crate::{
    dead_letters,
    descriptor::{Descriptor, Input},
    fault::{Code, Coded},
    keys,
    schema::{DataType, Field, Schema},
    settings::{Error, did_you_mean},
    spec::{
        BadRowPolicy, CheckpointsSpec, EventTime, ExchangeSpec, InputSpec, JobSpec, LimitsSpec, OnError, OperatorSpec,
        RoleSpec, VertexSpec,
    },
};

mod check;

/// What the checker must ask others: what a connector's schemas are, what a plugin says it is.
pub trait Catalogue {
    /// The ports of a source.
    fn source(&mut self, vertex: &VertexSpec) -> Result<Vec<(String, Schema)>, Error>;
    /// Whether a sink takes these rows.
    fn sink(&mut self, vertex: &VertexSpec, schema: &Schema) -> Result<(), Error>;
    /// What an operator is on these inputs, and the limits of its instances: those of the job file, and where that says
    /// nothing, those that its plugin wants.
    fn operator(
        &mut self,
        vertex: &VertexSpec,
        operator: &OperatorSpec,
        inputs: &[Input],
    ) -> Result<(Descriptor, LimitsSpec), Error>;
}

/// A checked job. Vertices stand in topological order: an edge goes from a lower to a higher place.
#[derive(Debug, Clone)]
pub struct JobGraph {
    pub name: String,
    pub key_groups: u32,
    /// As the job file wishes; `None`: it takes none.
    pub checkpoints: Option<CheckpointsSpec>,
    pub vertices: Vec<Vertex>,
    pub edges: Vec<Edge>,
    /// What is odd but allowed, a sentence each.
    pub warnings: Vec<String>,
}

/// A source, an operator or a sink.
#[derive(Debug, Clone)]
pub struct Vertex {
    pub name: String,
    pub parallelism: u32,
    pub role: Role,
    /// Its outputs; a sink has none.
    pub ports: Vec<PortSchema>,
    pub spec: Arc<VertexSpec>,
}

/// What a vertex does.
#[derive(Debug, Clone)]
pub enum Role {
    Source { event_time: Option<SourceTime>, bad_rows: BadRowPolicy },
    Operator { descriptor: Arc<Descriptor>, inputs: Vec<Input>, config: String, limits: LimitsSpec, on_error: OnError },
    Sink,
}

/// Where a source's event times come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTime {
    /// The column of each port; `None`: the rows of that port have no event time.
    pub column_of_port: Vec<Option<usize>>,
    pub out_of_order: Duration,
    pub idle_after: Duration,
    /// How far its watermark may be ahead of the others' of its group; `None`: however far.
    pub max_drift: Option<Duration>,
}

/// A named output with the rows it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSchema {
    pub name: String,
    pub schema: Schema,
    pub event_times: bool,
}

/// From a port of one vertex to an input of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    pub from: usize,
    pub port: usize,
    pub to: usize,
    pub input: usize,
    pub exchange: Exchange,
}

/// How rows find their subtask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// Subtask i to subtask i.
    Forward,
    /// By the key group of these columns.
    Hash { key: Vec<usize> },
    /// In turn, a batch each.
    Rebalance,
    /// All rows to all subtasks.
    Broadcast,
}

impl Exchange {
    /// The name in interfaces.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Hash { .. } => "hash",
            Self::Rebalance => "rebalance",
            Self::Broadcast => "broadcast",
        }
    }
}

impl JobGraph {
    /// The columns that an edge's rows are dealt out by; none unless that is by their hash.
    pub fn key_of(&self, edge: &Edge) -> Vec<&str> {
        let Exchange::Hash { key } = &edge.exchange else { return Vec::new() };
        let fields = self.vertices[edge.from].ports[edge.port].schema.fields();
        key.iter().map(|&place| fields[place].name.as_str()).collect()
    }

    /// Checks a job file.
    pub fn check(spec: &JobSpec, catalogue: &mut dyn Catalogue) -> Result<Self, Error> {
        let order = topological_order(spec)?;
        let mut graph = Self {
            name: spec.name.clone(),
            key_groups: spec.key_groups,
            checkpoints: spec.checkpoints,
            vertices: Vec::new(),
            edges: Vec::new(),
            warnings: Vec::new(),
        };
        for place in order {
            graph.add(spec, &spec.vertices[place], catalogue)?;
        }
        graph.warn_of_unread_ports();
        Ok(graph)
    }

    /// Edges into a vertex, in the order of its inputs.
    pub fn inputs_of(&self, vertex: usize) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |e| e.to == vertex)
    }

    /// Edges out of a vertex.
    pub fn outputs_of(&self, vertex: usize) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |e| e.from == vertex)
    }

    /// Slots the job needs: one for each parallel instance of the whole graph.
    pub fn slots(&self) -> u32 {
        self.vertices.iter().map(|v| v.parallelism).max().unwrap_or(0)
    }

    fn add(&mut self, spec: &JobSpec, vertex: &VertexSpec, catalogue: &mut dyn Catalogue) -> Result<(), Error> {
        let to = self.vertices.len();
        let mut inputs = Vec::new();
        for (place, input) in vertex.inputs().iter().enumerate() {
            let (from, port) = self.resolve(spec, input)?;
            let key = self.key_columns(from, port, input)?;
            let produced = &self.vertices[from].ports[port];
            let names = |key: &Vec<usize>| key.iter().map(|&i| produced.schema.fields()[i].name.clone()).collect();
            inputs.push(Input {
                schema: produced.schema.clone(),
                key: key.as_ref().map(names),
                event_times: produced.event_times,
            });
            let exchange = self.exchange(from, port, vertex, input, key)?;
            self.edges.push(Edge { from, port, to, input: place, exchange });
        }
        let (role, ports) = match &vertex.role {
            RoleSpec::Source { event_time, bad_rows } => {
                let (event_time, mut ports) = source_ports(vertex, event_time.as_ref(), catalogue)?;
                if bad_rows.on_error == OnError::DeadLetter {
                    ports.push(dead_letters_port());
                }
                (Role::Source { event_time, bad_rows: *bad_rows }, ports)
            }
            RoleSpec::Operator(operator) => operator_role(vertex, operator, inputs, catalogue)?,
            RoleSpec::Sink { .. } => {
                catalogue.sink(vertex, &inputs[0].schema)?;
                (Role::Sink, Vec::new())
            }
        };
        self.vertices.push(Vertex {
            name: vertex.name.clone(),
            parallelism: vertex.parallelism,
            role,
            ports,
            spec: Arc::new(vertex.clone()),
        });
        Ok(())
    }

    /// The vertex and port an input names.
    fn resolve(&self, spec: &JobSpec, input: &InputSpec) -> Result<(usize, usize), Error> {
        let (name, port) = input.source()?;
        let from = self.vertices.iter().position(|v| v.name == name).ok_or_else(|| unknown(spec, input, name))?;
        let ports = &self.vertices[from].ports;
        let names: Vec<&str> = ports.iter().map(|p| p.name.as_str()).collect();
        let place = match port {
            Some(port) => names.iter().position(|n| *n == port),
            None => match names.iter().filter(|name| **name != dead_letters::PORT).count() {
                1 => Some(0),
                _ => names.iter().position(|n| *n == "out"),
            },
        };
        place.map(|place| (from, place)).ok_or_else(|| match port {
            Some(port) => {
                let hint = did_you_mean(port, &names).unwrap_or_else(|| format!("its ports are: {}", names.join(", ")));
                let message = format!("`{name}` has no port `{port}`");
                input.from.error_with_hint(message, hint).coded(Code::UnknownPort)
            }
            None => {
                let hint = format!("write `{name}.PORT`; its ports are: {}", names.join(", "));
                let message = format!("`{name}` has several ports");
                input.from.error_with_hint(message, hint).coded(Code::AmbiguousPort)
            }
        })
    }

    fn key_columns(&self, from: usize, port: usize, input: &InputSpec) -> Result<Option<Vec<usize>>, Error> {
        let Some(setting) = &input.key_by else { return Ok(None) };
        let schema = &self.vertices[from].ports[port].schema;
        let mut key = Vec::new();
        for name in setting.strings()? {
            let Some(place) = schema.index_of(&name) else {
                let names: Vec<&str> = schema.names().collect();
                let hint = did_you_mean(&name, &names).unwrap_or_else(|| format!("the rows are {schema}"));
                let message = format!("there is no column `{name}` to key by");
                return Err(setting.error_with_hint(message, hint).coded(Code::UnknownColumn));
            };
            if key.contains(&place) {
                return Err(setting.error(format!("column `{name}` is named twice")).coded(Code::DuplicateColumn));
            }
            key.push(place);
        }
        let fields: Vec<Field> = key.iter().map(|&i| schema.fields()[i].clone()).collect();
        keys::check_key_types(&fields).map_err(|e| {
            let hint = "key by another column, or read it as `utf8` or `int64`";
            setting.error_with_hint(e.to_string(), hint).coded(e.code())
        })?;
        Ok(Some(key))
    }

    fn exchange(
        &self,
        from: usize,
        port: usize,
        vertex: &VertexSpec,
        input: &InputSpec,
        key: Option<Vec<usize>>,
    ) -> Result<Exchange, Error> {
        let producer = &self.vertices[from];
        let same_width = producer.parallelism == vertex.parallelism;
        Ok(match (key, input.exchange) {
            (Some(key), _) if same_width && self.keeps_key(from, port, &key) => Exchange::Forward,
            (Some(key), _) => Exchange::Hash { key },
            (None, Some(ExchangeSpec::Rebalance)) => Exchange::Rebalance,
            (None, Some(ExchangeSpec::Broadcast)) => Exchange::Broadcast,
            (None, Some(ExchangeSpec::Forward)) if !same_width => {
                let message = format!(
                    "a forward exchange needs equal parallelism: `{}` has {}, `{}` has {}",
                    producer.name, producer.parallelism, vertex.name, vertex.parallelism
                );
                return Err(input.from.error(message).coded(Code::ForwardParallelism));
            }
            (None, _) if same_width => Exchange::Forward,
            (None, _) => Exchange::Rebalance,
        })
    }

    /// Whether the rows of a port already stand in the subtask of this key: the producer is keyed by the same
    /// columns, in the same order, and hands them on untouched.
    fn keeps_key(&self, from: usize, port: usize, key: &[usize]) -> bool {
        let producer = &self.vertices[from];
        let Role::Operator { descriptor, inputs, .. } = &producer.role else { return false };
        let fields = producer.ports[port].schema.fields();
        let kept = check::kept_key(descriptor, port, inputs);
        kept.is_some_and(|own| key.iter().map(|&i| fields[i].name.as_str()).eq(own.iter().map(String::as_str)))
    }

    fn warn_of_unread_ports(&mut self) {
        for (place, vertex) in self.vertices.iter().enumerate() {
            // Ports are an offer; rows of which none go anywhere are more likely an oversight.
            if self.edges.iter().any(|edge| edge.from == place) {
                continue;
            }
            match vertex.ports.as_slice() {
                [] => {}
                [port] => self.warnings.push(format!("nobody reads port `{}` of `{}`", port.name, vertex.name)),
                _ => self.warnings.push(format!("nobody reads any port of `{}`", vertex.name)),
            }
        }
    }
}

fn source_ports(
    vertex: &VertexSpec,
    event_time: Option<&EventTime>,
    catalogue: &mut dyn Catalogue,
) -> Result<(Option<SourceTime>, Vec<PortSchema>), Error> {
    let ports = catalogue.source(vertex)?;
    let Some(event_time) = event_time else {
        let ports = ports.into_iter().map(|(name, schema)| PortSchema { name, schema, event_times: false });
        return Ok((None, ports.collect()));
    };
    let name = event_time.column.string()?;
    let column_of_port: Vec<Option<usize>> = ports.iter().map(|(_, schema)| schema.index_of(name)).collect();
    let Some((schema, place)) = ports.iter().zip(&column_of_port).find_map(|((_, s), p)| p.map(|p| (s, p))) else {
        let names: Vec<&str> = ports.iter().flat_map(|(_, schema)| schema.names()).collect();
        let hint = did_you_mean(name, &names).unwrap_or_else(|| format!("there are: {}", names.join(", ")));
        let error = event_time.column.error_with_hint(format!("there is no column `{name}`"), hint);
        return Err(error.coded(Code::UnknownColumn));
    };
    let field = &schema.fields()[place];
    if field.data_type != DataType::Timestamp || field.nullable {
        let message = format!("an event time is a `timestamp` that is never null; the column is `{field}`");
        let hint = format!("with `{name} = \"timestamp\"` in `schema`, a null is a bad row");
        let error = event_time.column.error(message).coded(Code::EventTimeType);
        let may_be_null = field.data_type == DataType::Timestamp;
        return Err(Error { hint: may_be_null.then_some(hint), ..error });
    }
    let ports = ports.into_iter().zip(&column_of_port);
    let ports = ports.map(|((name, schema), column)| PortSchema { name, schema, event_times: column.is_some() });
    let ports = ports.collect();
    let EventTime { out_of_order, idle_after, max_drift, .. } = *event_time;
    let time = SourceTime { column_of_port, out_of_order, idle_after, max_drift };
    Ok((Some(time), ports))
}

/// The port that dead letters leave by. It comes last.
fn dead_letters_port() -> PortSchema {
    PortSchema { name: dead_letters::PORT.to_owned(), schema: dead_letters::schema(), event_times: false }
}

fn operator_role(
    vertex: &VertexSpec,
    operator: &OperatorSpec,
    inputs: Vec<Input>,
    catalogue: &mut dyn Catalogue,
) -> Result<(Role, Vec<PortSchema>), Error> {
    let (descriptor, limits) = catalogue.operator(vertex, operator, &inputs)?;
    check::descriptor(vertex, operator, &descriptor, &inputs)?;
    let ports = (0..descriptor.ports.len()).map(|port| PortSchema {
        name: descriptor.ports[port].name.clone(),
        schema: descriptor.port_schema(port, &inputs),
        event_times: check::port_has_event_times(&descriptor, port, &inputs),
    });
    let mut ports: Vec<PortSchema> = ports.collect();
    if operator.on_error == OnError::DeadLetter {
        let name = dead_letters::PORT.to_owned();
        if ports.iter().any(|port| port.name == name) {
            let message = format!("operator `{}` has a port `{name}` of its own", vertex.name);
            let error = operator.plugin.error_with_hint(message, "choose another `on_error` for it");
            return Err(error.coded(Code::JobFileNameTaken));
        }
        ports.push(dead_letters_port());
    }
    let role = Role::Operator {
        descriptor: Arc::new(descriptor),
        inputs,
        config: operator.config.clone(),
        limits,
        on_error: operator.on_error,
    };
    Ok((role, ports))
}

/// Places of the job file's vertices so that every vertex comes after those it reads from; otherwise in file order.
fn topological_order(spec: &JobSpec) -> Result<Vec<usize>, Error> {
    let mut order: Vec<usize> = Vec::new();
    while order.len() < spec.vertices.len() {
        let mut waiting = None;
        let mut found = None;
        for (place, vertex) in spec.vertices.iter().enumerate().filter(|(place, _)| !order.contains(place)) {
            let mut ready = true;
            for input in vertex.inputs() {
                let (name, _) = input.source()?;
                let from = spec.vertex(name).ok_or_else(|| unknown(spec, input, name))?;
                if matches!(spec.vertices[from].role, RoleSpec::Sink { .. }) {
                    let message = format!("`{name}` is a sink: nothing comes out of it");
                    return Err(input.from.error(message).coded(Code::SinkAsInput));
                }
                ready &= order.contains(&from);
            }
            if ready {
                found = Some(place);
                break;
            }
            waiting.get_or_insert(vertex);
        }
        match (found, waiting) {
            (Some(place), _) => order.push(place),
            (None, Some(waiting)) => return Err(circle(spec, &order, waiting)),
            (None, None) => break,
        }
    }
    Ok(order)
}

/// The error about the circle that a vertex waits for.
fn circle(spec: &JobSpec, order: &[usize], waiting: &VertexSpec) -> Error {
    let place_of = |name: &str| spec.vertex(name).expect("every input's vertex was looked up before");
    let mut names = vec![waiting.name.as_str()];
    let start = loop {
        let inputs = spec.vertices[place_of(names[names.len() - 1])].inputs().iter();
        let mut sources = inputs.filter_map(|input| input.source().ok()).map(|(name, _)| name);
        let next = sources.find(|name| !order.contains(&place_of(name))).expect("who waits has an input that waits");
        let seen = names.iter().position(|name| *name == next);
        names.push(next);
        if let Some(start) = seen {
            break start;
        }
    };
    let message = format!("`{}` is part of a circle: it reads, through others, from itself", names[start]);
    let hint = format!("the circle: {}", names[start..].join(" reads from "));
    let error = spec.vertices[place_of(names[start])].settings.error(message).coded(Code::Circle);
    Error { hint: Some(hint), ..error }
}

fn unknown(spec: &JobSpec, input: &InputSpec, name: &str) -> Error {
    let producers = spec.vertices.iter().filter(|v| !matches!(v.role, RoleSpec::Sink { .. }));
    let names: Vec<&str> = producers.map(|v| v.name.as_str()).collect();
    input.unknown_vertex(name, &names)
}

#[cfg(test)]
mod tests;
