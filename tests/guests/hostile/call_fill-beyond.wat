;; Fills beyond its memory.
(func $process (type $process) (memory.fill (i32.const 0) (i32.const 1) (i32.const 0xffffffff)) unreachable)
