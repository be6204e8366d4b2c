;; Answers with a list that goes beyond its memory.
(func $process (type $process) (i32.store (i32.const 0x404) (i32.const 0)) (i32.store (i32.const 0x408) (i32.const 0xffffffff)) (i32.const 0x400))
