;; Copies its memory over and over, in long steps that no loop interrupts.
(func $process (type $process) 
  (drop (memory.grow (i32.const 500)))
  (loop $l (memory.copy (i32.const 0x1000) (i32.const 0x2000) (i32.const 0x1e00000)) (br $l)) unreachable)
