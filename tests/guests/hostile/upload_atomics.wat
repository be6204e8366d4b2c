;; An instruction of threads.
(component (core module (memory 1) (func (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1))))))
