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

/// Wants that many pages of memory to start with.
#[must_use]
pub fn large_memory(pages: u32) -> String {
    component(&format!("(memory {pages}) (func (export \"started\") (result i32) i32.const 1)"), &[("started", "(result u32)", "")])
}

/// `trap` does what no program may.
#[must_use]
pub fn trap() -> String {
    component("(func (export \"trap\") unreachable)", &[("trap", "", "")])
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
        &[("answer", "(result (list string))", "(memory (core memory $i \"memory\"))")],
    )
}

/// One function with many stores to one address, on which Cranelift takes far more than linear time.
#[must_use]
pub fn compile_bomb(stores: usize) -> String {
    let body = "(i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))\n".repeat(stores);
    component(&format!("(memory 1) (func (export \"bomb\") (result i32) {body} i32.const 1)"), &[("bomb", "(result u32)", "")])
}

/// The binary of one of these.
///
/// # Panics
///
/// Where the text is wrong.
#[must_use]
pub fn binary(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|e| panic!("{e}"))
}

/// A component of `tests/plugins/hostile`, with what its file says must come of it.
pub struct Hostile {
    /// The file's name without `.wat`.
    pub name: String,
    /// When it must fail: `load`, `call`, or `any` of the two.
    pub stage: String,
    /// Words that must be in the message, in small letters.
    pub words: String,
    /// Arguments of its tool `run`.
    pub arguments: serde_json::Value,
    /// The binary.
    pub bytes: Vec<u8>,
}

/// All of them, by name.
///
/// # Panics
///
/// Where a file does not say what to expect of it.
#[must_use]
pub fn hostile() -> Vec<Hostile> {
    let folder = crate::files::root().join("tests/plugins/hostile");
    let mut all: Vec<Hostile> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wat"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("the file can be read");
            let header = |key: &str| text.lines().find_map(|line| line.strip_prefix(";; ")?.strip_prefix(key)).map(str::trim);
            let expected = header("expect:").unwrap_or_else(|| panic!("{} says what to expect", path.display()));
            let (stage, words) = expected.split_once(':').unwrap_or_else(|| panic!("{}: {expected}", path.display()));
            Hostile {
                name: path.file_stem().expect("it has a name").to_string_lossy().into_owned(),
                stage: stage.trim().to_owned(),
                words: words.trim().to_lowercase(),
                arguments: header("arguments:")
                    .map_or_else(|| serde_json::json!({}), |text| serde_json::from_str(text).expect("arguments are JSON")),
                bytes: binary(&text),
            }
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// One of them.
///
/// # Panics
///
/// Where there is none of that name.
#[must_use]
pub fn hostile_named(name: &str) -> Vec<u8> {
    hostile().into_iter().find(|hostile| hostile.name == name).unwrap_or_else(|| panic!("tests/plugins/hostile/{name}.wat")).bytes
}
