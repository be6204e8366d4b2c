;; Logs what would clear a terminal, start a line and turn text around.
(import "wasmill:operator/log@0.1.0" "write" (func $log (param i32 i32 i32)))
(data (i32.const 0x1000) "\1b[2J\0d\0a{\22a\22:1}\00\e2\80\ae")
(func $process (type $process) (call $log (i32.const 2) (i32.const 0x1000) (i32.const 18)) (i32.const 0x400))
