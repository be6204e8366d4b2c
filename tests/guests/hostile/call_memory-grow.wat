;; Takes all memory it gets, then traps.
(func $process (type $process) (loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable)
