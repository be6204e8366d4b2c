;; Logs with a level that does not exist.
(import "wasmill:operator/log@0.1.0" "write" (func $log (param i32 i32 i32)))
(func $process (type $process) (call $log (i32.const 99) (i32.const 0x280) (i32.const 3)) (i32.const 0x400))
