;; Calls a function as one of another type.
(type $nothing (func))
(table 1 funcref)
(elem (i32.const 0) $realloc)
(func $process (type $process) (call_indirect (type $nothing) (i32.const 0)) unreachable)
