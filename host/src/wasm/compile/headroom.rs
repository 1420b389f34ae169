//! Room to grow: memories start larger than they say, and their guests do not see it.
//!
//! A guest that allocates grows its memory, most of them in every call. For the host that is a change of the protection of pages, and another one back
//! before the next call: both stop every thread that maps memory and interrupt all processors, and together they cost more than the rest of a sandbox. So a
//! module is rewritten before it is compiled. Its memory starts with [`HEADROOM`] more, and what it asks and is told of the size is counted by a global of
//! its own: `memory.size` reads that, and `memory.grow` counts up as long as there is room, and grows the memory where there is none. Pages that nobody
//! writes to cost nothing.
//!
//! What differs: reading or writing just beyond the size that a guest knows finds zeros in place of a trap, still within the guest's own memory.

use wasm_encoder::{BlockType, Component, ConstExpr, Encode as _, Function, GlobalType, Module, RawSection, ValType};
use wasmparser::{BinaryReader, Operator, Parser, Payload, TypeRef};

/// Bytes of a page.
const PAGE: usize = 64 << 10;

/// Bytes by which a memory starts larger.
pub(crate) const HEADROOM: usize = 1 << 20;

const PAGES: u64 = (HEADROOM / PAGE) as u64;

/// The maximum of a memory with headroom, in pages. It has none otherwise, and by this the limiter knows it.
const MAXIMUM: u64 = 65_535;

/// How the code that is kept differs from what earlier versions kept.
pub(crate) const VERSION: u32 = 1;

/// Ids of sections, by the binary format of core modules and of components.
mod section {
    pub(super) const CUSTOM: u8 = 0;
    pub(super) const TYPE: u8 = 1;
    pub(super) const FUNCTION: u8 = 3;
    pub(super) const TABLE: u8 = 4;
    pub(super) const MEMORY: u8 = 5;
    pub(super) const GLOBAL: u8 = 6;
    pub(super) const CODE: u8 = 10;
    pub(super) const IMPORT: u8 = 2;
    pub(super) const TAG: u8 = 13;

    pub(super) const CORE_MODULE: u8 = 1;
    pub(super) const COMPONENT: u8 = 4;
}

/// Bytes of magic number and version.
const HEADER: usize = 8;

/// Whether a memory with this maximum, in bytes, has headroom.
pub(crate) fn has_headroom(maximum: Option<usize>) -> bool {
    maximum.is_some_and(|maximum| maximum as u64 == MAXIMUM * PAGE as u64)
}

/// The component with headroom in its memories. None: it has no memory that grows, or one that has to stay as it is.
pub(crate) fn give(component: &[u8]) -> Option<Vec<u8>> {
    let mut modules = Vec::new();
    collect(component, &mut modules)?;
    // Who grows the memory of another module would not know what that one counts.
    if modules.iter().any(|module| module.imports_memory && module.asks) {
        return None;
    }
    let mut next = modules.iter();
    let mut any = false;
    let component = rewritten(component, &mut next, &mut any)?;
    any.then_some(component)
}

/// What is to be known about a module.
#[derive(Debug, Default)]
struct Facts {
    imports_memory: bool,
    /// It has `memory.size` or `memory.grow`.
    asks: bool,
    /// It has `memory.grow`.
    grows: bool,
    /// It has one memory, of its own, which may be made larger.
    can_start_larger: bool,
    /// The pages that the memory starts with.
    initial: u64,
    /// Places in its code are known to others: a debugger, or hints for the compiler.
    has_places: bool,
    types: u32,
    functions: u32,
    globals: u32,
}

impl Facts {
    fn of(module: &[u8]) -> wasmparser::Result<Self> {
        let mut facts = Self::default();
        let mut memories = Vec::new();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(types) => {
                    for group in types {
                        facts.types += u32::try_from(group?.types().len()).unwrap_or(u32::MAX);
                    }
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        match import?.ty {
                            TypeRef::Func(_) | TypeRef::FuncExact(_) => facts.functions += 1,
                            TypeRef::Global(_) => facts.globals += 1,
                            TypeRef::Memory(_) => facts.imports_memory = true,
                            TypeRef::Table(_) | TypeRef::Tag(_) => {}
                        }
                    }
                }
                Payload::FunctionSection(functions) => facts.functions += functions.count(),
                Payload::GlobalSection(globals) => facts.globals += globals.count(),
                Payload::MemorySection(section) => memories = section.into_iter().collect::<wasmparser::Result<_>>()?,
                Payload::CustomSection(custom) => {
                    facts.has_places |= custom.name().starts_with(".debug_") || custom.name().starts_with("metadata.code.");
                }
                Payload::CodeSectionEntry(body) => {
                    for operator in body.get_operators_reader()? {
                        let operator = operator?;
                        facts.grows |= matches!(operator, Operator::MemoryGrow { .. });
                        facts.asks |= matches!(operator, Operator::MemoryGrow { .. } | Operator::MemorySize { .. });
                    }
                }
                _ => {}
            }
        }
        if let [memory] = memories.as_slice() {
            facts.initial = memory.initial;
            facts.can_start_larger = !memory.memory64
                && !memory.shared
                && memory.maximum.is_none()
                && memory.page_size_log2.is_none()
                && memory.initial + PAGES < MAXIMUM;
        }
        Ok(facts)
    }

    fn wants_headroom(&self) -> bool {
        self.grows && self.can_start_larger && !self.imports_memory && !self.has_places
    }
}

