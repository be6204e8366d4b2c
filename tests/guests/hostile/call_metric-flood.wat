;; Counts under a hundred thousand names.
(import "wasmill:operator/metrics@0.1.0" "add" (func $add (param i32 i32 i64)))
(func $process (type $process) (local $n i32)
  (loop $l
    (i32.store (i32.const 0x1000) (i32.or (i32.const 0x61616161) (i32.and (local.get $n) (i32.const 0x0f0f0f0f))))
    (i32.store (i32.const 0x1004) (i32.or (i32.const 0x61616161) (i32.and (i32.shr_u (local.get $n) (i32.const 4)) (i32.const 0x0f0f0f0f))))
    (call $add (i32.const 0x1000) (i32.const 8) (i64.const -1))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $l (i32.lt_u (local.get $n) (i32.const 100000))))
  (i32.const 0x400))
