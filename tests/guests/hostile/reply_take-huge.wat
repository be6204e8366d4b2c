;; Takes a row eight million times, in more bytes than a call may hand over.
(func $process (type $process) (i32.store (i32.const 0x420) (i32.const 0)) (i32.store8 (i32.const 0x424) (i32.const 3)) (drop (memory.grow (i32.const 600))) (i32.store (i32.const 0x428) (i32.const 0x10000)) (i32.store (i32.const 0x42c) (i32.const 32000000)) (i32.const 0x400))
