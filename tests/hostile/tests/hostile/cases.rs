//! The guests that are compiled, and what becomes of each.

/// What a guest gets for an answer: where it was and what it is charged with, or nothing.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) answer: &'static str,
}

const fn case(name: &'static str, answer: &'static str) -> Case {
    Case { name, answer }
}

/// What it gets that did nothing wrong, or nothing that is worth a failure.
pub(crate) const WELL: &str = "well";

impl Case {
    /// What `wasmill run` of its job ends with: 2, refused, if it cannot be asked what it is, 1 if it fails later.
    pub(crate) fn exit_code(&self) -> i32 {
        match self.answer.split_once(": ") {
            None => 0,
            Some(("describe" | "start", _)) => 2,
            Some(_) => 1,
        }
    }

    /// What the message must say.
    pub(crate) fn words(&self) -> &'static str {
        match self.answer.split_once(": ").map_or("", |(_, what)| what) {
            "deadline" => "(`limits.call_deadline`)",
            "memory" => "(`limits.memory`)",
            "output-bytes" => "(`limits.output`)",
            "output-rows" => "(`limits.output_rows`)",
            "bad-reply" => "the contract does not allow",
            "refused" | "bad" | "failure" => "operator",
            trap => trap,
        }
    }
}

/// Guests that need nothing but calls.
pub(crate) const CASES: &[Case] = &[
    case("call_answer-beyond", "process: abi"),
    case("call_answer-discriminant", "process: abi"),
    case("call_answer-misaligned", "process: abi"),
    case("call_clock-spin", "process: deadline"),
    case("call_convert", "process: arithmetic"),
    case("call_copy-loop", "process: deadline"),
    case("call_describe-loop", "describe: deadline"),
    case("call_divide-by-zero", "process: arithmetic"),
    case("call_divide-overflow", "process: arithmetic"),
    case("call_exit", "process: exit"),
    case("call_failure-escapes", "process: failure"),
    case("call_failure-huge", "process: failure"),
    case("call_failure-not-utf8", "process: abi"),
    case("call_fill-beyond", "process: memory-out-of-bounds"),
    case("call_fill-loop", "process: deadline"),
    case("call_handle-flood", "process: abi"),
    case("call_handle-twice", "process: abi"),
    case("call_handle-unknown", "process: abi"),
    case("call_host-loop", "process: deadline"),
    case("call_indirect-beyond", "process: table-out-of-bounds"),
    case("call_indirect-null", "process: indirect-call"),
    case("call_indirect-other-type", "process: indirect-call"),
    case("call_init-beyond", "process: memory-out-of-bounds"),
    case("call_list-beyond", "process: abi"),
    case("call_list-huge", "process: output-bytes"),
    case("call_list-misaligned", "process: abi"),
    case("call_load-beyond", "process: memory-out-of-bounds"),
    case("call_load-far", "process: memory-out-of-bounds"),
    case("call_log-beyond", "process: abi"),
    case("call_log-escapes", WELL),
    case("call_log-flood", WELL),
    case("call_log-huge", WELL),
    case("call_log-level", "process: abi"),
    case("call_log-loop", "process: deadline"),
    case("call_log-not-utf8", "process: abi"),
    case("call_memory-grow", "process: memory"),
    case("call_memory-grow-at-once", "process: memory"),
    case("call_memory-grow-quiet", WELL),
    case("call_metric-flood", WELL),
    case("call_metric-name-huge", WELL),
    case("call_on-notice-emits", "on-notice: bad-reply"),
    case("call_on-notice-loop", "on-notice: deadline"),
    case("call_on-timers-loop", "on-timers: deadline"),
    case("call_on-timers-trap", "on-timers: unreachable"),
    case("call_open-discriminant", "open: abi"),
    case("call_open-loop", "open: deadline"),
    case("call_open-refuses", "open: refused"),
    case("call_outcome-discriminant", "process: abi"),
    case("call_process-loop", "process: deadline"),
    case("call_random-huge", "process: abi"),
    case("call_random-loop", "process: deadline"),
    case("call_realloc-beyond", "process: abi"),
    case("call_realloc-loop", "process: deadline"),
    case("call_realloc-misaligned", "process: abi"),
    case("call_recursion", "process: stack-overflow"),
    case("call_recursion-indirect", "process: stack-overflow"),
    case("call_recursion-then-host", "process: stack-overflow"),
    case("call_start-loop", "start: deadline"),
    case("call_start-memory", "start: memory"),
    case("call_start-table", "start: refused"),
    case("call_start-trap", "start: unreachable"),
    case("call_table-grow", "process: unreachable"),
    case("call_table-grow-quiet", WELL),
    case("call_trap-names", "process: unreachable"),
    case("call_unreachable", "process: unreachable"),
    case("describe_beyond", "describe: abi"),
    case("describe_cells-unkeyed", "describe: bad"),
    case("describe_inputs", "describe: bad"),
    case("describe_no-ports", "describe: bad"),
    case("describe_port-input", "describe: bad"),
    case("describe_port-name", "describe: bad"),
    case("describe_ports-many", "describe: bad"),
    case("describe_refuses", "describe: refused"),
    case("describe_trap", "describe: unreachable"),
    case("reply_cell-offsets", "process: bad-reply"),
    case("reply_cell-short", "process: bad-reply"),
    case("reply_cells-unkeyed", "process: bad-reply"),
    case("reply_extend-on-pass", "process: bad-reply"),
    case("reply_keep-short", "process: bad-reply"),
    case("reply_keep-tail", "process: bad-reply"),
    case("reply_port-twice", "process: bad-reply"),
    case("reply_port-unknown", "process: bad-reply"),
    case("reply_shape", "process: bad-reply"),
    case("reply_take-beyond", "process: bad-reply"),
    case("reply_take-flood", "process: output-rows"),
    case("reply_take-huge", "process: output-bytes"),
    case("reply_take-odd", "process: bad-reply"),
    case("reply_timer-domain", "process: abi"),
    case("reply_timer-group-beyond", "process: bad-reply"),
    case("reply_timer-times", "process: bad-reply"),
    case("reply_timers-unkeyed", "process: bad-reply"),
    case("upload_data-beyond", "start: memory-out-of-bounds"),
];

/// Guests that do their harm through what the host keeps for them: a job fails, and says this.
pub(crate) const STATE_CASES: &[(&str, &str)] = &[
    ("state_flood", "could not keep its state"),
    ("state_timer-flood", "could not keep its state"),
    ("state_timers-endless", "due at once, for ever"),
    ("state_value-huge", "could not keep its state"),
];

#[test]
fn no_guest_is_forgotten() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/hostile");
    let known: Vec<&str> = CASES.iter().map(|case| case.name).chain(STATE_CASES.iter().map(|case| case.0)).collect();
    let uploads = include_str!("uploads.rs");
    let memory = include_str!("memory.rs");
    let mut guests = 0;
    for entry in std::fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_some_and(|ending| ending == "wat") {
            let name = path.file_stem().expect("it has a name").to_str().expect("it is text");
            let quoted = format!("\"{name}\"");
            assert!(known.contains(&name) || uploads.contains(&quoted) || memory.contains(&quoted), "{name}");
            guests += 1;
        }
    }
    assert!(guests > known.len(), "{guests} guests, {} cases", known.len());
}
