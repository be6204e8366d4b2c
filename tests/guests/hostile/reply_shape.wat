;; Makes rows on a port that passes them on.
(func $process (type $process) (i32.store (i32.const 0x420) (i32.const 0)) (i32.store8 (i32.const 0x424) (i32.const 5)) (i32.store (i32.const 0x428) (i32.const 1)) (i32.const 0x400))
