;; Traps in `describe`.
(func $describe (type $describe) unreachable)
