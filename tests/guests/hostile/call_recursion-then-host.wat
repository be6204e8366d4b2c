;; Calls the host at each step of a recursion, so that one call comes at the very end of the stack.
(import "wasmill:operator/log@0.1.0" "write" (func $log (param i32 i32 i32)))
(func $deep (call $log (i32.const 0) (i32.const 0x280) (i32.const 3)) (call $deep) (drop (i64.load (i32.const 8))))
(func $process (type $process) (call $deep) unreachable)
