;; Asks for an interface that no host has.
;; expect: load: acme:rocket/engine
(component
  (import "acme:rocket/engine@1.0.0" (instance $engine (export "ignite" (func (result u32)))))
  (core func $ignite (canon lower (func $engine "ignite")))
  (core module $m
    (import "engine" "ignite" (func $ignite (result i32)))
    (func (export "run") (result i32) (call $ignite)))
  (core instance $i (instantiate $m (with "engine" (instance (export "ignite" (func $ignite))))))
  (func (export "run") (result u32) (canon lift (core func $i "run"))))
