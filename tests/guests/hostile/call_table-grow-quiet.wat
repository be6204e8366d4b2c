;; Takes all of a table it gets, then answers as if nothing had been.
(table 1 funcref)
(func $process (type $process) (loop $l (br_if $l (i32.ne (table.grow (ref.null func) (i32.const 100)) (i32.const -1)))) (i32.const 0x400))
