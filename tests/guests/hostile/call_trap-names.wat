;; Traps in a function whose name would colour a terminal.
(func $red (@name "\1b[31mred\0d\0aline\e2\80\aeback") unreachable)
(func $process (type $process) (call $red) unreachable)
