//! The import `notify`: lists that are made again, and updates.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::*;
use crate::wasm::folder::{PluginUpdate, PluginUpdates};

/// A plugin with one resource, `note:aaaaaaaa`, each `a` of which is made another letter by `list`; its tool `run` says that the list has changed, and
/// that `note:aaaaaaaa` was updated.
pub(super) fn guest(list: &str, padding: &str) -> Vec<u8> {
    let uri = "note:aaaaaaaa";
    // A list of one resource, of 42 words, at 2048: `ok` at 1024, and at 1040 the resource whose address and name are the text at 512.
    let resource: Vec<u32> = [&[512, 13, 512, 13][..], &[0; 34]].concat();
    let bytes = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let core = format!(
        r#"(module
            (import "toolbay:plugin/notify@0.1.0" "resources-changed" (func $changed))
            (import "toolbay:plugin/notify@0.1.0" "resource-updated" (func $updated (param i32 i32)))
            (import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))
            (memory (export "memory") 2)
            (data (i32.const 512) "{uri}") (data (i32.const 1024) "{answer}") (data (i32.const 1040) "{resource}")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
            (func (export "toolbay:plugin/resources@0.1.0#list-resources") (result i32) {list} (i32.const 1024))
            (func (export "toolbay:plugin/resources@0.1.0#list-templates") (result i32) (i32.const 0))
            (func (export "toolbay:plugin/resources@0.1.0#read-resource") (param i32 i32) (result i32) unreachable)
            (func (export "run") (call $changed) (call $updated (i32.const 512) (i32.const 13))) {padding})"#,
        answer = bytes(&[0, 1040, 1]),
        resource = bytes(&resource),
    );
    let mut resolve = Resolve::default();
    resolve.push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")).unwrap();
    resolve.push_str("random.wit", "package wasi:random@0.2.0; interface random { get-random-u64: func() -> u64; }").unwrap();
    let world = "package test:some@1.0.0; world some { import toolbay:plugin/notify@0.1.0; import wasi:random/random@0.2.0;
        export toolbay:plugin/resources@0.1.0; export run: func(); }";
    let package = resolve.push_str("some.wit", world).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = wat::parse_str(core).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

/// Another address each time: eight letters, each of four bits of a random number.
pub(super) const RANDOM: &str = r#"(local $n i64) (local $at i32) (local.set $n (call $random)) (local.set $at (i32.const 517))
    (loop $l (i32.store8 (local.get $at) (i32.add (i32.const 97) (i32.wrap_i64 (i64.and (local.get $n) (i64.const 15)))))
        (local.set $n (i64.shr_u (local.get $n) (i64.const 8))) (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $at) (i32.const 525))))"#;

pub(super) fn address(provider: &Arc<dyn Provider>) -> String {
    provider.offers().resources[0].key.clone()
}

async fn next(news: &Arc<dyn PluginUpdates>) -> PluginUpdate {
    tokio::time::timeout(Duration::from_secs(30), news.next()).await.expect("it never says anything")
}

#[tokio::test]
async fn a_list_that_has_changed_is_listed_by_a_new_provider_and_the_old_one_goes_on() {
    let host = Host::new(limits());
    let loaded = host.load_bytes(guest(RANDOM, "")).await.unwrap();
    let (old, news) = (loaded.provider, loaded.news.unwrap());
    // Whoever listens only later hears it too, and a flood is one message.
    for _ in 0..100 {
        call(&old, "run", "{}").await.unwrap();
    }
    let PluginUpdate { relisted, updated } = next(&news).await;
    let relisted = relisted.unwrap();
    assert_eq!(updated, ["note:aaaaaaaa"]);
    assert_ne!(address(&old), address(&relisted.provider));
    assert_eq!((relisted.provider.id(), relisted.provider.tools()), (old.id(), old.tools()));
    assert!(!call(&old, "run", "{}").await.unwrap().is_error);
    // What a call of the old one says is for the new one to hear.
    let again = next(&relisted.news.unwrap()).await;
    assert!(again.relisted.is_some() || again.updated == ["note:aaaaaaaa"]);
}

#[tokio::test]
async fn a_list_that_is_the_same_is_no_news_and_what_a_list_says_of_itself_is_not_heard() {
    let host = Host::new(limits());
    let loaded = host.load_bytes(guest("(call $changed) (call $updated (i32.const 512) (i32.const 13))", "")).await.unwrap();
    let news = loaded.news.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(300), news.next()).await.is_err(), "making the list was heard");
    call(&loaded.provider, "run", "{}").await.unwrap();
    let PluginUpdate { relisted, updated } = next(&news).await;
    assert!(relisted.is_none() && updated == ["note:aaaaaaaa"], "{updated:?}");
}

#[tokio::test]
async fn who_does_not_import_it_is_not_listened_to() {
    let host = Host::new(limits());
    let bytes = wat::parse_str(component(r#"(func (export "run") (result i32) i32.const 7)"#)).unwrap();
    assert!(host.load_bytes(bytes).await.unwrap().news.is_none());
}
