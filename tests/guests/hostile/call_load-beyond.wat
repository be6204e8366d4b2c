;; Reads beyond its memory.
(func $process (type $process) (i32.load (i32.const 0x7fffffff)))
