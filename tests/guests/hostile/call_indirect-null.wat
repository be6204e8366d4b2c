;; Calls an empty place of a table.
(type $nothing (func))
(table 1 funcref)
(func $process (type $process) (call_indirect (type $nothing) (i32.const 0)) unreachable)
