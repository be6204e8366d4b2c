;; Has a cell, but no keyed input.
(func $describe (type $describe) (i32.store8 (i32.const 0x548) (i32.const 0)) (i32.const 0x500))
