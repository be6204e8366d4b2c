//! `wasi:cli`: nothing around the program, and its two output streams.

use wasmtime::{
    StoreContextMut,
    component::{LinkerInstance, Resource},
};

use super::{
    Exit,
    io::{InputStream, OutputStream, STDERR, STDOUT},
};
use crate::guest::Guest;

/// A terminal to read from. There is none.
pub(super) enum TerminalInput {}
/// A terminal to write to. There is none.
pub(super) enum TerminalOutput {}

type Cx<'a> = StoreContextMut<'a, Guest>;

fn open<T: 'static>(cx: &mut Cx<'_>, number: u32) -> Resource<T> {
    cx.data_mut().handles.open(number)
}

/// Offers a function of this package; false if there is no answer to it.
pub(super) fn offer(at: &mut LinkerInstance<'_, Guest>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    match (interface, name) {
        ("environment", "get-environment") => at.func_wrap(name, |_, ()| Ok((Vec::<(String, String)>::new(),)))?,
        ("environment", "get-arguments") => at.func_wrap(name, |_, ()| Ok((Vec::<String>::new(),)))?,
        ("environment", "initial-cwd") => at.func_wrap(name, |_, ()| Ok((None::<String>,)))?,
        ("exit", "exit") => at.func_wrap(name, |_, (status,): (Result<(), ()>,)| -> wasmtime::Result<()> {
            Err(Exit(u8::from(status.is_err())).into())
        })?,
        ("exit", "exit-with-code") => {
            at.func_wrap(name, |_, (code,): (u8,)| -> wasmtime::Result<()> { Err(Exit(code).into()) })?
        }
        ("stdin", "get-stdin") => at.func_wrap(name, |mut cx: Cx<'_>, ()| Ok((open::<InputStream>(&mut cx, 0),)))?,
        ("stdout", "get-stdout") => {
            at.func_wrap(name, |mut cx: Cx<'_>, ()| Ok((open::<OutputStream>(&mut cx, STDOUT),)))?
        }
        ("stderr", "get-stderr") => {
            at.func_wrap(name, |mut cx: Cx<'_>, ()| Ok((open::<OutputStream>(&mut cx, STDERR),)))?
        }
        ("terminal-stdin", _) => at.func_wrap(name, |_, ()| Ok((None::<Resource<TerminalInput>>,)))?,
        ("terminal-stdout" | "terminal-stderr", _) => {
            at.func_wrap(name, |_, ()| Ok((None::<Resource<TerminalOutput>>,)))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}
