;; Six memories of 48 MiB: each is small, all together are 288 MiB.
;; expect: call: memory limit
(component
  (core module $m
    (memory 768)
    (func (export "run") (result i32) (i32.const 1)))
  (core instance $a (instantiate $m))
  (core instance $b (instantiate $m))
  (core instance $c (instantiate $m))
  (core instance $d (instantiate $m))
  (core instance $e (instantiate $m))
  (core instance $f (instantiate $m))
  (func (export "run") (result u32) (canon lift (core func $f "run"))))
