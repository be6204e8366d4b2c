//! The time of a call. Both clocks stand still during a call, so that it can be run again with the same result.

use crate::Timestamp;

/// The host's clock when the call began.
pub fn now() -> Timestamp {
    #[cfg(target_family = "wasm")]
    return Timestamp(crate::bindings::wasmill::operator::clock::processing_time());
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::host::now();
}

/// The operator's watermark when the call began: no row with a smaller or equal event time is expected any more.
/// [`Timestamp::MIN`] as long as nothing is known, [`Timestamp::END`] at the end of all input.
pub fn watermark() -> Timestamp {
    #[cfg(target_family = "wasm")]
    return Timestamp(crate::bindings::wasmill::operator::clock::watermark());
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::host::watermark();
}
