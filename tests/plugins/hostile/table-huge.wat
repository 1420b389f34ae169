;; Wants a table of 100 million elements from the start: 800 MB in the host.
;; expect: any: table
(component
  (core module $m
    (table 100000000 funcref)
    (func (export "run") (result i32) (i32.const 1)))
  (core instance $i (instantiate $m))
  (func (export "run") (result u32) (canon lift (core func $i "run"))))
