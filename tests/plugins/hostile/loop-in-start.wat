;; Never comes to its first call: the start function runs while the instance is made.
;; expect: call: time limit
(component
  (core module $m
    (func $start (loop $forever (br $forever)))
    (start $start)
    (func (export "run") (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func (export "run") (result u32) (canon lift (core func $i "run"))))
