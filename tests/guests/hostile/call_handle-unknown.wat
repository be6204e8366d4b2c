;; Closes a handle that it does not have.
(import "wasi:cli/stdout@0.2.6" "get-stdout" (func $stdout (result i32)))
(import "wasi:io/streams@0.2.6" "[resource-drop]output-stream" (func $drop (param i32)))
(func $process (type $process) (drop (call $stdout)) (call $drop (i32.const 77)) (i32.const 0x400))
