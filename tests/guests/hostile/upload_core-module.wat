;; A core module.
(module)
