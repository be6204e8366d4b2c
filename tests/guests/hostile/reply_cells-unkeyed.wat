;; Changes a cell that it has not declared.
(func $process (type $process) (i32.store (i32.const 0x40c) (i32.const 0x1000)) (i32.store (i32.const 0x410) (i32.const 1)) (i32.const 0x400))
