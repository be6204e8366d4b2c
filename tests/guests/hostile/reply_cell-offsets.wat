;; Gives offsets for numbers.
(func $describe (type $describe) (i32.const 0x500))
(func $process (type $process) (i32.store8 (i32.const 0x1010) (i32.const 1)) (i32.store (i32.const 0x40c) (i32.const 0x1000)) (i32.store (i32.const 0x410) (i32.const 1))
  (i32.store8 (i32.const 0x1000) (i32.const 1))
  (i32.store (i32.const 0x101c) (i32.const 0x2000)) (i32.store (i32.const 0x1020) (i32.mul (local.get 8) (i32.const 8)))
  (i32.const 0x400))
