//! Ways to misbehave, beyond wrong answers.

use crate::{
    bytes::{emit, fixed},
    exports::wasmill::operator::guest::{Failure, Reply, Rows},
    wasmill::operator::{data::Outcome, log},
};

#[link(wasm_import_module = "wasi:cli/stdout@0.2.6")]
unsafe extern "C" {
    /// As the standard library calls it, which drops the handle; here nobody does.
    #[link_name = "get-stdout"]
    fn get_stdout() -> i32;
}

pub(crate) fn describe(mode: &str) {
    match mode {
        "hostile:describe-trap" => panic!("describe gave up"),
        "hostile:describe-loop" => spin(),
        _ => {}
    }
}

pub(crate) fn open(mode: &str) -> Result<(), String> {
    match mode {
        "hostile:open-error" => Err("the threshold is missing".into()),
        "hostile:open-loop" => spin(),
        _ => Ok(()),
    }
}

#[inline(never)]
pub(crate) fn process(mode: &str, rows: &Rows) -> Option<Result<Reply, Failure>> {
    match mode.strip_prefix("hostile:")? {
        "panic" => {
            eprintln!("about to give up");
            panic!("gave up on {} rows", rows.count)
        }
        "loop" => spin(),
        "memory" => hoard(),
        // Not there when the workspace is built for the machine itself.
        #[cfg(target_arch = "wasm32")]
        "grow" => {
            let before = core::arch::wasm32::memory_grow(0, 1 << 14);
            let text = format!("memory.grow answered {}", before as isize);
            log::write(log::Level::Info, &text);
        }
        "stack" => log::write(log::Level::Info, &deep(rows.count.into()).to_string()),
        "bounds" => {
            let past = std::hint::black_box(usize::MAX >> 1) as *const u8;
            // SAFETY: none; the sandbox is what is tested.
            log::write(log::Level::Info, &unsafe { past.read_volatile() }.to_string());
        }
        "handles" => (0..20_000).for_each(|_| {
            // SAFETY: takes nothing, and returns a handle.
            unsafe { get_stdout() };
        }),
        "exit" => std::process::exit(3),
        "log-flood" => (0..10_000).for_each(|i| log::write(log::Level::Info, &format!("line {i}"))),
        "log-long" => log::write(log::Level::Info, &"\u{1b}é".repeat(100_000)),
        "log-huge" => log::write(log::Level::Info, &"x".repeat(20 << 20)),
        "output" => {
            let columns = vec![fixed(vec![0; 17 << 20])];
            return Some(Ok(emit(Outcome::Replace(Rows { count: 1, event_times: None, columns }))));
        }
        "rows" => return Some(Ok(emit(Outcome::Take(vec![0; 4 * 1_500_000])))),
        "open-error" | "describe-trap" | "describe-loop" | "open-loop" => {}
        other => return Some(Err(Failure { fatal: true, row: None, message: format!("`{other}` is not known") })),
    }
    Some(Ok(emit(Outcome::Unchanged)))
}

fn spin() -> ! {
    let mut n = 0u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

fn hoard() {
    let mut all = Vec::new();
    loop {
        all.push(std::hint::black_box(vec![1u8; 1 << 20]));
    }
}

#[inline(never)]
fn deep(n: u64) -> u64 {
    let page = std::hint::black_box([n; 8]);
    if n == u64::MAX { 0 } else { deep(n + 1).wrapping_add(page[(n % 8) as usize]) }
}
