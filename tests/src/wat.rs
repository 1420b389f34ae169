//! Small components written as text: versions to be told apart, loops that take their time, and guests that misbehave.

/// A component made of a core module and typed exports: `(name, parameters and result as WIT types in text, core function)`.
fn component(core: &str, exports: &[(&str, &str, &str)]) -> String {
    use std::fmt::Write;
    let mut text = format!("(component\n(core module $m {core})\n(core instance $i (instantiate $m))\n");
    for (name, signature, options) in exports {
        let core_name = name.replace('-', "_");
        writeln!(text, "(func (export \"{name}\") {signature} (canon lift (core func $i \"{core_name}\") {options}))")
            .expect("a String can be written");
    }
    text.push(')');
    text
}

/// Counts down from its parameter: about a nanosecond a turn.
const COUNT: &str = "(loop $turn (br_if $turn (i64.ne (local.tee 0 (i64.sub (local.get 0) (i64.const 1))) (i64.const 0))))";

/// Two tools, `version` and `slow_version(turns)`, which say the number that the component was made with.
#[must_use]
pub fn version(number: u32) -> String {
    version_and(number, None)
}

/// The same with one more tool of that name.
#[must_use]
pub fn version_and(number: u32, more: Option<&str>) -> String {
    let mut core = format!(
        "(func (export \"version\") (result i32) i32.const {number})
         (func (export \"slow_version\") (param i64) (result i32) {COUNT} i32.const {number})"
    );
    let mut exports = vec![("version", "(result u32)", ""), ("slow-version", "(param \"turns\" u64) (result u32)", "")];
    if let Some(name) = more {
        core.push_str(&format!("(func (export \"{}\") (result i32) i32.const {number})", name.replace('-', "_")));
        exports.push((name, "(result u32)", ""));
    }
    component(&core, &exports)
}

/// `spin` never ends.
#[must_use]
pub fn spin() -> String {
    component("(func (export \"spin\") (loop $forever (br $forever)))", &[("spin", "", "")])
}

/// Never ends to start; `started` would say 1.
#[must_use]
pub fn spin_in_start() -> String {
    component(
        "(func $start (loop $forever (br $forever))) (start $start) (func (export \"started\") (result i32) i32.const 1)",
        &[("started", "(result u32)", "")],
    )
}

/// `grow` takes memory until there is no more, and then says how many pages it got, unless it is ended before.
#[must_use]
pub fn grow_memory() -> String {
    component(
        "(memory 1)
         (func (export \"grow\") (result i32)
           (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
           unreachable)",
        &[("grow", "(result u32)", "")],
    )
}

/// Wants that many pages of memory to start with.
#[must_use]
pub fn large_memory(pages: u32) -> String {
    component(&format!("(memory {pages}) (func (export \"started\") (result i32) i32.const 1)"), &[("started", "(result u32)", "")])
}

/// `grow` makes its table larger until it gets no more.
#[must_use]
pub fn grow_table() -> String {
    component(
        "(table $t 1 funcref)
         (func (export \"grow\") (result i32)
           (loop $more (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 1024)) (i32.const -1))))
           unreachable)",
        &[("grow", "(result u32)", "")],
    )
}

/// `recurse` calls itself without end.
#[must_use]
pub fn recurse() -> String {
    component("(func $deep (export \"recurse\") (result i32) (i32.add (i32.const 1) (call $deep)))", &[("recurse", "(result u32)", "")])
}

/// `trap` does what no program may.
#[must_use]
pub fn trap() -> String {
    component("(func (export \"trap\") unreachable)", &[("trap", "", "")])
}

/// `answer` is a text of that many bytes.
#[must_use]
pub fn large_text(bytes: u32) -> String {
    let pages = bytes / 65536 + 2;
    component(
        &format!(
            "(memory (export \"memory\") {pages})
             (func (export \"answer\") (result i32)
               (memory.fill (i32.const 8) (i32.const 97) (i32.const {bytes}))
               (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const {bytes}))
               i32.const 0)"
        ),
        &[("answer", "(result string)", "(memory $i \"memory\")")],
    )
}

/// `answer` is a list of that many bytes, each of which becomes a value of its own in the host.
#[must_use]
pub fn long_list(items: u32) -> String {
    let pages = items / 65536 + 2;
    component(
        &format!(
            "(memory (export \"memory\") {pages})
             (func (export \"answer\") (result i32)
               (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const {items}))
               i32.const 0)"
        ),
        &[("answer", "(result (list u8))", "(memory $i \"memory\")")],
    )
}

/// `answer` is a list of texts, all of them the same megabyte: 8 bytes in the guest, a megabyte each in the host.
#[must_use]
pub fn same_text_many_times(items: u32) -> String {
    let pages = 16 + items * 8 / 65536 + 2;
    component(
        &format!(
            "(memory (export \"memory\") {pages})
             (func (export \"answer\") (result i32) (local $at i32)
               (memory.fill (i32.const 16) (i32.const 97) (i32.const 1048576))
               (local.set $at (i32.const 1048592))
               (loop $next
                 (i32.store (local.get $at) (i32.const 16)) (i32.store offset=4 (local.get $at) (i32.const 1048576))
                 (local.set $at (i32.add (local.get $at) (i32.const 8)))
                 (br_if $next (i32.lt_u (local.get $at) (i32.const {}))))
               (i32.store (i32.const 0) (i32.const 1048592)) (i32.store (i32.const 4) (i32.const {items}))
               i32.const 0)",
            1_048_592 + items * 8
        ),
        &[("answer", "(result (list string))", "(memory $i \"memory\")")],
    )
}

/// One function with many stores to one address, on which Cranelift takes far more than linear time.
#[must_use]
pub fn compile_bomb(stores: usize) -> String {
    let body = "(i32.store (i32.const 0) (i32.load (i32.const 4)))\n".repeat(stores);
    component(&format!("(memory 1) (func (export \"bomb\") (result i32) {body} i32.const 1)"), &[("bomb", "(result u32)", "")])
}

/// Imports a function that no host has.
pub const OTHER_WORLD: &str = r#"(component
    (import "acme:rocket/engine@1.0.0" (instance $e (export "ignite" (func))))
    (core func $ignite (canon lower (func $e "ignite")))
    (core module $m (import "e" "ignite" (func $f)) (func (export "go") (call $f)))
    (core instance $i (instantiate $m (with "e" (instance (export "ignite" (func $ignite))))))
    (func (export "go") (canon lift (core func $i "go"))))"#;

/// A component that offers nothing.
pub const NO_TOOLS: &str = "(component)";

/// A core module, as a compiler without a component step makes it.
pub const CORE_MODULE: &str = "(module (func (export \"add\") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))";

/// The binary of one of these.
///
/// # Panics
///
/// Where the text is wrong.
#[must_use]
pub fn binary(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|e| panic!("{e}"))
}
