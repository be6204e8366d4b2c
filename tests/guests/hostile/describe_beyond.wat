;; Describes itself beyond its memory.
(func $describe (type $describe) (i32.const 0xfffffff0))
