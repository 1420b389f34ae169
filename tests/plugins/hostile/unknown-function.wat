;; Asks a known interface for a function that it does not have.
;; expect: load: self-destruct
(component
  (import "toolbay:plugin/context@0.1.0" (instance $context (export "self-destruct" (func))))
  (core func $destruct (canon lower (func $context "self-destruct")))
  (core module $m
    (import "context" "destruct" (func $destruct))
    (func (export "run") (result i32) (call $destruct) (i32.const 1)))
  (core instance $i (instantiate $m (with "context" (instance (export "destruct" (func $destruct))))))
  (func (export "run") (result u32) (canon lift (core func $i "run"))))
