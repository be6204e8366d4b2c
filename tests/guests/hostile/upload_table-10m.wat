;; A table of ten million from the start.
(table 10000000 funcref)
