;; Sets a timer without having said that it would.
(func $process (type $process) (i32.store (i32.const 0x414) (i32.const 0x1000)) (i32.store (i32.const 0x418) (i32.const 1)) (i32.const 0x400))
