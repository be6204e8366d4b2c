;; Never comes back from `open`.
(func $open (type $open) (loop $l (br $l)) unreachable)
