;; Fills its memory over and over, in long steps that no loop interrupts.
(func $process (type $process) 
  (drop (memory.grow (i32.const 500)))
  (loop $l (memory.fill (i32.const 0x1000) (i32.const 7) (i32.const 0x1f00000)) (br $l)) unreachable)
