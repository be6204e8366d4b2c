//! Places that are used again and again: what one guest leaves behind no other finds, and nothing is lost.

use std::{fs, process::Command, sync::Arc};

use wasmill_plugin::{CallError, Instance, Limits, Plugin};

use crate::{
    hosts,
    instances::{batch, start},
};

const AT: wasmill_plugin::CallTime = wasmill_plugin::CallTime { now_ms: 0, watermark: 0 };

fn instance(plugin: &Plugin) -> Instance {
    start(plugin, &Limits::default(), Arc::new(|_| {})).expect("there is room").0
}

/// Bytes of memory that this process has.
fn resident_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").expect("the system tells");
    let pages: u64 = text.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("its second number is resident pages");
    pages * 4_096
}

/// Rule 43: memory, tables and globals of a place are as new for whoever comes next.
#[test]
fn ten_thousand_times_nothing_of_the_last_guest_is_left() {
    let store = hosts::store(hosts::engine(1));
    let (fill, look) = (hosts::load(&store, "canary_fill"), hosts::load(&store, "canary_look"));
    for round in 0..10_000 {
        let trapped = instance(&fill).process(AT, 0, &batch(), None, &[]);
        assert!(matches!(trapped, Err(CallError::Trap { .. })), "{round}: {trapped:?}");
        let looked = instance(&look).process(AT, 0, &batch(), None, &[]);
        assert!(looked.is_ok(), "{round}: {looked:?}");
    }
}

/// The look of the test above is not blind.
#[test]
fn a_canary_is_seen() {
    let text = wasmill_hostile::template::text("canary_look").expect("it is there");
    for left in ["(i64.store (i32.const 0x3ff00) (i64.const 1))", "(global.set $secret (i64.const 1))"] {
        let dirty =
            text.replace("(drop (memory.grow (i32.const 4)))", &format!("(drop (memory.grow (i32.const 4))) {left}"));
        let wasm = wasmill_hostile::template::component(&dirty).expect("it is a component");
        let plugin = hosts::store(hosts::engine(1)).load(&wasm).expect("it compiles");
        assert!(instance(&plugin).process(AT, 0, &batch(), None, &[]).is_err(), "{left}");
    }
}

/// A hundred thousand traps of many kinds in turn, in a pool with room for one.
#[test]
fn traps_leave_no_memory_behind() {
    const ALONE: &str = "WASMILL_HOSTILE_ALONE";
    // Other tests of this process would be measured with it.
    if std::env::var_os(ALONE).is_none() {
        let program = std::env::current_exe().expect("a test knows where it is");
        let mut alone = Command::new(program);
        alone.args(["memory::traps_leave_no_memory_behind", "--exact"]).env(ALONE, "1");
        let ended = alone.output().expect("the program starts");
        let words = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success() && words.contains("1 passed"), "{words}");
        return;
    }
    const WARM: usize = 4_000;
    const TRAPS: usize = 100_000;
    let names =
        ["call_unreachable", "call_load-beyond", "call_exit", "call_recursion", "call_failure-not-utf8", "canary_fill"];
    let store = hosts::store(hosts::engine(1));
    let plugins = names.map(|name| hosts::load(&store, name));
    let trap = |at: usize| {
        let answer = instance(&plugins[at % plugins.len()]).process(AT, 0, &batch(), None, &[]);
        assert!(matches!(answer, Err(CallError::Trap { .. })), "{at}: {answer:?}");
    };
    (0..WARM).for_each(trap);
    let before = resident_bytes();
    (0..TRAPS).for_each(trap);
    let after = resident_bytes();
    assert!(after <= before + before / 50, "{before} bytes before, {after} after {TRAPS} traps");
}
