//! Dead letters: rows that a source with `on_error = "dead_letter"` could not read, or such an operator could not handle.
//!
//! Each of them has one more port, `dead_letters`, and the job one more sink, which `[dead_letter]` describes. So dead
//! letters come out under the same commit as all other results, and can be read by other operators too.

use std::path::Path;

use crate::{
    fault::Code,
    schema::{DataType, Field, Schema},
    settings::{Error, Setting, Settings, Value},
    spec::{InputSpec, OnError, RoleSpec, VertexSpec},
};

/// The port of a source or operator that dead letters leave by. It comes after its own.
pub const PORT: &str = "dead_letters";

/// The table of the sink, and the sink's name.
pub const SINK: &str = "dead_letter";

/// The columns of a dead letter; `docs/reference/dead-letters.md` says what each means.
pub fn schema() -> Schema {
    use DataType::{Int64, Timestamp, Utf8};
    let fields = vec![
        Field::new("at", Timestamp),
        Field::nullable("operator", Utf8),
        Field::new("subtask", Int64),
        Field::new("call", Utf8),
        Field::nullable("input", Int64),
        Field::nullable("position", Int64),
        Field::nullable("event_time", Timestamp),
        Field::new("kind", Utf8),
        Field::new("reason", Utf8),
        Field::nullable("backtrace", Utf8),
        Field::nullable("log", Utf8),
        Field::nullable("plugin", Utf8),
        Field::new("row", Utf8),
        Field::nullable("source", Utf8),
        Field::nullable("file", Utf8),
        Field::nullable("line", Int64),
        Field::nullable("column", Utf8),
    ];
    Schema::new(fields).expect("the names are unique")
}

/// The sink of dead letters, if anybody has some. Without a table they go to `JOB.dead-letters.jsonl` beside the
/// job file.
pub(crate) fn sink(settings: &Settings, job: &str, vertices: &[VertexSpec]) -> Result<Option<VertexSpec>, Error> {
    let table = settings.get(SINK).map(|setting| setting.table().cloned()).transpose()?;
    let senders = vertices.iter().filter_map(|vertex| match &vertex.role {
        RoleSpec::Operator(operator) if operator.on_error == OnError::DeadLetter => {
            Some((vertex, &operator.plugin.origin))
        }
        RoleSpec::Source { bad_rows, .. } if bad_rows.on_error == OnError::DeadLetter => {
            Some((vertex, vertex.settings.origin()))
        }
        _ => None,
    });
    let inputs = senders.map(|(vertex, origin)| {
        let from = Value::String(format!("{}.{PORT}", vertex.name));
        let from = Setting { value: from, origin: origin.clone(), key: SINK.to_owned() };
        InputSpec { from, key_by: None, exchange: None }
    });
    let inputs: Vec<InputSpec> = inputs.collect();
    if inputs.is_empty() {
        return match table {
            Some(table) => {
                let message = "no source or operator has `on_error = \"dead_letter\"`: nothing would come here";
                Err(table.error(message).coded(Code::JobFileConflict))
            }
            None => Ok(None),
        };
    }
    if let Some(other) = vertices.iter().find(|vertex| vertex.name == SINK) {
        let message = format!("the name `{SINK}` is that of the dead letters' sink");
        return Err(other.settings.error(message).coded(Code::JobFileNameTaken));
    }
    let settings = match table {
        Some(table) => table,
        None => {
            let text = format!("connector = \"file\"\npath = \"{job}.dead-letters.jsonl\"\nformat = \"json\"\n");
            Settings::parse(Path::new("default of [dead_letter]"), &text)?
        }
    };
    let role = RoleSpec::Sink { inputs };
    Ok(Some(VertexSpec { name: SINK.to_owned(), parallelism: 1, role, settings }))
}
