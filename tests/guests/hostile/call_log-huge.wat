;; Logs a line of ten mebibytes.
(import "wasmill:operator/log@0.1.0" "write" (func $log (param i32 i32 i32)))
(func $process (type $process) (drop (memory.grow (i32.const 200))) (memory.fill (i32.const 0x1000) (i32.const 0x41) (i32.const 0xa00000)) (call $log (i32.const 2) (i32.const 0x1000) (i32.const 0xa00000)) (i32.const 0x400))
