;; Calls beyond the end of a table.
(type $nothing (func))
(table 1 funcref)
(func $process (type $process) (call_indirect (type $nothing) (i32.const 7)) unreachable)
