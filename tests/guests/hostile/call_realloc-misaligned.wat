;; Gives the host room at an odd place.
(func $describe (type $describe) (i32.const 0x500))
(global $opened (mut i32) (i32.const 0))
(func $open (type $open) (global.set $opened (i32.const 1)) (i32.const 0x300))
(func $realloc (param i32 i32 i32 i32) (result i32)
  (select (i32.const 0x8001) (i32.const 0x8000) (global.get $opened)))
