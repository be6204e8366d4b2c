;; Answers with an outcome that does not exist.
(func $process (type $process) (i32.store8 (i32.const 0x424) (i32.const 9)) (i32.const 0x400))
