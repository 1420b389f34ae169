;; A component that offers nothing.
;; expect: load: export
(component)
