;; Answers, and never finishes cleaning up: the loop is in the function that the host calls when it has read the answer.
;; expect: call: time limit
(component
  (core module $m
    (func (export "run") (result i32) (i32.const 1))
    (func (export "cleanup") (param i32) (loop $forever (br $forever))))
  (core instance $i (instantiate $m))
  (func (export "run") (result u32) (canon lift (core func $i "run") (post-return (core func $i "cleanup")))))
