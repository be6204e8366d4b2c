//! The arguments of calls, borrowed: `rows`, `column`, `groups`, `notice` of the contract.

use wasmtime::component::{ComponentType, Lower};

#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Column<'a> {
    pub(crate) validity: Option<&'a [u8]>,
    pub(crate) offsets: Option<&'a [u8]>,
    pub(crate) values: &'a [u8],
}

impl Column<'_> {
    pub(crate) const EMPTY: Self = Self { validity: None, offsets: None, values: &[] };
}

#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Rows<'a> {
    pub(crate) count: u32,
    #[component(name = "event-times")]
    pub(crate) event_times: Option<&'a [u8]>,
    pub(crate) columns: &'a [Column<'a>],
}

#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Groups<'a> {
    pub(crate) count: u32,
    #[component(name = "of-row")]
    pub(crate) of_row: &'a [u8],
}

#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum TimeDomain {
    #[component(name = "event-time")]
    EventTime,
    #[component(name = "processing-time")]
    ProcessingTime,
}

#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(variant)]
pub(crate) enum Notice {
    #[component(name = "watermark")]
    Watermark(i64),
    #[component(name = "end-of-input")]
    EndOfInput,
}

/// Input, rows, groups, state.
pub(crate) type Process<'a> = (u32, Rows<'a>, Option<Groups<'a>>, &'a [Column<'a>]);
/// Domain, due timers, groups, state.
pub(crate) type OnTimers<'a> = (TimeDomain, Rows<'a>, Groups<'a>, &'a [Column<'a>]);
pub(crate) type OnNotice = (Notice,);
