;; Never comes back from `on-notice`.
(func $describe (type $describe) (i32.store8 (i32.const 0x21d) (i32.const 2)) (i32.const 0x200))
(func $on-notice (type $on-notice) (loop $l (br $l)) unreachable)
