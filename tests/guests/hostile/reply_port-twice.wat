;; Emits twice by one port.
(func $process (type $process) (i32.store (i32.const 0x404) (i32.const 0x1000)) (i32.store (i32.const 0x408) (i32.const 2)) (i32.const 0x400))
