;; A component with code inside of it.
(component (component (core module)))
