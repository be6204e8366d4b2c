;; Fails with a message that would colour a terminal, and blames a row that does not exist.
(data (i32.const 0x1000) "\1b[3m")
(func $process (type $process) (i64.store (i32.const 0x404) (i64.const 0)) (i32.store8 (i32.const 0x400) (i32.const 1)) (i32.store (i32.const 0x410) (i32.const 0x1000)) (i32.store (i32.const 0x414) (i32.const 4)) (i32.store8 (i32.const 0x408) (i32.const 1)) (i32.store (i32.const 0x40c) (i32.const 0xffffffff)) (i32.const 0x400))
