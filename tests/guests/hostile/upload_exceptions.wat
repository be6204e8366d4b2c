;; A tag for exceptions.
(component (core module (tag)))
