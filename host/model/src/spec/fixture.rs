//! The file of a fixture, `fixture.toml`: under which configuration, and on which inputs, an operator is tried.
//!
//! Its keys are those a job file has for the same thing. `docs/reference/fixtures.md` lists them.

use std::path::Path;

use super::{
    Error, EventTime, ExchangeSpec, InputSpec, JobSpec, LimitsSpec, OnError, OperatorSpec, RoleSpec, Setting, Settings,
    VertexSpec, conflict, read_config, read_event_time, read_key_by, read_on_error,
};
use crate::{
    fault::Code,
    keys::KEY_GROUPS_DEFAULT,
    schema::{DataType, Schema},
    settings::{Origin, Value},
};

/// Inputs that a fixture can have.
const INPUTS_MAX: usize = 64;

/// A fixture's file, read.
#[derive(Debug, Clone)]
pub struct FixtureSpec {
    /// At least one.
    pub inputs: Vec<FixtureInput>,
    /// `config` as JSON text.
    pub config: String,
    pub limits: LimitsSpec,
    pub on_error: OnError,
    /// Whether the order of the rows of a port is compared.
    pub order: Order,
    /// Text of the error that the operator must end in; none: it must not fail.
    pub fails: Option<String>,
    origin: Origin,
}

/// Whether the order of rows counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Rows are compared in the order in which they were emitted.
    #[default]
    Emitted,
    /// Rows are compared as a bag.
    Any,
}

/// One input of a fixture.
#[derive(Debug, Clone)]
pub struct FixtureInput {
    pub schema: Schema,
    /// The name of the file with its rows, if it is written.
    pub rows: Option<Setting>,
    key_by: Option<Setting>,
    event_time: Option<EventTime>,
    /// Where errors about the input as a whole belong.
    schema_setting: Setting,
    table: Settings,
}

impl FixtureSpec {
    /// Reads a fixture's file.
    ///
    /// # Errors
    /// The first key that is missing, wrong or unknown.
    pub fn read(settings: &Settings) -> Result<Self, Error> {
        let inputs = match settings.get("inputs") {
            None => vec![FixtureInput::read(settings)?],
            Some(inputs) => {
                if let Some(both) = settings.get("schema") {
                    return Err(conflict(both, "`schema` and `inputs` are both written: keep one"));
                }
                let tables = inputs.items()?;
                if tables.is_empty() || tables.len() > INPUTS_MAX {
                    return Err(
                        inputs.out_of_range(format!("expected 1 to {INPUTS_MAX} inputs, found {}", tables.len()))
                    );
                }
                let inputs = tables.iter().map(|item| {
                    let table = item.table()?;
                    table.require("rows")?;
                    let input = FixtureInput::read(table)?;
                    table.finish()?;
                    Ok(input)
                });
                inputs.collect::<Result<_, Error>>()?
            }
        };
        const ORDERS: [(&str, Order); 2] = [("emitted", Order::Emitted), ("any", Order::Any)];
        let order = settings.optional("order", |s| s.choice(&ORDERS.map(|(name, _)| name)))?;
        let fixture = Self {
            inputs,
            config: read_config(settings)?,
            limits: settings.optional("limits", |s| LimitsSpec::read(s.table()?))?.unwrap_or_default(),
            // A trial is to find out which rows fail and why, not only that one does.
            on_error: read_on_error(settings)?.unwrap_or(OnError::DeadLetter),
            order: order.map_or(Order::Emitted, |place| ORDERS[place].1),
            fails: settings.optional("fails", |s| s.string().map(str::to_owned))?,
            origin: settings.origin().clone(),
        };
        settings.finish()?;
        Ok(fixture)
    }

    /// The job of the sources `input-0`, `input-1` and so on, and the operator that reads them. Rows that it does not want
    /// are dead letters, whether they are to be kept or to be skipped.
    pub fn job(&self, name: &str, operator: &str, plugin: &Path) -> JobSpec {
        let setting = |value: String, origin: &Origin, key: &str| Setting {
            value: Value::String(value),
            origin: origin.clone(),
            key: key.to_owned(),
        };
        let mut vertices = Vec::new();
        let mut inputs = Vec::new();
        for (place, input) in self.inputs.iter().enumerate() {
            let source = format!("input-{place}");
            inputs.push(InputSpec {
                from: setting(source.clone(), &input.schema_setting.origin, &input.schema_setting.key),
                key_by: input.key_by.clone(),
                // Whoever is not given rows by key is given all of them.
                exchange: (self.inputs.len() > 1 && input.key_by.is_none()).then_some(ExchangeSpec::Broadcast),
            });
            vertices.push(VertexSpec {
                name: source,
                parallelism: 1,
                role: RoleSpec::Source { bad_rows: Default::default(), event_time: input.event_time.clone() },
                settings: input.table.clone(),
            });
        }
        let on_error = if self.on_error == OnError::Fail { OnError::Fail } else { OnError::DeadLetter };
        let spec = OperatorSpec {
            plugin: setting(plugin.to_string_lossy().into_owned(), &self.origin, ""),
            inputs,
            config: self.config.clone(),
            limits: self.limits.clone(),
            on_error,
        };
        vertices.push(VertexSpec {
            name: operator.to_owned(),
            parallelism: 1,
            role: RoleSpec::Operator(spec),
            settings: self.inputs[0].table.clone(),
        });
        JobSpec { name: name.to_owned(), parallelism: 1, key_groups: KEY_GROUPS_DEFAULT, checkpoints: None, vertices }
    }
}

