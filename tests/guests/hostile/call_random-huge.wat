;; Asks for more random bytes than there is memory in the world.
(import "wasi:random/random@0.2.6" "get-random-bytes" (func $random (param i64 i32)))
(func $process (type $process) (call $random (i64.const -1) (i32.const 0x1000)) (i32.const 0x400))
