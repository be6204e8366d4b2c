;; Asks for 4 GiB at once, and traps when it does not get it.
(func $process (type $process) (if (i32.eq (memory.grow (i32.const 0xffff)) (i32.const -1)) (then unreachable)) (i32.const 0x400))
