;; Never comes back from `describe`.
(func $describe (type $describe) (loop $l (br $l)) unreachable)
