;; Spends its time in single instructions that cannot be interrupted: each fills 96 MiB.
;; expect: call: time limit
(component
  (core module $m
    (memory 1536)
    (func (export "run") (result i32)
      (loop $forever
        (memory.fill (i32.const 0) (i32.const 7) (i32.const 100663296))
        (br $forever))
      unreachable))
  (core instance $i (instantiate $m))
  (func (export "run") (result u32) (canon lift (core func $i "run"))))
