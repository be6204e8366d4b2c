;; Counts under names of a mebibyte, a hundred of them.
(import "wasmill:operator/metrics@0.1.0" "add" (func $add (param i32 i32 i64)))
(func $process (type $process) (local $n i32)
  (drop (memory.grow (i32.const 32)))
  (memory.fill (i32.const 0x1000) (i32.const 0x61) (i32.const 0x100000))
  (loop $l
    (call $add (i32.const 0x1000) (i32.sub (i32.const 0x100000) (local.get $n)) (i64.const 1))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $l (i32.lt_u (local.get $n) (i32.const 100))))
  (i32.const 0x400))
