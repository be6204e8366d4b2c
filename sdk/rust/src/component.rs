//! The inside of a component: the one instance it holds, and the names that `export!` needs.

use alloc::boxed::Box;
use core::cell::RefCell;

pub use alloc::{string::String, vec::Vec};

pub use crate::bindings::exports::wasmill::operator::guest::{
    Column, Context, Descriptor, Failure, Groups, Guest, Input, Notice, Reply, Rows, TimeDomain,
};
use crate::{
    memory::broken_contract,
    operator::{Instance, Operator},
};

/// The one instance in a component, empty until it is opened.
#[derive(Debug)]
pub struct Slot<O>(RefCell<Option<Box<Instance<O>>>>);

impl<O: Operator> Slot<O> {
    /// Before it is opened.
    pub const fn empty() -> Self {
        Self(RefCell::new(None))
    }

    /// Asks the operator what it is.
    pub fn describe(config: &str, inputs: &[Input]) -> Result<Descriptor, String> {
        O::describe(config, inputs).map_err(|error| Failure::from(error).message)
    }

    /// Makes the instance.
    pub fn open(&self, context: Context) -> Result<(), String> {
        let instance = Instance::open(context).map_err(|error| Failure::from(error).message)?;
        match self.0.try_borrow_mut() {
            Ok(mut slot) => *slot = Some(Box::new(instance)),
            Err(_) => broken_contract(),
        }
        Ok(())
    }

    /// Hands over rows.
    pub fn process(
        &self,
        input: u32,
        rows: Rows,
        groups: Option<Groups>,
        state: Vec<Column>,
    ) -> Result<Reply, Failure> {
        self.with(|instance| instance.process(input, rows, groups, state))
    }

    /// Hands over due timers.
    pub fn on_timers(
        &self,
        domain: TimeDomain,
        due: Rows,
        groups: Groups,
        state: Vec<Column>,
    ) -> Result<Reply, Failure> {
        self.with(|instance| instance.on_timers(domain, due, groups, state))
    }

    /// Hands over a notice.
    pub fn on_notice(&self, notice: Notice) -> Result<Reply, Failure> {
        self.with(|instance| instance.on_notice(notice))
    }

    fn with(&self, call: impl FnOnce(&mut Instance<O>) -> Result<Reply, Failure>) -> Result<Reply, Failure> {
        match self.0.try_borrow_mut().as_deref_mut() {
            Ok(Some(instance)) => call(instance),
            _ => broken_contract(),
        }
    }
}
