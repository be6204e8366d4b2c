;; Imports what nobody knows.
(import "evil:outside/door@1.0.0" "open" (func (result i32)))
