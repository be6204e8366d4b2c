;; Sets a thousand timers in each call, all at different times.
(func $describe (type $describe) (i32.const 0x500))
(global $next (mut i64) (i64.const 1000000000000))
(func $process (type $process) (local $n i32)
  (i32.store (i32.const 0x1014) (i32.const 0x1040)) (i32.store (i32.const 0x1018) (i32.const 1))
  (i32.store (i32.const 0x1044) (i32.const 0x2000)) (i32.store (i32.const 0x1048) (i32.const 4000))
  (i32.store (i32.const 0x104c) (i32.const 0x3000)) (i32.store (i32.const 0x1050) (i32.const 8000))
  (loop $l
    (i64.store (i32.add (i32.const 0x3000) (i32.mul (local.get $n) (i32.const 8))) (global.get $next))
    (global.set $next (i64.add (global.get $next) (i64.const 1)))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $l (i32.lt_u (local.get $n) (i32.const 1000))))
  (i32.const 0x1000))
