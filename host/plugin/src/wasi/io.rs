//! `wasi:io`: an input at its end, two outputs that are the log, and waiting that is over at once.

use wasmtime::{
    StoreContextMut,
    component::{ComponentType, LinkerInstance, Lower, Resource, WasmList},
};

use crate::{guest::Guest, log::Stream};

/// What went wrong with a stream. Nothing does: no handle of it is ever made.
pub(super) enum IoError {}
/// Something to wait for. It has happened.
pub(super) enum Pollable {}
/// Standard input, or a file.
pub(super) enum InputStream {}
/// Standard output, standard error, or a file.
pub(super) enum OutputStream {}

/// What the handles of the two output streams hold.
pub(super) const STDOUT: u32 = 1;
pub(super) const STDERR: u32 = 2;

/// Bytes a guest is told it may write at once.
const WRITE_BYTES: u64 = 4_096;

#[derive(ComponentType, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    #[expect(dead_code, reason = "part of the interface; no operation fails")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

type Cx<'a> = StoreContextMut<'a, Guest>;
type Input = Resource<InputStream>;
type Output = Resource<OutputStream>;
type Done = Result<(), StreamError>;

/// Offers a function of this package; false if there is no answer to it.
pub(super) fn offer(at: &mut LinkerInstance<'_, Guest>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    match interface {
        "poll" => poll(at, name),
        "streams" => Ok(input(at, name)? || output(at, name)?),
        _ => Ok(false),
    }
}

fn pollable(cx: &mut Cx<'_>) -> Resource<Pollable> {
    cx.data_mut().handles.open(0)
}

fn poll(at: &mut LinkerInstance<'_, Guest>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "[method]pollable.ready" => at.func_wrap(name, |_, (_,): (Resource<Pollable>,)| Ok((true,)))?,
        "[method]pollable.block" => at.func_wrap(name, |_, (_,): (Resource<Pollable>,)| Ok(()))?,
        "poll" => at.func_wrap(name, |_, (all,): (Vec<Resource<Pollable>>,)| {
            Ok(((0u32..).take(all.len()).collect::<Vec<u32>>(),))
        })?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn input(at: &mut LinkerInstance<'_, Guest>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => {
            at.func_wrap(name, |_, (_, _): (Input, u64)| Ok((Err::<Vec<u8>, _>(StreamError::Closed),)))?;
        }
        "[method]input-stream.skip" | "[method]input-stream.blocking-skip" => {
            at.func_wrap(name, |_, (_, _): (Input, u64)| Ok((Err::<u64, _>(StreamError::Closed),)))?;
        }
        "[method]input-stream.subscribe" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (_,): (Input,)| Ok((pollable(&mut cx),)))?
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn output(at: &mut LinkerInstance<'_, Guest>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "[method]output-stream.check-write" => {
            at.func_wrap(name, |_, (_,): (Output,)| Ok((Ok::<_, StreamError>(WRITE_BYTES),)))?;
        }
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (stream, bytes): (Output, WasmList<u8>)| {
                let bytes = bytes.as_le_slice(&cx).to_vec();
                write(&mut cx, &stream, &bytes);
                Ok((Done::Ok(()),))
            })?;
        }
        "[method]output-stream.write-zeroes" | "[method]output-stream.blocking-write-zeroes-and-flush" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (stream, len): (Output, u64)| {
                // More would not fit a line of the log.
                let zeroes = [0; WRITE_BYTES as usize];
                write(&mut cx, &stream, &zeroes[..len.min(WRITE_BYTES) as usize]);
                Ok((Done::Ok(()),))
            })?;
        }
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            at.func_wrap(name, |_, (_,): (Output,)| Ok((Done::Ok(()),)))?;
        }
        "[method]output-stream.subscribe" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (_,): (Output,)| Ok((pollable(&mut cx),)))?
        }
        "[method]output-stream.splice" | "[method]output-stream.blocking-splice" => {
            at.func_wrap(name, |_, (_, _, _): (Output, Input, u64)| Ok((Err::<u64, _>(StreamError::Closed),)))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn write(cx: &mut Cx<'_>, stream: &Output, bytes: &[u8]) {
    let stream = if stream.rep() == STDERR { Stream::Error } else { Stream::Output };
    let guest = cx.data_mut();
    guest.log.stream(guest.time.now_ms, stream, bytes);
}
