;; Never comes back when the host asks it for room for the arguments of `process`.
(func $describe (type $describe) (i32.const 0x500))
(global $opened (mut i32) (i32.const 0))
(func $open (type $open) (global.set $opened (i32.const 1)) (i32.const 0x300))
(func $realloc (param i32 i32 i32 i32) (result i32)
  (loop $l (br_if $l (global.get $opened)))
  (i32.const 0x8000))