/// The sections of a module or a component: ids and contents. None: it is no such thing, and the compiler has the words for that.
fn sections(bytes: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut reader = BinaryReader::new(bytes.get(HEADER..)?, 0);
    let mut sections = Vec::new();
    while !reader.eof() {
        let id = reader.read_u8().ok()?;
        let length = usize::try_from(reader.read_var_u32().ok()?).ok()?;
        sections.push((id, reader.read_bytes(length).ok()?));
    }
    Some(sections)
}

/// What is to be known about all modules of a component, those in components within it too, in their order.
fn collect(component: &[u8], modules: &mut Vec<Facts>) -> Option<()> {
    for (id, content) in sections(component)? {
        match id {
            section::CORE_MODULE => modules.push(Facts::of(content).ok()?),
            section::COMPONENT => collect(content, modules)?,
            _ => {}
        }
    }
    Some(())
}

/// The component with its modules rewritten.
fn rewritten<'a>(component: &[u8], facts: &mut impl Iterator<Item = &'a Facts>, any: &mut bool) -> Option<Vec<u8>> {
    let mut whole = Component::new();
    for (id, content) in sections(component)? {
        let changed = match id {
            section::CORE_MODULE => {
                let facts = facts.next()?;
                *any |= facts.wants_headroom();
                if facts.wants_headroom() { Some(module(content, facts)?) } else { None }
            }
            section::COMPONENT => Some(rewritten(content, facts, any)?),
            _ => None,
        };
        whole.section(&RawSection { id, data: changed.as_deref().unwrap_or(content) });
    }
    Some(whole.finish())
}

/// One module with headroom. What is added comes last in its section, so that no index of what is there changes.
fn module(bytes: &[u8], facts: &Facts) -> Option<Vec<u8>> {
    let (size, grow) = (facts.globals, facts.functions);
    let mut counter = Vec::new();
    let count = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
    wasm_encoder::GlobalSection::new().global(count, &ConstExpr::i32_const(i32::try_from(facts.initial).ok()?)).encode(&mut counter);
    let mut whole = Module::new();
    let mut counted = false;
    for (id, content) in sections(bytes)? {
        let before = matches!(
            id,
            section::CUSTOM | section::TYPE | section::IMPORT | section::FUNCTION | section::TABLE | section::MEMORY | section::TAG
        );
        if !before && !counted {
            // It has no global of its own.
            counted = true;
            if id != section::GLOBAL {
                let data = one_of(&counter)?;
                whole.section(&RawSection { id: section::GLOBAL, data });
            }
        }
        let data = match id {
            section::TYPE => with_one_more(content, &[0x60, 1, 0x7f, 1, 0x7f])?,
            section::FUNCTION => {
                let mut index = Vec::new();
                facts.types.encode(&mut index);
                with_one_more(content, &index)?
            }
            section::MEMORY => {
                // One memory, with a maximum.
                let mut memory = vec![1, 1];
                (facts.initial + PAGES).encode(&mut memory);
                MAXIMUM.encode(&mut memory);
                memory
            }
            section::GLOBAL => with_one_more(content, entry(&counter)?)?,
            section::CODE => code(content, size, grow)?,
            _ => content.to_vec(),
        };
        whole.section(&RawSection { id, data: &data });
    }
    Some(whole.finish())
}

/// A section's content as it is encoded, without its length.
fn one_of(encoded: &[u8]) -> Option<&[u8]> {
    let mut reader = BinaryReader::new(encoded, 0);
    reader.read_var_u32().ok()?;
    encoded.get(reader.original_position()..)
}

/// The one entry of a section.
fn entry(encoded: &[u8]) -> Option<&[u8]> {
    one_of(one_of(encoded)?)
}

