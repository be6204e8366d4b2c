;; Makes a whole number of one that is none.
(func $process (type $process) (i32.trunc_f64_s (f64.const nan)))
