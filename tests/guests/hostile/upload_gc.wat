;; A type of the garbage collector.
(component (core module (type (struct (field i32)))))
