;; Never comes back from `on-timers`.
(func $describe (type $describe) (i32.const 0x500))
;; Sets an event-time timer of group 0 at a time below all watermarks but the first.
(func $set-timer (result i32)
  (i32.store (i32.const 0x1014) (i32.const 0x1040)) (i32.store (i32.const 0x1018) (i32.const 1))
  (i32.store (i32.const 0x1044) (i32.const 0x1060)) (i32.store (i32.const 0x1048) (i32.const 4))
  (i32.store (i32.const 0x104c) (i32.const 0x1068)) (i32.store (i32.const 0x1050) (i32.const 8))
  (i64.store (i32.const 0x1068) (i64.const 5))
  (i32.const 0x1000))
(func $process (type $process) (call $set-timer))
(func $on-timers (type $on-timers) (loop $l (br $l)) unreachable)
