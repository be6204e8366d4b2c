//! What crosses between host and guest, in the form that crosses: the types of `wit/operator.wit`, written by hand so that
//! arguments are lowered from Arrow's own buffers, and answers become Arrow's without a copy.

pub(crate) mod arguments;
pub(crate) mod columns;
pub(crate) mod descriptor;
pub(crate) mod lower;
pub(crate) mod ports;
pub(crate) mod reply;
mod views;

#[cfg(target_endian = "big")]
compile_error!("arguments are lowered as they lie in memory, which must be little-endian");
