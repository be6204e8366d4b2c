;; A memory of 128 MiB from the start: the host can give it, the limits of an operator do not.
(memory $memory (export "memory") 2048)
