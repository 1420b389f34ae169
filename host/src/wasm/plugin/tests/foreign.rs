//! Files that were made for others: core modules, and imports that nobody offers here.

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::*;

/// A module as a build tool leaves it that makes no components: it writes to stdout by WASI preview
/// 1.
const MODULE: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 64) "hello\n")
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (i32.mul (memory.grow (i32.const 2)) (i32.const 65536)))
    (func (export "add") (param i32 i32) (result i32)
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const 6))
        (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)) (then unreachable))
        (i32.add (local.get 0) (local.get 1))))"#;

/// The same with the world in it that it was written for.
fn with_world(wit: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("world.wit", wit).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = wat::parse_str(MODULE).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

#[tokio::test]
async fn a_core_module_with_its_world_in_it_is_adapted() {
    let host = Host::new(limits());
    let module = with_world("package local:old; world plugin { export add: func(a: u32, b: u32) -> u32; }");
    for _ in 0..2 {
        let provider = host.load_bytes(module.clone()).await.unwrap().provider;
        assert_eq!(provider.tools()[0].name.as_str(), "add");
        assert_eq!(text(&call(&provider, "add", r#"{"a": 2, "b": 3}"#).await.unwrap()), "5");
    }
}

#[tokio::test]
async fn a_core_module_that_cannot_be_adapted_says_what_to_do() {
    let host = Host::new(limits());
    let why = |module: Vec<u8>| {
        let host = &host;
        async move { host.load_bytes(module).await.err().unwrap().0 }
    };
    let told = why(wat::parse_str(MODULE).unwrap()).await;
    assert!(told.contains("core WebAssembly module, not a component") && told.contains("wasm-tools component embed"), "{told}");
    let told = why(with_world("package local:old; world plugin { export subtract: func(a: u32) -> u32; }")).await;
    assert!(told.contains("cannot be made one") && told.contains("subtract"), "{told}");
    let cut = with_world("package local:old; world plugin { export add: func(a: u32, b: u32) -> u32; }");
    for length in [9, cut.len() / 2, cut.len() - 1] {
        let told = why(cut[..length].to_vec()).await;
        assert!(told.contains("core WebAssembly module"), "{length}: {told}");
    }
}

#[tokio::test]
async fn a_missing_import_is_named_whatever_it_is() {
    let host = Host::new(limits());
    for import in [
        "wasi:keyvalue/store@0.2.0-draft2",
        "wasi:config/runtime@0.2.0-draft",
        "wasi:clocks/wall-clock@0.3.0",
        "wasi:http/handler@0.3.0",
        "wasi:blobstore/container@0.2.0",
        "toolbay:plugin/log@0.2.0",
        "toolbay:plugin/log@0.1.0",
        "toolbay:plugin/nothing@0.1.0",
        "acme:db/query",
        "host-function",
    ] {
        let function = r#"(func (param "a" string) (result u32))"#;
        let imported = if import.contains(':') {
            format!(r#"(import "{import}" (instance (export "get" {function})))"#)
        } else {
            format!(r#"(import "{import}" {function})"#)
        };
        let component = format!(
            r#"(component {imported} (core module $m (func (export "run") (result i32) i32.const 1)) (core instance $i (instantiate $m))
                (func (export "run") (result u32) (canon lift (core func $i "run"))))"#
        );
        let told = host.load(&component).await.err().unwrap().0;
        assert!(told.contains(&format!("`{import}`")), "{import}: {told}");
    }
}

#[tokio::test]
async fn a_missing_import_of_any_kind_is_told_by_its_name_and_nothing_else_is_blamed() {
    let host = Host::new(limits());
    let mut wrong = Vec::new();
    let is_there = r#"(import "wasi:cli/stdout@0.2.0" (instance))"#;
    for (import, named) in [
        (r#"(import "acme:db/store@1.0.0" (instance (export "get" (func))))"#, "acme:db/store@1.0.0"),
        (r#"(import "log" (func (param "text" string)))"#, "log"),
        (r#"(import "env" (instance (export "log" (func))))"#, "env"),
        (r#"(import "library" (core module (export "f" (func))))"#, "library"),
        (r#"(import "wasi:cli/nothing@0.2.0" (instance (export "f" (func))))"#, "wasi:cli/nothing@0.2.0"),
        (
            r#"(import "wasi:cli/environment@0.2.0" (instance (export "get-environment" (func (param "of" u32)))))"#,
            "wasi:cli/environment@0.2.0",
        ),
        (r#"(import "wasi:cli/environment@0.2.0" (instance (export "set-environment" (func))))"#, "wasi:cli/environment@0.2.0"),
        (r#"(import "wasi:filesystem/types@0.2.0" (instance (export "path" (type (sub resource)))))"#, "wasi:filesystem/types@0.2.0"),
        (r#"(import "wasi:http/client@0.3.0" (instance (export "send" (func))))"#, "wasi:http/client@0.3.0"),
        (r#"(import "wasi:config/runtime@0.2.0-draft" (instance (export "get" (func))))"#, "wasi:config/runtime@0.2.0-draft"),
        (r#"(import "wasi:keyvalue/watcher@0.2.0-draft" (instance (export "get" (func))))"#, "wasi:keyvalue/watcher@0.2.0-draft"),
        (r#"(import "toolbay:plugin/calls@0.2.0" (instance (export "call" (func))))"#, "toolbay:plugin/calls@0.2.0"),
        (r#"(import "toolbay:plugin/wishes@0.1.0" (instance (export "f" (func))))"#, "toolbay:plugin/wishes@0.1.0"),
    ] {
        let told = match host.load(&format!("(component {is_there} {import})")).await {
            Ok(_) => "it was loaded".to_owned(),
            Err(error) => error.to_string(),
        };
        if !told.contains(&format!("`{named}`")) || told.contains("wasi:cli/stdout") {
            wrong.push(format!("{import}: {told}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A server of wasmcp is a chain of components: one for the transport, one for each feature, two for each tool. Each has a memory and a table of its own.
fn composed(of: usize) -> String {
    let signature = r#"(param "value" u32) (result u32)"#;
    let own = r#"(memory 1) (table 1 funcref) (func (export "run") (param i32) (result i32)"#;
    let lifted = format!(r#"(func (export "handle") {signature} (canon lift (core func $i "run")))"#);
    let links: String =
        (1..of).map(|n| format!(r#"(instance $i{n} (instantiate $link (with "handle" (func $i{} "handle"))))"#, n - 1)).collect();
    format!(
        r#"(component
            (component $end
                (core module $m {own} local.get 0))
                (core instance $i (instantiate $m))
                {lifted})
            (component $link
                (import "handle" (func $next {signature}))
                (core func $next' (canon lower (func $next)))
                (core module $m (import "next" "handle" (func $next (param i32) (result i32))) {own}
                    (i32.add (call $next (local.get 0)) (i32.const 1))))
                (core instance $next (export "handle" (func $next')))
                (core instance $i (instantiate $m (with "next" (instance $next))))
                {lifted})
            (instance $i0 (instantiate $end))
            {links}
            (export "handle" (func $i{} "handle")))"#,
        of - 1
    )
}

#[tokio::test]
async fn a_component_that_is_composed_of_a_dozen_others_runs() {
    let host = Host::new(limits());
    for of in [1, 12] {
        let provider = host.load(&composed(of)).await.unwrap();
        assert_eq!(text(&call(&provider, "handle", r#"{"value": 100}"#).await.unwrap()), (99 + of).to_string());
    }
}
