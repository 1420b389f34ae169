;; A core module, and no component.
;; expect: load: core module
(module
  (func (export "run") (result i32) (i32.const 1)))
