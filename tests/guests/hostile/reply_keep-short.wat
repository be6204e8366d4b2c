;; Keeps rows by a bitmap that is too short.
(func $process (type $process) (i32.store (i32.const 0x420) (i32.const 0)) (i32.store8 (i32.const 0x424) (i32.const 2)) (i32.store (i32.const 0x428) (i32.const 0x1000)) (i32.store (i32.const 0x42c) (i32.const 0)) (i32.const 0x400))
