;; Wants 4 GiB from the start.
;; expect: any: memory
(component
  (core module $m
    (memory 65536)
    (func (export "run") (result i32) (i32.const 1)))
  (core instance $i (instantiate $m))
  (func (export "run") (result u32) (canon lift (core func $i "run"))))
