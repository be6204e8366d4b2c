;; Logs what is not UTF-8.
(import "wasmill:operator/log@0.1.0" "write" (func $log (param i32 i32 i32)))
(data (i32.const 0x1000) "\ff\ff")
(func $process (type $process) (call $log (i32.const 2) (i32.const 0x1000) (i32.const 2)) (i32.const 0x400))
