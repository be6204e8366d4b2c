;; Calls itself through a table, without end.
(type $nothing (func))
(table 1 funcref)
(elem (i32.const 0) $deep)
(func $deep (call_indirect (type $nothing) (i32.const 0)) (drop (i64.load (i32.const 8))))
(func $process (type $process) (call $deep) unreachable)
