;; Answers with two million emissions.
(func $process (type $process) (drop (memory.grow (i32.const 1000))) (i32.store (i32.const 0x404) (i32.const 0x1000)) (i32.store (i32.const 0x408) (i32.const 2000000)) (i32.const 0x400))
