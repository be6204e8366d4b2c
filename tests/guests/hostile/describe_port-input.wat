;; Has a port that passes on the rows of an input that does not exist.
(func $describe (type $describe) (i32.store (i32.const 0x25c) (i32.const 9)) (i32.const 0x200))
