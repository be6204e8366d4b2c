;; Logs without end.
(import "wasmill:operator/log@0.1.0" "write" (func $log (param i32 i32 i32)))
(func $process (type $process) (loop $l (call $log (i32.const 4) (i32.const 0x280) (i32.const 3)) (br $l)) unreachable)
