//! Two tiers of code: served early, swapped when better code is ready, with nothing lost and nothing different.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::{telling, *};
use crate::wasm::folder::{PluginUpdate, PluginUpdates};

/// So many functions that nobody calls that a component is worth compiling early.
fn padding() -> String {
    let body = "(drop (i32.const 100000))".repeat(100);
    (0..300).fold(String::new(), |mut text, _| {
        let _ = write!(text, "(func {body})");
        text
    })
}

pub(super) fn large(core: &str) -> Vec<u8> {
    wat::parse_str(component(&format!("{core} {}", padding()))).unwrap()
}

async fn next(news: &Arc<dyn PluginUpdates>) -> PluginUpdate {
    tokio::time::timeout(Duration::from_secs(120), news.next()).await.expect("it never says anything")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_code_serves_until_optimised_code_takes_over_and_its_calls_end_on_it() {
    let host = Host::new(PluginLimits { timeout: Duration::from_secs(3), concurrency: 2, queue: 0, ..limits() });
    let core = r#"(global $n (mut i32) (i32.const 0)) (memory 1)
        (func (export "run") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1)))
            (loop $l (br_if $l (i32.const SPINS))) (global.get $n))"#;
    let early = host.load_bytes(large(&core.replace("SPINS", "0"))).await.unwrap();
    assert_eq!(early.compiled.unwrap().by, "winch");
    assert_eq!(text(&call(&early.provider, "run", "{}").await.unwrap()), "1");
    let PluginUpdate { relisted, updated } = next(&early.news.unwrap()).await;
    let better = relisted.unwrap();
    assert!(updated.is_empty() && better.news.is_none());
    assert_eq!(better.compiled.unwrap().by, "cranelift");
    assert_eq!(better.provider.tools(), early.provider.tools());
    for provider in [&early.provider, &better.provider] {
        assert_eq!(text(&call(provider, "run", "{}").await.unwrap()), "1");
    }
    // A call that is in flight when the code is swapped ends as it would have, and counts for both.
    let early = host.load_bytes(large(&core.replace("SPINS", "1"))).await.unwrap();
    let old = early.provider.clone();
    let running = tokio::spawn(async move { call(&old, "run", "{}").await });
    let better = next(&early.news.unwrap()).await.relisted.unwrap();
    drop(early.provider);
    let ended = running.await.unwrap().unwrap();
    assert!(text(&ended).contains("time limit"), "{}", text(&ended));
    assert_eq!(better.load.in_flight(), 0);
    // From the cache it is optimised at once.
    let again = host.load_bytes(large(&core.replace("SPINS", "1"))).await.unwrap();
    assert!(again.compiled.unwrap().by == "cranelift" && again.news.is_none());
}

