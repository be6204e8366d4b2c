;; Refuses every configuration, in words that would colour a terminal.
(data (i32.const 0x1000) "\1b[31mno")
(func $describe (type $describe)
  (i32.store8 (i32.const 0x200) (i32.const 1))
  (i32.store (i32.const 0x204) (i32.const 0x1000)) (i32.store (i32.const 0x208) (i32.const 7))
  (i32.const 0x200))
