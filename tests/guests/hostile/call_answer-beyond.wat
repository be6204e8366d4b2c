;; Answers at an address beyond its memory.
(func $process (type $process) (i32.const 0xfffffff0))
