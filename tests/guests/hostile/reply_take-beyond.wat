;; Takes a row that does not exist.
(func $process (type $process) (i32.store (i32.const 0x420) (i32.const 0)) (i32.store8 (i32.const 0x424) (i32.const 3)) (i32.store (i32.const 0x1000) (local.get 1)) (i32.store (i32.const 0x428) (i32.const 0x1000)) (i32.store (i32.const 0x42c) (i32.const 4)) (i32.const 0x400))
