;; 1,024 core instances out of a few lines: each component below holds two of the one before it.
;; expect: any: instance
(component
  (component $c0
    (core module $m (global i32 (i32.const 0)))
    (core instance (instantiate $m)))
  (component $c1 (alias outer 1 $c0 (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))
  (component $c2 (alias outer 1 $c1 (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))
  (component $c3 (alias outer 1 $c2 (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))
  (component $c4 (alias outer 1 $c3 (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))
  (component $c5 (alias outer 1 $c4 (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))
  (component $c6 (alias outer 1 $c5 (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))
  (component $c7 (alias outer 1 $c6 (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))
  (component $c8 (alias outer 1 $c7 (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))
  (component $c9 (alias outer 1 $c8 (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))
  (component $c10 (alias outer 1 $c9 (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))
  (instance (instantiate $c10))
  (core module $m (func (export "run") (result i32) (i32.const 1)))
  (core instance $i (instantiate $m))
  (func (export "run") (result u32) (canon lift (core func $i "run"))))
