//! One operator over a whole input, with what a host does between its calls: keys, cells, timers and the watermark. Plain, not
//! fast. Batches are cut, and instances replaced, as a test says.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::{
    Array, ArrayRef, UInt32Array,
    cast::AsArray,
    new_null_array,
    types::{Float64Type, Int64Type},
};
use arrow_select::concat::concat;
use wasmill_model::{
    Batch, DataType,
    descriptor::{Descriptor, Input},
    reply::{CellUpdate, Groups, Outcome, Reply, TimeDomain},
};
use wasmill_plugin::{CallTime, Instance, Limits, Plugin, describe};

use crate::{compile, instance};

/// A row that has left: its event time, if it has one, and its values as text, nulls as `null`.
pub type Row = (Option<i64>, Vec<String>);

/// How an input is handed over.
#[derive(Debug, Clone, Copy)]
pub struct Cuts {
    /// Batches have 1 to this many rows; which, the seed says.
    pub rows_max: usize,
    pub seed: u64,
    /// A new instance for every call.
    pub replace: bool,
    /// How far the watermark stays behind the latest row.
    pub behind_ms: i64,
}

/// A compiled operator with its configuration and input.
#[derive(Debug)]
pub struct Driver {
    name: String,
    config: String,
    plugin: Plugin,
    input: Input,
    descriptor: Descriptor,
}

/// What a run keeps.
struct Run<'d> {
    driver: &'d Driver,
    instance: Instance,
    replace: bool,
    watermark: i64,
    /// The key columns and cells of each key, one value an array.
    keys: BTreeMap<String, (ArrayRef, Vec<ArrayRef>)>,
    timers: BTreeSet<(i64, String)>,
    /// The rows that have left by each port.
    out: Vec<Vec<Row>>,
}

impl Driver {
    /// Asks the operator what it is; the message is its own.
    pub fn new(name: &str, config: &str, input: Input) -> Result<Self, String> {
        let plugin = compile(name);
        let descriptor = describe(&plugin, Limits::default(), config, std::slice::from_ref(&input));
        let descriptor = descriptor.map_err(|error| error.to_string())?;
        Ok(Self { name: name.to_owned(), config: config.to_owned(), plugin, input, descriptor })
    }

    /// The rows that leave by each port, sorted.
    pub fn run(&self, columns: &[ArrayRef], event_times: Option<&[i64]>, cuts: Cuts) -> Vec<Vec<Row>> {
        let mut run = Run {
            driver: self,
            instance: self.instance(),
            replace: cuts.replace,
            watermark: i64::MIN,
            keys: BTreeMap::new(),
            timers: BTreeSet::new(),
            out: vec![Vec::new(); self.descriptor.ports.len()],
        };
        let rows = columns[0].len();
        let mut whole = Batch::new(rows, columns.to_vec());
        whole.event_times = event_times.map(|times| times.to_vec().into());
        let (mut offset, mut seed) = (0, cuts.seed);
        while offset < rows {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let take = (1 + (seed >> 33) as usize % cuts.rows_max).min(rows - offset);
            let batch = whole.slice(offset, take);
            run.process(&batch);
            let latest = batch.event_times.iter().flat_map(|times| times.iter()).max();
            run.advance(latest.map_or(i64::MIN, |time| time.saturating_sub(cuts.behind_ms)));
            offset += take;
        }
        run.advance(i64::MAX);
        assert!(run.timers.is_empty());
        run.out.iter_mut().for_each(|rows| rows.sort());
        run.out
    }

    fn instance(&self) -> Instance {
        instance(&self.plugin, &self.name, &self.config, self.input.clone(), &self.descriptor)
    }

    /// The place of the key; tests have one key column.
    fn key_place(&self) -> Option<usize> {
        let key = self.input.key.as_ref().filter(|_| self.descriptor.inputs[0].keyed)?;
        self.input.schema.index_of(&key[0])
    }
}