/// A section with one more entry behind those that it has.
fn with_one_more(content: &[u8], entry: &[u8]) -> Option<Vec<u8>> {
    let mut reader = BinaryReader::new(content, 0);
    let count = reader.read_var_u32().ok()?;
    let mut more = Vec::with_capacity(content.len() + entry.len() + 1);
    count.checked_add(1)?.encode(&mut more);
    more.extend_from_slice(content.get(reader.original_position()..)?);
    more.extend_from_slice(entry);
    Some(more)
}

/// The code, with the size read from the counter, and the memory grown by a function that counts.
fn code(content: &[u8], size: u32, grow: u32) -> Option<Vec<u8>> {
    let mut reader = BinaryReader::new(content, 0);
    let count = reader.read_var_u32().ok()?;
    let mut code = Vec::with_capacity(content.len() + 64);
    count.checked_add(1)?.encode(&mut code);
    for _ in 0..count {
        let length = usize::try_from(reader.read_var_u32().ok()?).ok()?;
        let body = reader.read_bytes(length).ok()?;
        match function(body, size, grow)? {
            Some(changed) => changed.as_slice().encode(&mut code),
            None => body.encode(&mut code),
        }
    }
    grown(size).encode(&mut code);
    Some(code)
}

/// A function that asks for the size or grows the memory. None within: it does neither, and stays as it is.
fn function(body: &[u8], size: u32, grow: u32) -> Option<Option<Vec<u8>>> {
    let parsed = wasmparser::FunctionBody::new(BinaryReader::new(body, 0));
    let mut changed = Vec::new();
    // Up to here it is copied.
    let mut done = 0;
    let mut operators = parsed.get_operators_reader().ok()?;
    while !operators.eof() {
        let at = operators.original_position();
        let instead = match operators.read().ok()? {
            Operator::MemorySize { .. } => wasm_encoder::Instruction::GlobalGet(size),
            Operator::MemoryGrow { .. } => wasm_encoder::Instruction::Call(grow),
            _ => continue,
        };
        changed.extend_from_slice(body.get(done..at)?);
        instead.encode(&mut changed);
        done = operators.original_position();
    }
    if done == 0 {
        return Some(None);
    }
    changed.extend_from_slice(body.get(done..)?);
    Some(Some(changed))
}

