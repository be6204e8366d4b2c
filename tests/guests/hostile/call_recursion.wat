;; Calls itself without end.
(func $deep (param i64) (call $deep (i64.add (local.get 0) (i64.const 1))) (drop (i64.load (i32.const 8))))
(func $process (type $process) (call $deep (i64.const 0)) unreachable)
