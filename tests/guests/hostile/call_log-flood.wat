;; Logs a hundred thousand lines, then answers as if nothing had been.
(import "wasmill:operator/log@0.1.0" "write" (func $log (param i32 i32 i32)))
(func $process (type $process) (local $n i32) (loop $l (call $log (i32.const 4) (i32.const 0x280) (i32.const 3)) (local.set $n (i32.add (local.get $n) (i32.const 1))) (br_if $l (i32.lt_u (local.get $n) (i32.const 100000)))) (i32.const 0x400))
