;; Imports sockets.
(import "wasi:sockets/instance-network@0.2.6" "reach" (func (param i32 i32) (result i32)))
