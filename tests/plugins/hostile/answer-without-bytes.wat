;; Would answer a list of 4 billion empty tuples, which take no memory, so that no bound of its own would stop the host from counting: the format
;; forbids types without a size, and the host must hold to that.
;; expect: load: tuple
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "run") (result i32)
      (i32.store (i32.const 20) (i32.const -1))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  (func (export "run") (result (list (tuple))) (canon lift (core func $i "run") (memory (core memory $i "memory")))))
