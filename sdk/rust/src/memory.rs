//! Bytes seen as numbers and as text, without a copy. One of the two modules of hand-written `unsafe`; the other is `runtime`.
//!
//! Why: copying a column of 4,096 int64 values costs 2 us, as much as a whole call; checking text that the host has
//! checked already costs 0.4 ns a byte (`from_utf8` on wasm32), a third of what splitting it into words costs.

#![allow(unsafe_code)]

const _: () = assert!(cfg!(target_endian = "little"), "columns are little-endian");

/// Ends the call: the host sent what the contract rules out, or the SDK is wrong. Costs no message in the component.
#[cold]
#[inline(never)]
pub(crate) fn broken_contract() -> ! {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_family = "wasm"))]
    panic!("the call breaks the operator contract");
}

/// The part of the bytes that is whole numbers. The start must be aligned to 8.
macro_rules! view {
    ($name:ident, $number:ty) => {
        pub(crate) fn $name(bytes: &[u8]) -> &[$number] {
            // SAFETY: every bit pattern is a valid number, and `align_to` puts into its middle part only what is aligned.
            let (before, numbers, _) = unsafe { bytes.align_to::<$number>() };
            if !before.is_empty() {
                broken_contract();
            }
            numbers
        }
    };
}

view!(i64s, i64);
view!(f64s, f64);
view!(u32s, u32);

/// Numbers as the bytes they are made of.
macro_rules! bytes_of {
    ($name:ident, $number:ty) => {
        pub(crate) fn $name(numbers: &[$number]) -> &[u8] {
            // SAFETY: the bytes of a number are all initialized, and u8 has no alignment.
            unsafe { core::slice::from_raw_parts(numbers.as_ptr().cast::<u8>(), size_of_val(numbers)) }
        }
    };
}

bytes_of!(i64_bytes, i64);
bytes_of!(f64_bytes, f64);
bytes_of!(u32_bytes, u32);

/// The values of a `utf8` column as one text.
///
/// Only for buffers that came from the host: the contract says that they are UTF-8, and the host has checked them.
pub(crate) fn host_text(bytes: &[u8]) -> &str {
    debug_assert!(core::str::from_utf8(bytes).is_ok());
    // SAFETY: the only callers pass a `utf8` column of a call, which the host guarantees to be UTF-8 as a whole.
    // A host that lies harms the guest only: the guest's memory is its own sandbox.
    unsafe { core::str::from_utf8_unchecked(bytes) }
}
