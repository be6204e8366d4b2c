//! `wasi:random`: numbers that follow from the seed of the instance and the number of the call.

use wasmtime::{StoreContextMut, component::LinkerInstance};

use crate::guest::Guest;

/// Bytes a guest may ask for at once.
const BYTES_MAX: u64 = 1 << 20;

type Cx<'a> = StoreContextMut<'a, Guest>;

/// Offers a function of this package; false if there is no answer to it.
pub(super) fn offer(at: &mut LinkerInstance<'_, Guest>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    match (interface, name) {
        ("random", "get-random-bytes") | ("insecure", "get-insecure-random-bytes") => {
            at.func_wrap(name, |mut cx: Cx<'_>, (len,): (u64,)| Ok((bytes(&mut cx, len)?,)))?;
        }
        ("random", "get-random-u64") | ("insecure", "get-insecure-random-u64") => {
            at.func_wrap(name, |mut cx: Cx<'_>, ()| Ok((cx.data_mut().random.next(),)))?;
        }
        ("insecure-seed", "insecure-seed") => at.func_wrap(name, |mut cx: Cx<'_>, ()| {
            let random = &mut cx.data_mut().random;
            Ok(((random.next(), random.next()),))
        })?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn bytes(cx: &mut Cx<'_>, len: u64) -> wasmtime::Result<Vec<u8>> {
    if len > BYTES_MAX {
        return Err(wasmtime::Error::msg(format!(
            "the guest asked for {len} random bytes at once, of {BYTES_MAX} it may"
        )));
    }
    let len = usize::try_from(len).expect("at most 1 MiB");
    let random = &mut cx.data_mut().random;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(len);
    Ok(bytes)
}
