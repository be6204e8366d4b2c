;; Describes two inputs where there is one.
(func $describe (type $describe) (i32.store (i32.const 0x204) (i32.const 0x1000)) (i32.store (i32.const 0x208) (i32.const 2)) (i32.const 0x200))
