;; Divides the smallest number by -1.
(func $process (type $process) (i32.div_s (i32.const 0x80000000) (i32.const -1)))
