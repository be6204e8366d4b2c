;; Its first data lie beyond its memory.
(data (i32.const 0x7fffffff) "abcd")
