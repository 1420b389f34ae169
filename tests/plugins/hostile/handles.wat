;; Makes resources and drops none: each handle is memory of the host.
;; expect: call: handle limit
(component
  (type $thing (resource (rep i32)))
  (core func $new (canon resource.new $thing))
  (core module $m
    (import "host" "new" (func $new (param i32) (result i32)))
    (func (export "run") (result i32)
      (loop $more
        (drop (call $new (i32.const 1)))
        (br $more))
      unreachable))
  (core instance $i (instantiate $m (with "host" (instance (export "new" (func $new))))))
  (func (export "run") (result u32) (canon lift (core func $i "run"))))
