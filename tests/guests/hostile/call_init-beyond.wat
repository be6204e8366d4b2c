;; Copies from a segment it has dropped.
(data $d "abcd")
(func $process (type $process) (data.drop $d) (memory.init $d (i32.const 0) (i32.const 0) (i32.const 4)) unreachable)
