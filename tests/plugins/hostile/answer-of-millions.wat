;; Answers a list of 8 million empty strings: 64 MiB here, four times as much in the host, and as JSON 24 MB.
;; expect: call: output limit
(component
  (core module $m
    (memory (export "memory") 1025)
    (func (export "run") (result i32)
      (i32.store (i32.const 16) (i32.const 65536))
      (i32.store (i32.const 20) (i32.const 8000000))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  (func (export "run") (result (list string)) (canon lift (core func $i "run") (memory (core memory $i "memory")))))
