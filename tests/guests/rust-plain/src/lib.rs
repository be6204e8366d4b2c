//! An operator on the bare bindings, for the tests and benches of the host.
//!
//! Its configuration is `{"mode": ...}`, with `"lasting": true` for cells without a time to live, `"renamed": true` for cells under new names; each mode drives one answer of the contract, one mistake in an answer
//! (`mistakes`), one way to misbehave (`hostile`), or one rule that is broken silently (`breaks`). `modes` says what each mode declares.

use std::cell::{Cell, RefCell};

wit_bindgen::generate!({ path: "../../../wit", world: "operator" });

mod breaks;
mod bytes;
mod entries;
mod every_type;
mod hostile;
mod mistakes;
mod modes;
mod work;

use exports::wasmill::operator::guest::{
    Column, Context, Descriptor, Failure, Groups, Guest, Input, Notice, Reply, Rows, TimeDomain,
};

struct Operator;

thread_local! {
    static MODE: RefCell<String> = const { RefCell::new(String::new()) };
    /// Whether the mode is one of `work`.
    static HARMLESS: Cell<bool> = const { Cell::new(true) };
}

/// The value of `"mode"` in a flat JSON object.
fn mode_of(config: &str) -> String {
    let value = config.split_once("\"mode\"").and_then(|(_, rest)| rest.split('"').nth(1));
    value.unwrap_or_default().to_owned()
}

impl Guest for Operator {
    fn describe(config: String, inputs: Vec<Input>) -> Result<Descriptor, String> {
        let mode = mode_of(&config);
        hostile::describe(&mode);
        let mut descriptor = modes::describe(&mode, &inputs)?;
        if config.contains("\"lasting\"") {
            descriptor.cells.iter_mut().for_each(|cell| cell.ttl_ms = None);
        }
        if config.contains("\"renamed\"") {
            for cell in &mut descriptor.cells {
                let now = format!("{}_now", cell.name);
                cell.renamed_from = Some(std::mem::replace(&mut cell.name, now));
            }
        }
        Ok(descriptor)
    }

    fn open(context: Context) -> Result<(), String> {
        let mode = mode_of(&context.config);
        hostile::open(&mode)?;
        entries::open(&mode);
        if mode == "context" {
            wasmill::operator::log::write(wasmill::operator::log::Level::Info, &format!("{context:?}"));
        }
        HARMLESS.set(!mode.contains(':'));
        MODE.set(mode);
        Ok(())
    }

    fn process(input: u32, rows: Rows, groups: Option<Groups>, state: Vec<Column>) -> Result<Reply, Failure> {
        MODE.with_borrow(|mode| {
            if !HARMLESS.get() {
                if let Some(result) = hostile::process(mode, &rows) {
                    return result;
                }
                if let Some(reply) = breaks::process(mode, &rows) {
                    return Ok(reply);
                }
                if let Some(reply) = mistakes::process(mode, &rows) {
                    return Ok(reply);
                }
            }
            work::process(mode, input, rows, groups, state)
        })
    }

    fn on_timers(domain: TimeDomain, due: Rows, groups: Groups, state: Vec<Column>) -> Result<Reply, Failure> {
        MODE.with_borrow(|mode| work::on_timers(mode, domain, due, groups, state))
    }

    fn on_notice(notice: Notice) -> Result<Reply, Failure> {
        MODE.with_borrow(|mode| work::on_notice(mode, notice))
    }
}

export!(Operator);
