;; Logs without an end.
;; expect: call: time limit
(component
  (import "toolbay:plugin/log@0.1.0" (instance $log
    (type $level (enum "debug" "info" "notice" "warning" "error" "critical" "alert" "emergency"))
    (export "log-level" (type $log-level (eq $level)))
    (export "message" (func (param "level" $log-level) (param "text" string)))))
  (core module $memory
    (memory (export "memory") 1)
    (data (i32.const 64) "water, water, everywhere"))
  (core instance $memory (instantiate $memory))
  (core func $message (canon lower (func $log "message") (memory (core memory $memory "memory"))))
  (core module $m
    (import "log" "message" (func $message (param i32 i32 i32)))
    (func (export "run") (result i32)
      (loop $forever
        (call $message (i32.const 1) (i32.const 64) (i32.const 24))
        (br $forever))
      unreachable))
  (core instance $i (instantiate $m (with "log" (instance (export "message" (func $message))))))
  (func (export "run") (result u32) (canon lift (core func $i "run"))))