impl Run<'_> {
    fn process(&mut self, batch: &Batch) {
        let keys = self.driver.key_place().map(|place| batch.column(place).clone());
        let grouping = keys.as_ref().map(|keys| self.grouping(keys));
        let state = grouping.as_ref().map_or_else(Vec::new, |(_, names)| self.state(names));
        let groups = grouping.as_ref().map(|(groups, _)| groups);
        let at = self.at();
        let reply = self.ready().process(at, 0, batch, groups, &state).expect("no row fails");
        self.apply(reply, batch, grouping.as_ref().map_or(&[], |(_, names)| names));
    }

    fn advance(&mut self, watermark: i64) {
        self.watermark = self.watermark.max(watermark);
        loop {
            let due: Vec<(i64, String)> =
                self.timers.iter().take_while(|(time, _)| *time <= self.watermark).take(7).cloned().collect();
            if due.is_empty() {
                return;
            }
            let keys: Vec<ArrayRef> = due.iter().map(|(_, key)| self.keys[key].0.clone()).collect();
            let keys = concat(&keys.iter().map(AsRef::as_ref).collect::<Vec<_>>()).expect("keys are of one type");
            let (groups, names) = self.grouping(&keys);
            let mut batch = Batch::new(due.len(), vec![keys]);
            batch.event_times = Some(due.iter().map(|(time, _)| *time).collect());
            let (at, state) = (self.at(), self.state(&names));
            let reply = self.ready().on_timers(at, TimeDomain::EventTime, &batch, &groups, &state);
            due.iter().for_each(|timer| _ = self.timers.remove(timer));
            self.apply(reply.expect("no timer fails"), &batch, &names);
        }
    }

    fn at(&self) -> CallTime {
        CallTime { now_ms: crate::AT.now_ms, watermark: self.watermark }
    }

    fn ready(&mut self) -> &mut Instance {
        if self.replace {
            self.instance = self.driver.instance();
        }
        &mut self.instance
    }

    /// The groups of these keys, and the name of each.
    fn grouping(&mut self, keys: &ArrayRef) -> (Groups, Vec<String>) {
        let mut names = Vec::new();
        let mut numbers = BTreeMap::new();
        let mut of_row = Vec::new();
        for row in 0..keys.len() {
            let name = shown(keys, row);
            let number = *numbers.entry(name.clone()).or_insert_with(|| {
                names.push(name.clone());
                names.len() as u32 - 1
            });
            of_row.push(number);
            let cells = self.driver.descriptor.value_cells().map(|cell| new_null_array(&cell.data_type.arrow(), 1));
            self.keys.entry(name).or_insert_with(|| (keys.slice(row, 1), cells.collect()));
        }
        (Groups { count: names.len() as u32, of_row: of_row.into() }, names)
    }

    fn state(&self, names: &[String]) -> Vec<ArrayRef> {
        let cell = |place: usize| {
            let values: Vec<&dyn Array> = names.iter().map(|name| self.keys[name].1[place].as_ref()).collect();
            concat(&values).expect("a cell has one type")
        };
        (0..self.driver.descriptor.value_cells().count()).map(cell).collect()
    }

    fn apply(&mut self, reply: Reply, batch: &Batch, names: &[String]) {
        for emission in reply.emissions {
            let leaving = match emission.rows {
                Outcome::DropAll => continue,
                Outcome::Unchanged => batch.clone(),
                Outcome::Keep(mask) => batch.keep(&mask),
                Outcome::Take(rows) => batch.take(&rows),
                Outcome::Extend { take, columns } => {
                    let all = || UInt32Array::from_iter_values(0..batch.rows as u32);
                    let mut leaving = batch.take(&take.unwrap_or_else(all));
                    leaving.columns.extend(columns.into_iter().map(Some));
                    leaving
                }
                Outcome::Replace(batch) => batch,
            };
            let values = |row: usize| leaving.columns.iter().flatten().map(|column| shown(column, row)).collect();
            let time = |row: usize| leaving.event_times.as_ref().map(|times| times[row]);
            self.out[emission.port].extend((0..leaving.rows).map(|row| (time(row), values(row))));
        }
        for (place, update) in reply.cells.into_iter().enumerate() {
            let (marked, values): (Vec<usize>, ArrayRef) = match update {
                CellUpdate::Unchanged => continue,
                CellUpdate::All(values) => ((0..names.len()).collect(), values),
                CellUpdate::Marked { groups, values } => (groups.set_indices().collect(), values),
            };
            for (value, group) in marked.into_iter().enumerate() {
                self.keys.get_mut(&names[group]).expect("it has a row").1[place] = values.slice(value, 1);
            }
        }
        for changes in reply.timers {
            for (group, time) in changes.groups.iter().zip(changes.times.iter()) {
                let timer = (*time, names[*group as usize].clone());
                if changes.set {
                    self.timers.insert(timer)
                } else {
                    self.timers.remove(&timer)
                };
            }
        }
    }
}

/// A value as text.
fn shown(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "null".to_owned();
    }
    match column.data_type() {
        known if *known == DataType::Int64.arrow() => column.as_primitive::<Int64Type>().value(row).to_string(),
        known if *known == DataType::Float64.arrow() => column.as_primitive::<Float64Type>().value(row).to_string(),
        known if *known == DataType::Boolean.arrow() => column.as_boolean().value(row).to_string(),
        known if *known == DataType::Utf8.arrow() => column.as_string_view().value(row).to_owned(),
        _ => format!("{:?}", column.as_binary_view().value(row)),
    }
}
