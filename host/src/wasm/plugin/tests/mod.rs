//! Plugins of a few lines of WebAssembly text through the whole way: load, call, be ended.

mod asking;
mod foreign;
mod offers;
mod on_demand;
mod optimised;
mod reuse;
mod telling;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::*;
use crate::{
    config::{Config, PluginCompiler, PluginConfig, PluginLimits},
    provider::CallContext,
    wasm::{
        compile::Worker,
        folder::{LoadError, Loaded, Loader, Source},
    },
};

/// A host with a cache of its own, which goes with it.
struct Host {
    host: Arc<PluginHost>,
    compiler: PluginCompiler,
    _folder: tempfile::TempDir,
}

/// Who compiles: a limit that one of them did not keep would be none.
const COMPILERS: [PluginCompiler; 2] = [PluginCompiler::Winch, PluginCompiler::Cranelift];

impl Host {
    /// As it is configured by default: what is small is compiled by Cranelift.
    fn new(limits: PluginLimits) -> Self {
        Self::with(PluginCompiler::Auto, 8, PluginConfig { limits, ..PluginConfig::default() })
    }

    /// One for each compiler.
    fn both(limits: &PluginLimits) -> [Self; 2] {
        COMPILERS.map(|compiler| Self::with(compiler, 8, PluginConfig { limits: limits.clone(), ..PluginConfig::default() }))
    }

    fn with(compiler: PluginCompiler, instances: u32, given: PluginConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        (config.host.instances, config.host.compiler) = (instances, compiler);
        config.host.cache = Some(folder.path().join("cache"));
        Self { host: PluginHost::with_limits(Arc::new(config), Worker::InProcess, given), compiler, _folder: folder }
    }

    async fn load(&self, text: &str) -> Result<Arc<dyn Provider>, LoadError> {
        self.load_bytes(wat::parse_str(text).unwrap()).await.map(|loaded| loaded.provider)
    }

    async fn load_bytes(&self, bytes: Vec<u8>) -> Result<Loaded, LoadError> {
        let bytes = Bytes::from(bytes);
        let source =
            Source { id: ProviderId::new("p").unwrap(), path: "p.wasm".into(), digest: blake3::hash(&bytes), bytes, sidecar: None };
        let loaded = self.host.load(source).await?;
        let by = loaded.compiled.unwrap().by;
        match self.compiler {
            PluginCompiler::Auto => {}
            PluginCompiler::Winch => assert_eq!(by, "winch"),
            PluginCompiler::Cranelift => assert_eq!(by, "cranelift"),
        }
        Ok(loaded)
    }

    /// Loads a component whose export `run` has this core code behind it, and calls it.
    async fn run(&self, core: &str) -> CallOutput {
        let provider = self.load(&component(core)).await.unwrap();
        call(&provider, "run", "{}").await.unwrap()
    }
}

fn limits() -> PluginLimits {
    PluginLimits { timeout: Duration::from_millis(300), memory: 16 << 20, output: 1 << 20, ..PluginLimits::default() }
}

fn component(core: &str) -> String {
    format!(
        r#"(component (core module $m {core}) (core instance $i (instantiate $m))
            (func (export "run") (result u32) (canon lift (core func $i "run"))))"#
    )
}

async fn call(provider: &Arc<dyn Provider>, tool: &str, arguments: &str) -> Result<CallOutput, CallError> {
    provider.call(Call { tool, arguments, context: Box::default() }).await
}

fn text(output: &CallOutput) -> String {
    output
        .content
        .iter()
        .map(|block| match block {
            Content::Text(text) => text.clone(),
            Content::Block(json) => json.as_str().to_owned(),
        })
        .collect()
}

#[tokio::test]
async fn a_plain_function_is_a_tool() {
    for host in Host::both(&limits()) {
        let provider = host
            .load(
                r#"(component (core module $m (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
                (core instance $i (instantiate $m))
                (func (export "add-two") (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "add"))))"#,
            )
            .await
            .unwrap();
        assert_eq!(provider.tools()[0].name.as_str(), "add_two");
        let output = call(&provider, "add_two", r#"{"a": 2, "b": -5}"#).await.unwrap();
        assert_eq!((text(&output).as_str(), output.is_error), ("-3", false));
        assert_eq!(output.structured.unwrap().as_str(), r#"{"result":-3}"#);
        let output = call(&provider, "add_two", r#"{"a": 2.5}"#).await.unwrap();
        assert!(output.is_error && text(&output).contains('a') && text(&output).contains('b'), "{output:?}");
        assert!(matches!(call(&provider, "other", "{}").await, Err(CallError::UnknownTool(_))));
    }
}

#[tokio::test]
async fn every_call_has_a_fresh_instance() {
    for host in Host::both(&limits()) {
        let provider = host
            .load(&component(
                r#"(global $n (mut i32) (i32.const 0))
               (func (export "run") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))"#,
            ))
            .await
            .unwrap();
        for _ in 0..20 {
            assert_eq!(text(&call(&provider, "run", "{}").await.unwrap()), "1");
        }
    }
}

