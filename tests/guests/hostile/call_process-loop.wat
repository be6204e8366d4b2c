;; Never comes back from `process`.
(func $process (type $process) (loop $l (br $l)) unreachable)