/// `memory.grow` over the counter: takes pages, answers the size before, or -1.
fn grown(size: u32) -> Function {
    let (pages, wanted) = (0, 1);
    let mut function = Function::new([(1, ValType::I32)]);
    let refused = |function: &mut Function| {
        function.instructions().if_(BlockType::Empty).i32_const(-1).return_().end();
    };
    // More than 32 bits is more than there can be.
    function.instructions().global_get(size).local_get(pages).i32_add().local_tee(wanted).global_get(size).i32_lt_u();
    refused(&mut function);
    function.instructions().local_get(wanted).memory_size(0).i32_gt_u().if_(BlockType::Empty);
    function.instructions().local_get(wanted).memory_size(0).i32_sub().memory_grow(0).i32_const(-1).i32_eq();
    refused(&mut function);
    function.instructions().end();
    function.instructions().global_get(size).local_get(wanted).global_set(size).end();
    function
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wasmtime::{Engine, Store, component};

    use super::*;

    /// A component that answers what `memory.size` and `memory.grow` say, with more around it than they need.
    const GROWS: &str = r#"(component
        (core module $m
            (type (func (param i32) (result i32)))
            (memory (export "memory") 2)
            (table 1 funcref)
            GLOBAL
            (func (export "size") (result i32) memory.size)
            (func $twice (param i32) (result i32) (drop (memory.grow (i32.const 0))) (memory.grow (local.get 0)))
            (func (export "grow") (param i32) (result i32) (call $twice (local.get 0)))
            (func (export "peek") (param i32) (result i32) (i32.load (local.get 0)))
            (func (export "poke") (param i32) (i32.store (local.get 0) (i32.const 7)))
            (elem (i32.const 0) $twice)
            (data (i32.const 8) "\2a\00\00\00"))
        (core instance $i (instantiate $m))
        (func (export "size") (result u32) (canon lift (core func $i "size")))
        (func (export "grow") (param "pages" u32) (result u32) (canon lift (core func $i "grow")))
        (func (export "peek") (param "at" u32) (result u32) (canon lift (core func $i "peek")))
        (func (export "poke") (param "at" u32) (canon lift (core func $i "poke"))))"#;

    fn grows(global: &str) -> Vec<u8> {
        wat::parse_str(GROWS.replace("GLOBAL", global)).unwrap()
    }

    struct Running(Store<wasmtime::StoreLimits>, component::Instance);

    impl Running {
        fn new(engine: &Engine, bytes: &[u8], most: usize) -> Self {
            let component = component::Component::new(engine, bytes).unwrap();
            let mut store = Store::new(engine, wasmtime::StoreLimitsBuilder::new().memory_size(most).build());
            store.limiter(|limits| limits);
            let instance = component::Linker::new(engine).instantiate(&mut store, &component).unwrap();
            Self(store, instance)
        }

        fn ask(&mut self, name: &str, argument: Option<u32>) -> Result<u32, String> {
            let Self(store, instance) = self;
            let failed = |error: wasmtime::Error| format!("{error:#}");
            match argument {
                None => instance.get_typed_func::<(), (u32,)>(&mut *store, name).map_err(failed)?.call(store, ()),
                Some(n) => instance.get_typed_func::<(u32,), (u32,)>(&mut *store, name).map_err(failed)?.call(store, (n,)),
            }
            .map(|(n,)| n)
            .map_err(failed)
        }
    }

    proptest! {
        #[test]
        fn a_guest_is_told_what_it_would_be_told_without(
            steps in proptest::collection::vec(prop_oneof![0u32..4, 10u32..30, Just(65_000), Just(65_535), Just(u32::MAX), Just(u32::MAX - 3)], 1..12),
            global in prop_oneof![Just(""), Just("(global (mut i32) (i32.const 5))")],
        ) {
            let plain = grows(global);
            let with = give(&plain).unwrap();
            let engine = Engine::default();
            let most = 64 * PAGE;
            let (mut a, mut b) = (Running::new(&engine, &plain, most), Running::new(&engine, &with, most));
            for step in steps {
                prop_assert_eq!(a.ask("grow", Some(step)), b.ask("grow", Some(step)));
                let size = a.ask("size", None);
                prop_assert_eq!(&size, &b.ask("size", None));
                let last = size.unwrap() * u32::try_from(PAGE).unwrap() - 4;
                prop_assert_eq!(a.ask("peek", Some(last)), b.ask("peek", Some(last)));
                prop_assert_eq!(b.ask("peek", Some(8)), Ok(42));
            }
        }

        #[test]
        fn no_bytes_are_a_panic(at in 0usize..600, to in 0u8..=255, cut in 0usize..600) {
            let mut bytes = grows("");
            let place = at % bytes.len();
            bytes[place] = to;
            let _ = give(&bytes);
            bytes.truncate(cut);
            let _ = give(&bytes);
        }
    }

    #[test]
    fn the_memory_starts_larger_and_is_known_by_its_maximum() {
        let engine = Engine::default();
        let with = component::Component::new(&engine, give(&grows("")).unwrap()).unwrap();
        assert_eq!(with.resources_required().unwrap().max_initial_memory_size, Some(2 + PAGES));
        assert!(has_headroom(Some(65_535 * PAGE)) && !has_headroom(Some(65_536 * PAGE)) && !has_headroom(None));
    }

    #[test]
    fn components_within_are_looked_at_too() {
        let inner = GROWS.replace("GLOBAL", "");
        let outer = wat::parse_str(format!("(component {inner} (core module (memory 1)))")).unwrap();
        let with = give(&outer).unwrap();
        assert!(with.len() > outer.len());
        component::Component::new(&Engine::default(), with).unwrap();
    }

    #[test]
    fn what_has_to_stay_as_it_is_stays() {
        let module = |fields: &str| wat::parse_str(format!("(component (core module {fields}))")).unwrap();
        let grow = "(func (drop (memory.grow (i32.const 1))))";
        assert!(give(&module(&format!("(memory 1) {grow}"))).is_some());
        for fields in [
            // It never grows.
            "(memory 1) (func (drop (memory.size)))".to_owned(),
            // Its own maximum is a promise.
            format!("(memory 1 9) {grow}"),
            format!("(memory 1 9 shared) {grow}"),
            format!("(memory i64 1) (func (drop (memory.grow (i64.const 1))))"),
            format!("(import \"\" \"\" (memory 1)) {grow}"),
            format!("(memory 1) (memory 1) {grow}"),
            format!("(memory 1) {grow} (@custom \".debug_line\" \"\")"),
            format!("(memory 65530) {grow}"),
        ] {
            assert_eq!(give(&module(&fields)), None, "{fields}");
        }
        // Another module grows the memory of the first.
        let both = format!("(component (core module (memory 1) {grow}) (core module (import \"\" \"\" (memory 1)) {grow}))");
        assert_eq!(give(&wat::parse_str(both).unwrap()), None);
        let reads = "(import \"\" \"\" (memory 1)) (func (drop (i32.load (i32.const 0))))";
        let both = format!("(component (core module (memory 1) {grow}) (core module {reads}))");
        assert!(give(&wat::parse_str(both).unwrap()).is_some());
        assert_eq!(give(b""), None);
        assert_eq!(give(b"(component)"), None);
    }
}
