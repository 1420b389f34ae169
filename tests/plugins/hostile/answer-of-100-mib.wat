;; Answers a string of 100 MiB, which the host would copy.
;; expect: call: output limit
(component
  (core module $m
    (memory (export "memory") 1601)
    (func (export "run") (result i32)
      (i32.store (i32.const 16) (i32.const 65536))
      (i32.store (i32.const 20) (i32.const 104857600))
      (memory.fill (i32.const 65536) (i32.const 120) (i32.const 104857600))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  (func (export "run") (result string) (canon lift (core func $i "run") (memory (core memory $i "memory")))))
