;; Imports a function of no interface.
(component (import "door" (func)))
