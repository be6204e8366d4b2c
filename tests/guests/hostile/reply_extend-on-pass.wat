;; Adds columns on a port that passes rows on.
(func $process (type $process) (i32.store (i32.const 0x420) (i32.const 0)) (i32.store8 (i32.const 0x424) (i32.const 4))  (i32.const 0x400))
