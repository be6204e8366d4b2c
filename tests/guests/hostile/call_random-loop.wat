;; Asks for random bytes without end, always into the same room.
(import "wasi:random/random@0.2.6" "get-random-bytes" (func $random (param i64 i32)))
(func $process (type $process) (loop $l (global.set $heap (i32.const 0x10000)) (call $random (i64.const 0x80000) (i32.const 0x1000)) (br $l)) unreachable)
