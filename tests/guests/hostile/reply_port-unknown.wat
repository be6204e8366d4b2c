;; Emits by a port that does not exist.
(func $process (type $process) (i32.store (i32.const 0x420) (i32.const 7)) (i32.store8 (i32.const 0x424) (i32.const 0))  (i32.const 0x400))
