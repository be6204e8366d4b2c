;; Reads with the largest address and the largest offset.
(func $process (type $process) (i32.load offset=0xffffffff (i32.const 0xffffffff)))
