//! Room to grow: memories start larger than they say, and their guests do not see it.
//!
//! A guest that allocates grows its memory, most of them in every call. For the host that is a change of the protection of pages, and another one back
//! before the next call: both stop every thread that maps memory and interrupt all processors, and together they cost more than the rest of a sandbox. So a
//! module is rewritten before it is compiled. Its memory starts with [`HEADROOM`] more, and what it asks and is told of the size is counted by a global of
//! its own: `memory.size` reads that, and `memory.grow` counts up as long as there is room, and grows the memory where there is none. Pages that nobody
//! writes to cost nothing.
//!
//! What differs: reading or writing just beyond the size that a guest knows finds zeros in place of a trap, still within the guest's own memory.

mod rewrite;
mod survey;

use survey::{Facts, Survey};

/// Bytes of a page.
const PAGE: usize = 64 << 10;

/// Bytes by which a memory starts larger.
pub(crate) const HEADROOM: usize = 1 << 20;

const PAGES: u64 = (HEADROOM / PAGE) as u64;

/// The maximum of a memory with headroom, in pages. It has none otherwise, and by this the limiter knows it.
const MAXIMUM: u64 = 65_535;

/// How the code that is kept differs from what earlier versions kept.
pub(crate) const VERSION: u32 = 2;

/// Whether a memory with this maximum, in bytes, has headroom.
pub(crate) fn has_headroom(maximum: Option<usize>) -> bool {
    maximum.is_some_and(|maximum| maximum as u64 == MAXIMUM * PAGE as u64)
}

/// The component with headroom in its memories. None: it has no memory that grows, or one that has to stay as it is.
pub(crate) fn give(component: &[u8]) -> Option<Vec<u8>> {
    let survey = Survey::of(component)?;
    let changes = plan(&survey);
    if changes.iter().all(Change::is_none) {
        return None;
    }
    rewrite::component(component, &mut survey.modules.iter().zip(&changes))
}

/// What is done to one module.
#[derive(Clone, Debug, Default)]
struct Change {
    /// Its memory starts with so many pages.
    memory: Option<u64>,
    /// It counts the size of the memory that it asks for, from so many pages on.
    counts: Option<u64>,
}

impl Change {
    fn is_none(&self) -> bool {
        self.memory.is_none() && self.counts.is_none()
    }
}

/// What is done to each module of a component, and of those within it. A memory is never seen beyond the component that instantiates its module, so each of
/// them is looked at by itself.
fn plan(survey: &Survey) -> Vec<Change> {
    let change = |module: &Facts| {
        let beside = || survey.modules.iter().filter(|other| other.place.0 == module.place.0);
        let mut askers = beside().filter(|other| other.imported_memories > 0 && other.asks);
        let memory = || Some(module.initial + PAGES);
        match (askers.next(), askers.next()) {
            // Each memory is grown by its own module alone.
            (None, _) if module.grows && module.can_start_larger && !module.has_places => {
                Change { memory: memory(), counts: Some(module.initial) }
            }
            // There is one memory, and one other module that grows it: so are components made of several libraries, interpreters mostly.
            (Some(grower), None) => {
                let mut owners = beside().filter(|other| other.memories > 0);
                let (Some(owner), None) = (owners.next(), owners.next()) else { return Change::default() };
                let fits = grower.grows && !grower.has_places && grower.imported_memories == 1 && owner.can_start_larger && !owner.asks;
                match module.place {
                    _ if !fits || !survey.is_one(grower) || !survey.is_one(owner) => Change::default(),
                    place if place == owner.place => Change { memory: memory(), counts: None },
                    place if place == grower.place => Change { memory: None, counts: Some(owner.initial) },
                    _ => Change::default(),
                }
            }
            // Who grows a memory would not know what another one counts.
            _ => Change::default(),
        }
    };
    if survey.passes_modules { vec![Change::default(); survey.modules.len()] } else { survey.modules.iter().map(change).collect() }
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

    /// A component in which one module has the memory and another one grows it, as the linker of libraries makes them.
    const LIBRARIES: &str = r#"(component
        (core module $has (memory (export "memory") 3) (func (export "peek") (param i32) (result i32) (i32.load (local.get 0))))
        (core module $grows
            (import "env" "memory" (memory 1))
            (func (export "size") (result i32) memory.size)
            (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))
        (core instance $a (instantiate $has))
        (core instance $b (instantiate $grows (with "env" (instance $a))))
        AGAIN
        (func (export "size") (result u32) (canon lift (core func $b "size")))
        (func (export "peek") (param "at" u32) (result u32) (canon lift (core func $a "peek")))
        (func (export "grow") (param "pages" u32) (result u32) (canon lift (core func $b "grow"))))"#;

    #[test]
    fn a_library_that_grows_the_memory_of_another_module_counts_for_it() {
        let plain = wat::parse_str(LIBRARIES.replace("AGAIN", "")).unwrap();
        let with = give(&plain).unwrap();
        let engine = Engine::default();
        let (mut a, mut b) = (Running::new(&engine, &plain, 40 * PAGE), Running::new(&engine, &with, 40 * PAGE));
        for pages in [0, 4, 9, 10, 20, 1, 0] {
            assert_eq!(a.ask("grow", Some(pages)), b.ask("grow", Some(pages)), "{pages}");
            assert_eq!(a.ask("size", None), b.ask("size", None), "{pages}");
            let last = a.ask("size", None).unwrap() * u32::try_from(PAGE).unwrap() - 4;
            assert_eq!((a.ask("peek", Some(last)), b.ask("peek", Some(last))), (Ok(0), Ok(0)), "{pages}");
        }
        // Another component has its own memory.
        let beside = LIBRARIES.replace("AGAIN", "(component (core module $m (memory 1)) (core instance (instantiate $m)))");
        assert!(give(&wat::parse_str(beside).unwrap()).is_some());
        // Two of them would count apart.
        for again in [
            r#"(core instance (instantiate $grows (with "env" (instance $a))))"#,
            r#"(core instance $c (instantiate $has)) (core instance (instantiate $grows (with "env" (instance $c))))"#,
            "(core instance (instantiate $has))",
            r#"(component (alias outer 1 $has (core module $other)) (core instance (instantiate $other)))"#,
        ] {
            assert_eq!(give(&wat::parse_str(LIBRARIES.replace("AGAIN", again)).unwrap()), None, "{again}");
        }
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
            "(memory i64 1) (func (drop (memory.grow (i64.const 1))))".to_owned(),
            format!("(import \"\" \"\" (memory 1)) {grow}"),
            format!("(memory 1) (memory 1) {grow}"),
            format!("(memory 1) {grow} (@custom \".debug_line\" \"\")"),
            format!("(memory 65530) {grow}"),
        ] {
            assert_eq!(give(&module(&fields)), None, "{fields}");
        }
        // Both grow the same memory.
        let both = format!("(component (core module (memory 1) {grow}) (core module (import \"\" \"\" (memory 1)) {grow}))");
        assert_eq!(give(&wat::parse_str(both).unwrap()), None);
        let reads = "(import \"\" \"\" (memory 1)) (func (drop (i32.load (i32.const 0))))";
        let both = format!("(component (core module (memory 1) {grow}) (core module {reads}))");
        assert!(give(&wat::parse_str(both).unwrap()).is_some());
        assert_eq!(give(b""), None);
        assert_eq!(give(b"(component)"), None);
    }
}