#[tokio::test]
async fn what_nobody_listens_to_is_not_compiled_again() {
    let host = Host::new(limits());
    let early = host.load_bytes(large(r#"(func (export "run") (result i32) i32.const 7)"#)).await.unwrap();
    assert_eq!(text(&call(&early.provider, "run", "{}").await.unwrap()), "7");
    drop(early);
    assert_eq!(host.load_bytes(large(r#"(func (export "run") (result i32) i32.const 7)"#)).await.unwrap().compiled.unwrap().by, "winch");
}

#[tokio::test]
async fn what_early_code_says_of_changes_is_heard_however_the_swap_falls() {
    let host = Host::new(limits());
    let bytes = telling::guest(telling::RANDOM, &padding());
    let mut loaded = host.load_bytes(bytes).await.unwrap();
    assert_eq!(loaded.compiled.unwrap().by, "winch");
    let first = telling::address(&loaded.provider);
    call(&loaded.provider, "run", "{}").await.unwrap();
    let (mut relisted_as, mut updates) = (Vec::new(), 0);
    // In whatever order they come: the swap, the new list, the update.
    while loaded.compiled.unwrap().by == "winch" || relisted_as.is_empty() || updates == 0 {
        let update = next(loaded.news.as_ref().unwrap()).await;
        updates += update.updated.len();
        if let Some(next) = update.relisted {
            if telling::address(&next.provider) != telling::address(&loaded.provider) {
                relisted_as.push(telling::address(&next.provider));
            }
            loaded = next;
        }
    }
    assert!(relisted_as.iter().all(|address| *address != first));
    assert!(!call(&loaded.provider, "run", "{}").await.unwrap().is_error);
}

/// An expression of one parameter of each kind, by what both compilers can translate in many ways.
fn expression(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|n| format!("(i64.const {n})")),
        Just("(local.get 0)".to_owned()),
        Just("(i64.extend_i32_s (local.get 1))".to_owned()),
        Just("(i64.reinterpret_f64 (local.get 2))".to_owned()),
    ];
    let two = ["add", "sub", "mul", "and", "or", "xor", "shl", "shr_s", "shr_u", "rotl", "rotr", "div_s", "div_u", "rem_s", "rem_u"];
    let one = [
        "(i64.clz X)",
        "(i64.ctz X)",
        "(i64.popcnt X)",
        "(i64.extend8_s X)",
        "(i64.extend16_s X)",
        "(i64.extend_i32_u (i64.eqz X))",
        "(i64.extend_i32_u (i32.wrap_i64 X))",
        "(i64.trunc_sat_f64_s (f64.convert_i64_u X))",
        "(i64.trunc_sat_f32_u (f32.convert_i64_s X))",
        "(i64.reinterpret_f64 (f64.floor (f64.convert_i64_s X)))",
        "(i64.reinterpret_f64 (f64.sqrt (f64.abs (f64.convert_i64_s X))))",
        "(i64.load16_s (i32.and (i32.wrap_i64 X) (i32.const 65535)))",
        "(i64.load32_u offset=3 (i32.and (i32.wrap_i64 X) (i32.const 131071)))",
        "(call $stored X)",
    ];
    leaf.prop_recursive(depth, 40, 3, move |inner| {
        prop_oneof![
            (prop::sample::select(two.to_vec()), inner.clone(), inner.clone()).prop_map(|(op, a, b)| format!("(i64.{op} {a} {b})")),
            (prop::sample::select(one.to_vec()), inner.clone()).prop_map(|(op, x)| op.replace('X', &x)),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("(if (result i64) (i32.wrap_i64 {c}) (then {a}) (else {b}))")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(select {a} {b} (i64.lt_s {c} {a}))")),
        ]
    })
    .boxed()
}

fn program(expression: &str) -> String {
    format!(
        r#"(component (core module $m (memory 2)
                (func $stored (param i64) (result i64)
                    (i64.store32 offset=16 (i32.and (i32.wrap_i64 (local.get 0)) (i32.const 0xfff0)) (local.get 0))
                    (memory.fill (i32.and (i32.wrap_i64 (local.get 0)) (i32.const 0xfff)) (i32.const 171) (i32.const 77))
                    (i64.load (i32.const 16)))
                (func (export "run") (param i64 i32 f64) (result i64) {expression}))
            (core instance $i (instantiate $m))
            (func (export "run") (param "a" s64) (param "b" s32) (param "c" f64) (result s64) (canon lift (core func $i "run"))))"#
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Answers, traps and what is said of them.
    #[test]
    fn both_compilers_answer_the_same(
        expression in expression(6),
        arguments in prop::collection::vec((any::<i64>(), any::<i32>(), -1e19f64..1e19), 1..8),
    ) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let [winch, cranelift] = Host::both(&limits());
            let text_of = program(&expression);
            let (winch, cranelift) = (winch.load(&text_of).await.unwrap(), cranelift.load(&text_of).await.unwrap());
            for (a, b, c) in arguments {
                let arguments = serde_json::json!({ "a": a, "b": b, "c": c }).to_string();
                let answers = [&winch, &cranelift].map(|provider| call(provider, "run", &arguments));
                let [first, second] = answers;
                let (first, second) = (first.await.unwrap(), second.await.unwrap());
                assert_eq!((first.is_error, text(&first)), (second.is_error, text(&second)), "{arguments} to {expression}");
            }
        });
    }
}
