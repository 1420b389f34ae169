;; Answers a list of 30 million booleans: a byte each here, some 32 in the host, and as JSON 180 MB.
;; expect: call: output limit
(component
  (core module $m
    (memory (export "memory") 512)
    (func (export "run") (result i32)
      (i32.store (i32.const 16) (i32.const 65536))
      (i32.store (i32.const 20) (i32.const 30000000))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  (func (export "run") (result (list bool)) (canon lift (core func $i "run") (memory (core memory $i "memory")))))
