;; Asks for a table of a thousand million, and traps when it does not get it.
(table 1 funcref)
(func $process (type $process) (if (i32.eq (table.grow (ref.null func) (i32.const 1000000000)) (i32.const -1)) (then unreachable)) (i32.const 0x400))
