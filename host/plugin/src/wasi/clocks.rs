//! `wasi:clocks`: both clocks show the time of the call, and whatever one waits for has passed.

use wasmtime::{
    StoreContextMut,
    component::{ComponentType, LinkerInstance, Lower, Resource},
};

use super::io::Pollable;
use crate::guest::Guest;

#[derive(ComponentType, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

type Cx<'a> = StoreContextMut<'a, Guest>;

/// Offers a function of this package; false if there is no answer to it.
pub(super) fn offer(at: &mut LinkerInstance<'_, Guest>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    match (interface, name) {
        ("monotonic-clock", "now") => {
            at.func_wrap(name, |cx: Cx<'_>, ()| Ok((now_ms(&cx).saturating_mul(1_000_000),)))?;
        }
        ("monotonic-clock", "resolution") => at.func_wrap(name, |_, ()| Ok((1_000_000u64,)))?,
        ("monotonic-clock", "subscribe-instant" | "subscribe-duration") => {
            at.func_wrap(name, |mut cx: Cx<'_>, (_,): (u64,)| {
                let handle: Resource<Pollable> = cx.data_mut().handles.open(0);
                Ok((handle,))
            })?;
        }
        ("wall-clock", "now") => at.func_wrap(name, |cx: Cx<'_>, ()| {
            let ms = now_ms(&cx);
            let nanoseconds = u32::try_from(ms % 1_000).expect("below 1,000") * 1_000_000;
            Ok((Datetime { seconds: ms / 1_000, nanoseconds },))
        })?,
        ("wall-clock", "resolution") => {
            at.func_wrap(name, |_, ()| Ok((Datetime { seconds: 0, nanoseconds: 1_000_000 },)))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// WASI knows no time before the epoch.
fn now_ms(cx: &Cx<'_>) -> u64 {
    u64::try_from(cx.data().time.now_ms).unwrap_or(0)
}
