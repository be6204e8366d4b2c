//! Failed calls as capsules, and capsules as calls.

use wasmill_model::{
    Timestamp,
    descriptor::{Context, Descriptor},
    reply::TimeDomain,
};
use wasmtime::component::TypedFunc;

use super::{Instance, Running, error::CallError};
use crate::{
    binding::{
        arguments::{self, Column, Groups, Rows},
        ports::{Call, Caller},
        reply,
    },
    capsule::{self, Capsule, Failure},
    guest::CallTime,
    log::Level,
    plugin::Plugin,
};

/// What a capsule of an instance holds beside the call.
#[derive(Debug)]
pub(super) struct Recording {
    context: Context,
    descriptor: Descriptor,
    started_ms: Timestamp,
}

impl Recording {
    /// None, if nothing is recorded of this plugin.
    pub(super) fn of(
        plugin: &Plugin,
        context: &Context,
        descriptor: &Descriptor,
        started_ms: Timestamp,
    ) -> Option<Box<Self>> {
        plugin.recorder()?;
        Some(Box::new(Self { context: context.clone(), descriptor: descriptor.clone(), started_ms }))
    }

    /// Saves a call that failed, and says so in the operator's log. That it cannot be saved is no failure of the call.
    pub(super) fn save(
        &self,
        guest: &mut Running,
        at: Option<CallTime>,
        error: &CallError,
        call: impl FnOnce() -> Option<capsule::Call>,
    ) {
        if matches!(error, CallError::Dead { .. } | CallError::Interrupted { .. }) {
            return;
        }
        let Some(recorder) = guest.plugin.recorder().cloned() else { return };
        let make = || {
            Some(Capsule {
                digest: guest.plugin.digest(),
                component: None,
                context: self.context.clone(),
                descriptor: self.descriptor.clone(),
                limits: guest.limits.clone(),
                seed: guest.seed,
                calls_before: guest.calls.saturating_sub(1),
                started_ms: self.started_ms,
                at,
                call: call()?,
                reads: guest.store.data().reads.kept().to_vec(),
                failure: Failure::of(error),
            })
        };
        let (level, message) = match recorder.save(&self.context.operator, make) {
            Ok(None) => return,
            Ok(Some(path)) => (Level::Info, format!("the call that failed is saved in {}", path.display())),
            Err(error) => (Level::Warn, error.to_string()),
        };
        let now = guest.store.data().time.now_ms;
        guest.store.data_mut().log.write(now, level, &message);
    }
}

/// Arguments as they cross, in a form that lasts.
#[expect(clippy::unnecessary_wraps, reason = "it stands in for a call")]
pub(super) fn arguments_of(
    rows: Rows<'_>,
    groups: Option<Groups<'_>>,
    state: &[Column<'_>],
) -> Result<capsule::Arguments, CallError> {
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let column = |column: &Column<'_>| capsule::Column {
        validity: owned(column.validity),
        offsets: owned(column.offsets),
        values: column.values.to_vec(),
    };
    Ok(capsule::Arguments {
        rows: rows.count,
        event_times: owned(rows.event_times),
        columns: rows.columns.iter().map(column).collect(),
        groups: groups.map(|groups| (groups.count, groups.of_row.to_vec())),
        state: state.iter().map(column).collect(),
    })
}

fn columns(columns: &[capsule::Column]) -> Vec<Column<'_>> {
    columns
        .iter()
        .map(|column| Column {
            validity: column.validity.as_deref(),
            offsets: column.offsets.as_deref(),
            values: &column.values,
        })
        .collect()
}

fn rows<'a>(arguments: &'a capsule::Arguments, columns: &'a [Column<'a>]) -> Rows<'a> {
    Rows { count: arguments.rows, event_times: arguments.event_times.as_deref(), columns }
}

fn groups(arguments: &capsule::Arguments) -> Option<Groups<'_>> {
    arguments.groups.as_ref().map(|(count, of_row)| Groups { count: *count, of_row })
}

impl Instance {
    /// Makes the call of a capsule. The instance has been opened and has had no other call.
    pub(crate) fn call_again(&mut self, capsule: &Capsule) -> Result<(), CallError> {
        self.guest.calls = capsule.calls_before;
        self.guest.store.data_mut().reads.answer_again(&capsule.reads);
        let at = capsule.at;
        match &capsule.call {
            capsule::Call::Open => Ok(()),
            capsule::Call::Process { input, arguments } => {
                let (read, state) = (columns(&arguments.columns), columns(&arguments.state));
                let (rows, groups) = (rows(arguments, &read), groups(arguments));
                let result = self.guest.call("process", at, self.process, (*input, rows, groups, &state));
                let groups = groups.map(|groups| groups.count);
                let call = Call { of: Caller::Input(*input), rows: rows.count as usize, groups };
                self.answer("process", &call, result).map(drop)
            }
            capsule::Call::OnTimers { domain, arguments } => {
                let (read, state) = (columns(&arguments.columns), columns(&arguments.state));
                let (rows, groups) = (rows(arguments, &read), groups(arguments));
                let groups = groups.unwrap_or(Groups { count: 0, of_row: &[] });
                let domain = match domain {
                    TimeDomain::EventTime => arguments::TimeDomain::EventTime,
                    TimeDomain::ProcessingTime => arguments::TimeDomain::ProcessingTime,
                };
                let function: TypedFunc<arguments::OnTimers<'static>, reply::Results> =
                    self.guest.function(|exports| exports.on_timers);
                let result = self.guest.call("on-timers", at, function, (domain, rows, groups, &state));
                let call = Call { of: Caller::Timers, rows: rows.count as usize, groups: Some(groups.count) };
                self.answer("on-timers", &call, result).map(drop)
            }
            capsule::Call::OnNotice(notice) => {
                let at = at.unwrap_or(CallTime { now_ms: capsule.started_ms, watermark: Timestamp::MIN });
                self.on_notice(at, *notice).map(drop)
            }
        }
    }
}
