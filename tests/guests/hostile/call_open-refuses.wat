;; Refuses to open, with a message of a mebibyte.
(func $open (type $open)
  (drop (memory.grow (i32.const 32)))
  (memory.fill (i32.const 0x1000) (i32.const 0x41) (i32.const 0x100000))
  (i32.store8 (i32.const 0x300) (i32.const 1))
  (i32.store (i32.const 0x304) (i32.const 0x1000)) (i32.store (i32.const 0x308) (i32.const 0x100000))
  (i32.const 0x300))
