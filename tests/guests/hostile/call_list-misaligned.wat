;; Answers with a list at an odd address.
(func $process (type $process) (i32.store (i32.const 0x404) (i32.const 0x421)) (i32.const 0x400))