#[tokio::test]
async fn each_limit_is_named() {
    for host in Host::both(&limits()) {
        let endless = "(loop $l (br $l))";
        let cases = [
            ("time limit (300ms)", format!(r#"(func (export "run") (result i32) {endless} unreachable)"#)),
            ("time limit (300ms)", format!(r#"(func $s {endless}) (start $s) (func (export "run") (result i32) i32.const 0)"#)),
            ("stack limit", r#"(func $r (export "run") (result i32) (i32.add (call $r) (call $r)))"#.to_owned()),
            (
                "memory limit (16 MiB)",
                r#"(memory 1) (func (export "run") (result i32)
                (loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable)"#
                    .to_owned(),
            ),
            (
                "table limit (100000 elements)",
                r#"(table $t 1 funcref) (func (export "run") (result i32)
                (loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) unreachable)"#
                    .to_owned(),
            ),
        ];
        for (limit, core) in cases {
            let output = host.run(&core).await;
            assert!(output.is_error && text(&output).contains(limit), "{limit}: {}", text(&output));
        }
    }
}

#[tokio::test]
async fn a_large_answer_is_ended_by_the_output_limit() {
    for host in Host::both(&PluginLimits { memory: 256 << 20, ..limits() }) {
        for bytes in [2 << 20, 100 << 20] {
            let provider = host
                .load(&format!(
                    r#"(component (core module $m (memory (export "memory") 2048)
                    (func (export "run") (result i32)
                        (memory.fill (i32.const 64) (i32.const 97) (i32.const {bytes}))
                        (i32.store (i32.const 16) (i32.const 64)) (i32.store (i32.const 20) (i32.const {bytes})) (i32.const 16)))
                    (core instance $i (instantiate $m))
                    (func (export "run") (result string) (canon lift (core func $i "run") (memory (core memory $i "memory")))))"#
                ))
                .await
                .unwrap();
            let output = call(&provider, "run", "{}").await.unwrap();
            assert!(output.is_error && text(&output).contains("output limit"), "{}", text(&output));
        }
    }
}

#[tokio::test]
async fn resources_without_end_are_ended_by_the_handle_limit() {
    for host in Host::both(&limits()) {
        let provider = host
            .load(
                r#"(component (type $r (resource (rep i32))) (core func $new (canon resource.new $r))
                (core module $m (import "" "new" (func $new (param i32) (result i32)))
                    (func (export "run") (result i32) (loop $l (drop (call $new (i32.const 1))) (br $l)) unreachable))
                (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
                (func (export "run") (result u32) (canon lift (core func $i "run"))))"#,
            )
            .await
            .unwrap();
        let output = call(&provider, "run", "{}").await.unwrap();
        assert!(text(&output).contains("handle limit"), "{}", text(&output));
    }
}

#[tokio::test]
async fn a_crash_says_what_and_where_to_look() {
    for host in Host::both(&limits()) {
        let output = host.run(r#"(func (export "run") (result i32) unreachable)"#).await;
        assert!(output.is_error && text(&output).contains("unreachable") && text(&output).contains("log"), "{}", text(&output));
    }
}

#[tokio::test]
async fn what_cannot_serve_says_why() {
    let host = Host::new(limits());
    let cases = [
        ("(component)", "no tools"),
        (r#"(component (import "acme:db/query@1.0.0" (instance (export "run" (func)))))"#, "acme:db/query"),
        (r#"(component (core module $m (memory 1000)) (core instance (instantiate $m)))"#, "raise `memory`"),
        (
            r#"(component (import "toolbay:plugin/context@0.1.0" (instance (export "call-id" (func (result u32))))))"#,
            "toolbay:plugin/context",
        ),
    ];
    for (text, word) in cases {
        let message = host.load(text).await.err().unwrap().to_string();
        assert!(message.contains(word), "{word}: {message}");
    }
}

#[tokio::test]
async fn a_plugin_is_interrupted_when_nothing_of_its_host_is_left() {
    for host in Host::both(&limits()) {
        let Host { host, _folder, .. } = host;
        let bytes = Bytes::from(wat::parse_str(component(r#"(func (export "run") (result i32) (loop $l (br $l)) unreachable)"#)).unwrap());
        let source =
            Source { id: ProviderId::new("p").unwrap(), path: "p.wasm".into(), digest: blake3::hash(&bytes), bytes, sidecar: None };
        let provider = host.load(source).await.unwrap().provider;
        drop(host);
        let output = tokio::time::timeout(Duration::from_secs(20), call(&provider, "run", "{}")).await.expect("never ended").unwrap();
        assert!(text(&output).contains("time limit"), "{}", text(&output));
    }
}

#[tokio::test]
async fn what_does_not_fit_the_pool_says_so() {
    let host = Host::new(limits());
    let many = format!("(component (core module $m (global i32 (i32.const 0))) {})", "(core instance (instantiate $m))".repeat(300));
    let message = host.load(&many).await.err().unwrap().to_string();
    assert!(message.contains("pool") && message.contains("300"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_spin_leave_room_for_others() {
    for host in Host::both(&PluginLimits { timeout: Duration::from_secs(2), ..limits() }) {
        let spin = host.load(&component(r#"(func (export "run") (result i32) (loop $l (br $l)) unreachable)"#)).await.unwrap();
        let spinning: Vec<_> = (0..4)
            .map(|_| {
                let spin = spin.clone();
                tokio::spawn(async move { call(&spin, "run", "{}").await })
            })
            .collect();
        let quick = host.load(&component(r#"(func (export "run") (result i32) i32.const 7)"#)).await.unwrap();
        for _ in 0..10 {
            let answer = tokio::time::timeout(Duration::from_secs(1), call(&quick, "run", "{}")).await;
            assert_eq!(text(&answer.expect("starved").unwrap()), "7");
        }
        for call in spinning {
            assert!(text(&call.await.unwrap().unwrap()).contains("time limit"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_call_gives_its_place_back() {
    for host in Host::both(&PluginLimits { concurrency: 1, queue: 0, timeout: Duration::from_secs(60), ..limits() }) {
        let spin = host.load(&component(r#"(func (export "run") (result i32) (loop $l (br $l)) unreachable)"#)).await.unwrap();
        for _ in 0..3 {
            let ended = tokio::time::timeout(Duration::from_millis(50), call(&spin, "run", "{}")).await;
            assert!(ended.is_err(), "{ended:?}");
        }
    }
}

#[tokio::test]
async fn a_request_with_a_method_of_any_length_is_not_kept() {
    let host = Host::new(limits());
    let component = |length: usize| {
        format!(
            r#"(component
                (import "wasi:http/types@0.2.0" (instance $http
                    (export "fields" (type $fields (sub resource)))
                    (export "outgoing-request" (type $request (sub resource)))
                    (type $methods (variant (case "get") (case "head") (case "post") (case "put") (case "delete") (case "connect") (case "options")
                        (case "trace") (case "patch") (case "other" string)))
                    (export "method" (type $method (eq $methods)))
                    (export "[constructor]fields" (func (result (own $fields))))
                    (export "[constructor]outgoing-request" (func (param "headers" (own $fields)) (result (own $request))))
                    (export "[method]outgoing-request.set-method"
                        (func (param "self" (borrow $request)) (param "method" $method) (result (result))))))
                (core module $memory (memory (export "m") 4))
                (core instance $memory (instantiate $memory))
                (alias core export $memory "m" (core memory $shared))
                (core func $fields (canon lower (func $http "[constructor]fields")))
                (core func $request (canon lower (func $http "[constructor]outgoing-request")))
                (core func $set (canon lower (func $http "[method]outgoing-request.set-method") (memory $shared)))
                (core module $m
                    (import "" "m" (memory 4))
                    (import "" "fields" (func $fields (result i32)))
                    (import "" "request" (func $request (param i32) (result i32)))
                    (import "" "set" (func $set (param i32 i32 i32 i32) (result i32)))
                    (func (export "run") (result i32)
                        (memory.fill (i32.const 0) (i32.const 65) (i32.const {length}))
                        (call $set (call $request (call $fields)) (i32.const 9) (i32.const 0) (i32.const {length}))))
                (core instance $i (instantiate $m (with "" (instance (export "m" (memory $shared)) (export "fields" (func $fields))
                    (export "request" (func $request)) (export "set" (func $set))))))
                (func (export "run") (result u32) (canon lift (core func $i "run"))))"#
        )
    };
    for (length, refused) in [(10, "0"), (200_000, "1")] {
        let provider = host.load(&component(length)).await.unwrap();
        assert_eq!(text(&call(&provider, "run", "{}").await.unwrap()), refused, "{length} bytes");
    }
}

#[tokio::test]
async fn a_plugin_built_when_an_interface_had_fewer_functions_runs() {
    let host = Host::new(limits());
    let provider = host
        .load(
            r#"(component
                (import "toolbay:plugin/context@0.1.0" (instance $context (export "remaining-ms" (func (result u64)))))
                (core func $left (canon lower (func $context "remaining-ms")))
                (core module $m (import "" "left" (func $left (result i64)))
                    (func (export "run") (result i32) (i64.gt_u (call $left) (i64.const 0))))
                (core instance $i (instantiate $m (with "" (instance (export "left" (func $left))))))
                (func (export "run") (result u32) (canon lift (core func $i "run"))))"#,
        )
        .await
        .unwrap();
    assert_eq!(text(&call(&provider, "run", "{}").await.unwrap()), "1");
}
