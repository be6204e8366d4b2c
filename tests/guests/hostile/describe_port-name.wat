;; Has a port whose name would clear a terminal.
(data (i32.const 0x1000) "\1b[2J")
(func $describe (type $describe) (i32.store (i32.const 0x250) (i32.const 0x1000)) (i32.store (i32.const 0x254) (i32.const 4)) (i32.const 0x200))
