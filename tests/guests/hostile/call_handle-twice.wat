;; Closes a handle twice.
(import "wasi:cli/stdout@0.2.6" "get-stdout" (func $stdout (result i32)))
(import "wasi:io/streams@0.2.6" "[resource-drop]output-stream" (func $drop (param i32)))
(func $process (type $process) (local $h i32) (local.set $h (call $stdout)) (call $drop (local.get $h)) (call $drop (local.get $h)) (i32.const 0x400))
