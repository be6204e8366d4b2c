;; A memory of 4 GiB from the start.
(memory $memory (export "memory") 65536)
