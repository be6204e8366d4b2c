//! Lines for the operator's log.
//!
//! ```
//! use wasmill_sdk::log;
//! log::info!("{} rows were too late", 3);
//! ```
//!
//! A line over 1,024 bytes is cut; lines over the host's rate are counted and dropped.

pub use crate::bindings::wasmill::operator::log::Level;
pub use crate::{
    __log_debug as debug, __log_error as error, __log_info as info, __log_trace as trace, __log_warn as warn,
};

/// Writes a line. The macros of this module are shorter.
pub fn write(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    crate::bindings::wasmill::operator::log::write(level, message);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::host::write_log(level, message);
}

#[doc(hidden)]
pub fn write_arguments(level: Level, arguments: core::fmt::Arguments<'_>) {
    match arguments.as_str() {
        Some(text) => write(level, text),
        None => write(level, &alloc::fmt::format(arguments)),
    }
}

/// Writes a line at level trace.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace {
    ($($argument:tt)+) => { $crate::log::write_arguments($crate::log::Level::Trace, ::core::format_args!($($argument)+)) };
}

/// Writes a line at level debug.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($argument:tt)+) => { $crate::log::write_arguments($crate::log::Level::Debug, ::core::format_args!($($argument)+)) };
}

/// Writes a line at level info.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($argument:tt)+) => { $crate::log::write_arguments($crate::log::Level::Info, ::core::format_args!($($argument)+)) };
}

/// Writes a line at level warn.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($argument:tt)+) => { $crate::log::write_arguments($crate::log::Level::Warn, ::core::format_args!($($argument)+)) };
}

/// Writes a line at level error.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($argument:tt)+) => { $crate::log::write_arguments($crate::log::Level::Error, ::core::format_args!($($argument)+)) };
}
