;; Takes a row two million times.
(func $process (type $process) (i32.store (i32.const 0x420) (i32.const 0)) (i32.store8 (i32.const 0x424) (i32.const 3)) (drop (memory.grow (i32.const 200))) (i32.store (i32.const 0x428) (i32.const 0x10000)) (i32.store (i32.const 0x42c) (i32.const 8000000)) (i32.const 0x400))
