;; Fails with a message that is not UTF-8.
(data (i32.const 0x1000) "\ff\fe\fd\fc")
(func $process (type $process) (i64.store (i32.const 0x404) (i64.const 0)) (i32.store8 (i32.const 0x400) (i32.const 1)) (i32.store (i32.const 0x410) (i32.const 0x1000)) (i32.store (i32.const 0x414) (i32.const 4)) (i32.const 0x400))
