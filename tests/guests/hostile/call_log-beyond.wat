;; Logs what lies beyond its memory.
(import "wasmill:operator/log@0.1.0" "write" (func $log (param i32 i32 i32)))
(func $process (type $process) (call $log (i32.const 2) (i32.const 0x1000) (i32.const 0xffffffff)) (i32.const 0x400))
