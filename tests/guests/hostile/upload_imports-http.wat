;; Imports HTTP.
(import "wasi:http/outgoing@0.2.6" "reach" (func (param i32 i32) (result i32)))
