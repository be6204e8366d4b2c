;; A table of 50,000 from the start: the host can give it, the limits of an operator do not.
(table 50000 funcref)
