;; Never comes back from a call.
;; expect: call: time limit
(component
  (core module $m
    (func (export "run") (result i32)
      (loop $forever (br $forever))
      unreachable))
  (core instance $i (instantiate $m))
  (func (export "run") (result u32) (canon lift (core func $i "run"))))
