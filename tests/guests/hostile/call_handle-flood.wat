;; Opens standard output without end.
(import "wasi:cli/stdout@0.2.6" "get-stdout" (func $stdout (result i32)))
(func $process (type $process) (loop $l (drop (call $stdout)) (br $l)) unreachable)
