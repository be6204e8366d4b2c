//! What a component needs that does without the standard library: an allocator, and what to do on a panic.
//!
//! With `std`, every use of a `Vec` brings in std's panic message on standard error, and with that 13 WASI interfaces.
//! Without it a component imports nothing but `wasmill:operator`, is smaller (50 KB against 87 KB for one that does nearly
//! nothing), and its panics reach the operator's log.

#![allow(unsafe_code)]

/// Makes a `#![no_std]` operator complete: its panics go to the operator's log, its memory comes from wasi-libc's
/// allocator. Does nothing but on wasm, so that tests run as usual.
///
/// ```
/// // Behind `#![cfg_attr(not(test), no_std)]` at the head of the crate:
/// wasmill_sdk::no_std!();
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! no_std {
    () => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            #[global_allocator]
            static ALLOCATOR: $crate::runtime::LibcAllocator = $crate::runtime::LibcAllocator;

            #[panic_handler]
            fn panic(info: &::core::panic::PanicInfo<'_>) -> ! {
                $crate::runtime::panic(info)
            }
        };
    };
}

#[cfg(target_family = "wasm")]
pub use wasm::{LibcAllocator, Single, panic};

#[cfg(target_family = "wasm")]
mod wasm {
    use alloc::string::String;
    use core::{
        alloc::{GlobalAlloc, Layout},
        fmt::Write,
        panic::PanicInfo,
    };

    use crate::log::{Level, write};

    /// Writes the message and the place of a panic to the log and traps.
    pub fn panic(info: &PanicInfo<'_>) -> ! {
        let mut line = String::new();
        let _ = write!(line, "{info}");
        write(Level::Error, &line);
        core::arch::wasm32::unreachable()
    }

    /// A value for the one thread that a component has.
    #[derive(Debug)]
    pub struct Single<T>(T);

    impl<T> Single<T> {
        /// Wraps it.
        pub const fn new(value: T) -> Self {
            Self(value)
        }

        /// The value.
        pub fn get(&self) -> &T {
            &self.0
        }
    }

    // SAFETY: the contract has no threads, and this module is compiled for wasm only; a target with shared memory is refused.
    unsafe impl<T> Sync for Single<T> {}

    #[cfg(target_feature = "atomics")]
    compile_error!("a component has one thread");

    #[link(name = "c")]
    unsafe extern "C" {
        fn malloc(size: usize) -> *mut u8;
        fn calloc(count: usize, size: usize) -> *mut u8;
        fn aligned_alloc(align: usize, size: usize) -> *mut u8;
        fn realloc(block: *mut u8, size: usize) -> *mut u8;
        fn free(block: *mut u8);
    }

    unsafe extern "C" {
        fn cabi_realloc(old: *mut u8, old_size: usize, align: usize, size: usize) -> *mut u8;
    }

    /// Keeps the allocator that the host calls in the component: std refers to wasi-libc's, without std nobody does.
    #[used]
    static CABI_REALLOC: unsafe extern "C" fn(*mut u8, usize, usize, usize) -> *mut u8 = cabi_realloc;

    /// What `malloc` of wasi-libc aligns every block to.
    const MALLOC_ALIGN: usize = 16;

    /// The allocator of wasi-libc, the one that std uses too.
    #[derive(Debug)]
    pub struct LibcAllocator;

    // SAFETY: malloc and its kin keep GlobalAlloc's promises for alignments up to MALLOC_ALIGN; above that
    // aligned_alloc does, whose sizes must be multiples of the alignment, and whose blocks are moved by hand.
    unsafe impl GlobalAlloc for LibcAllocator {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            if layout.align() <= MALLOC_ALIGN {
                // SAFETY: malloc takes any size.
                unsafe { malloc(layout.size()) }
            } else {
                // SAFETY: the alignment is a power of two, the padded size a multiple of it.
                unsafe { aligned_alloc(layout.align(), layout.pad_to_align().size()) }
            }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            if layout.align() <= MALLOC_ALIGN {
                // SAFETY: calloc takes any size.
                return unsafe { calloc(1, layout.size()) };
            }
            // SAFETY: as the caller promised for this function; a block that is not null has the size of the layout.
            unsafe {
                let block = self.alloc(layout);
                if !block.is_null() {
                    block.write_bytes(0, layout.size());
                }
                block
            }
        }

        unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
            // SAFETY: the caller passes a block of this allocator; free takes those of aligned_alloc too.
            unsafe { free(block) }
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            if layout.align() <= MALLOC_ALIGN {
                // SAFETY: the block came from malloc, calloc or realloc.
                return unsafe { realloc(block, size) };
            }
            // SAFETY: the caller promises that `size` with this alignment is a layout; old and new block do not overlap.
            unsafe {
                let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
                if !moved.is_null() {
                    moved.copy_from_nonoverlapping(block, layout.size().min(size));
                    free(block);
                }
                moved
            }
        }
    }
}
