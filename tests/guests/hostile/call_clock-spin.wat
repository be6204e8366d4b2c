;; Waits for a clock to move that stands still.
(import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $now (result i64)))
(func $process (type $process) (local $t i64) (local.set $t (call $now)) (loop $l (br_if $l (i64.eq (call $now) (local.get $t)))) unreachable)