impl FixtureInput {
    fn read(table: &Settings) -> Result<Self, Error> {
        let setting = table.require("schema")?;
        let schema = setting.schema()?;
        if let Some(field) = schema.fields().iter().find(|field| field.data_type == DataType::Binary) {
            let message = format!("column `{}` is of type binary, which a text format cannot hold", field.name);
            return Err(setting.error_with_hint(message, "read it as utf8").coded(Code::FormatColumnType));
        }
        let rows = table.get("rows").cloned();
        if let Some(rows) = &rows {
            rows.string()?;
        }
        Ok(Self {
            schema,
            rows,
            key_by: read_key_by(table)?,
            event_time: table.optional("event_time", read_event_time)?,
            schema_setting: setting.clone(),
            table: table.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<FixtureSpec, String> {
        let settings = Settings::parse(Path::new("fixture.toml"), text).map_err(|e| e.to_string())?;
        FixtureSpec::read(&settings).map_err(|e| e.to_string())
    }

    #[test]
    fn one_input_stands_at_the_top() {
        let text = "schema = { k = \"utf8\", at = \"timestamp\" }\nkey_by = [\"k\"]\nevent_time = { column = \"at\" }\n\
                    config = { n = 1 }\nlimits = { memory = \"1MiB\" }\norder = \"any\"\n";
        let fixture = read(text).expect("it is well formed");
        assert_eq!(fixture.config, "{\"n\":1}");
        assert_eq!((fixture.order, fixture.on_error), (Order::Any, OnError::DeadLetter));
        assert_eq!(fixture.limits.memory_bytes, Some(1 << 20));
        let job = fixture.job("f", "score", Path::new("./score.wasm"));
        let names: Vec<&str> = job.vertices.iter().map(|vertex| vertex.name.as_str()).collect();
        assert_eq!(names, ["input-0", "score"]);
        assert_eq!(job.vertices[1].inputs().len(), 1);
    }

    #[test]
    fn several_inputs_are_tables() {
        let text = "[[inputs]]\nschema = { a = \"int64\" }\nrows = \"a.csv\"\n[[inputs]]\nschema = { b = \"utf8?\" }\nrows = \"b.jsonl\"\n";
        let fixture = read(text).expect("it is well formed");
        assert_eq!(fixture.inputs.len(), 2);
        assert_eq!(fixture.job("f", "o", Path::new("./o.wasm")).vertices[2].inputs().len(), 2);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, expect) in [
            ("", "fixture.toml:1: `schema` is missing"),
            ("\nschem = {}", "fixture.toml:2: schem: unknown key `schem`\n  hint: did you mean `schema`?"),
            ("schema = { a = \"int\" }", "fixture.toml:1: schema.a: expected a type"),
            ("schema = { a = \"binary\" }", "fixture.toml:1: schema: column `a` is of type binary"),
            ("schema = {}\nordr = \"any\"", "fixture.toml:2: ordr: unknown key `ordr`\n  hint: did you mean `order`?"),
            ("schema = {}\norder = \"sorted\"", "fixture.toml:2: order: expected one of \"emitted\" or \"any\""),
            ("schema = {}\non_error = \"ignore\"", "fixture.toml:2: on_error: expected one of"),
            ("schema = {}\nlimits = { memry = 1 }", "fixture.toml:2: limits.memry: unknown key"),
            ("schema = {}\nkey_by = []", "fixture.toml:2: key_by: `key_by` names no column"),
            ("schema = {}\n[[inputs]]\nschema = {}", "fixture.toml:1: schema: `schema` and `inputs` are both written"),
            ("[[inputs]]\nschema = {}", "fixture.toml:1: inputs[0]: `rows` is missing"),
            ("inputs = []", "fixture.toml:1: inputs: expected 1 to 64 inputs, found 0"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.starts_with(expect), "{text}\n{error}");
        }
    }
}
