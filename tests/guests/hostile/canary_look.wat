;; Traps if anything but its own data stands in the memory, the table or the global that it gets.
(memory $memory (export "memory") 4)
(global $secret (mut i64) (i64.const 0))
(table $table 64 64 funcref)
(func $process (type $process) (local $at i32)
  (drop (memory.grow (i32.const 4)))
  ;; Behind what the template writes and what `open` was given.
  (local.set $at (i32.const 0x1000))
  (loop $l
    (if (i64.ne (i64.load (local.get $at)) (i64.const 0))
      (then (if (i32.or (i32.lt_u (local.get $at) (i32.const 0x10000)) (i32.gt_u (local.get $at) (i32.const 0x10800))) (then unreachable))))
    (local.set $at (i32.add (local.get $at) (i32.const 8)))
    (br_if $l (i32.lt_u (local.get $at) (i32.const 0x80000))))
  (local.set $at (i32.const 0))
  (loop $l
    (if (i32.eqz (ref.is_null (table.get $table (local.get $at)))) (then unreachable))
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (br_if $l (i32.lt_u (local.get $at) (i32.const 64))))
  (if (i64.ne (global.get $secret) (i64.const 0)) (then unreachable))
  (i32.const 0x400))
