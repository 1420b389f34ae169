//! Doc comments, from WIT files to published tools.

use std::{fs, path::Path};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::*;
use crate::wasm::typed::docs::{EmbedError, embed};

const WIT: &str = r#"
package test:docs@1.0.0;

/// What the world has in common.
interface types {
    /// A place on earth.
    record place {
        /// From -90 to 90.
        lat: f64,
        lon: f64,
    }
    /// How warm.
    enum scale {
        /// Water freezes at 0.
        celsius,
        kelvin,
    }
    /// Same names inside as `twin`.
    record one { /// wrong
        same: u8 }
    record twin { same: u8 }
}

/// Weather.
interface weather {
    use types.{place, scale as unit};

    variant answer {
        /// Nothing known.
        unknown,
        /// In degrees.
        degrees(f64),
    }

    /// How warm it is somewhere.
    ///
    /// Ask once an hour.
    ///
    /// - `at-place`: where; this
    ///   goes on here
    /// - `in-unit`: the scale
    /// - `other`: no parameter
    ///
    /// Free of charge.
    temperature: func(at-place: place, in-unit: option<unit>) -> answer;

    plain: func();
}

world station {
    use types.{one, twin};
    /// What a station is.
    record facts {
        /// Above the sea, in metres.
        height: f64,
    }
    export known: func() -> facts;
    /// Restarts it.
    ///
    /// # Parameters
    ///
    /// * `force` - even if busy
    export restart: func(force: bool);
    export twins: func(a: one, b: twin);
    export weather;
    export inner: interface {
        /// Inside of the world.
        check: func();
    }
}

world other {
    /// Not this one.
    export restart: func(force: bool);
    export elsewhere: func();
}
"#;

const MODULE: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "restart") (param i32))
    (func (export "twins") (param i32 i32))
    (func (export "known") (result f64) unreachable)
    (func (export "test:docs/weather@1.0.0#temperature") (param f64 f64 i32 i32) (result i32) unreachable)
    (func (export "test:docs/weather@1.0.0#plain"))
    (func (export "inner#check")))"#;

fn wit(folder: &Path, text: &str) {
    fs::write(folder.join("test.wit"), text).unwrap();
}

/// A component of the world that traps when it is called, as a build tool makes it: without docs.
fn built(folder: &Path) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(folder).unwrap();
    let world = resolve.select_world(&[package], Some("station")).unwrap();
    let mut module = wat::parse_str(MODULE).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

fn folder() -> (tempfile::TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    wit(folder.path(), WIT);
    let component = built(folder.path());
    (folder, component)
}

fn tools(component: &[u8]) -> BTreeMap<String, TypedFunction> {
    let engine = engine();
    let docs = Docs::from_component(component);
    let kept: Docs = serde_json::from_str(&serde_json::to_string(&docs).unwrap()).unwrap();
    assert_eq!(docs, kept);
    let described = describe(&engine, &Component::new(&engine, component).unwrap(), &kept, &BTreeMap::new());
    assert_eq!(described.warnings, Vec::<String>::new());
    described.functions.into_iter().map(|function| (function.tool().name.to_string(), function)).collect()
}

#[test]
fn doc_comments_become_descriptions() {
    let (folder, component) = folder();
    assert!(Docs::from_component(&component).is_empty());
    let component = embed(&component, folder.path(), Some("station")).unwrap();
    let tools = tools(&component);
    let description = |name: &str| tools[name].tool().description.as_deref();
    assert_eq!(
        description("temperature"),
        Some("How warm it is somewhere.\n\nAsk once an hour.\n\n- `other`: no parameter\n\nFree of charge.")
    );
    assert_eq!(description("restart"), Some("Restarts it."));
    assert_eq!(description("check"), Some("Inside of the world."));
    assert_eq!(description("plain"), None);
    assert_eq!(tools["restart"].tool().input_schema["properties"]["force"]["description"], "even if busy");
}

#[test]
fn doc_comments_of_types_describe_fields_and_cases() {
    let (folder, component) = folder();
    let tools = tools(&embed(&component, folder.path(), None).unwrap());
    let temperature = tools["temperature"].tool();
    let params = &temperature.input_schema["properties"];
    // A parameter's own description goes before its type's.
    assert_eq!(params["at_place"]["description"], "where; this goes on here");
    assert_eq!(params["at_place"]["properties"]["lat"]["description"], "From -90 to 90.");
    let answer = &temperature.output_schema.as_ref().unwrap()["properties"]["result"];
    assert_eq!(answer["anyOf"][0]["description"], "Nothing known.");
    assert_eq!(answer["anyOf"][1]["description"], "In degrees.");
    // Two types with the same names inside: nothing is better than something wrong.
    assert!(!serde_json::to_string(&*tools["twins"].tool().input_schema).unwrap().contains("wrong"));
}

#[test]
fn types_that_a_world_declares_are_described_too() {
    let (folder, component) = folder();
    let tools = tools(&embed(&component, folder.path(), None).unwrap());
    let facts = tools["known"].tool().output_schema.clone().unwrap();
    assert_eq!(facts["properties"]["height"]["description"], "Above the sea, in metres.");
}

#[test]
fn docs_are_replaced_and_the_rest_stays_readable() {
    let (folder, component) = folder();
    let once = embed(&component, folder.path(), None).unwrap();
    wit(folder.path(), &WIT.replace("Restarts it.", "Starts it again."));
    let twice = embed(&once, folder.path(), None).unwrap();
    assert_eq!(tools(&twice)["restart"].tool().description.as_deref(), Some("Starts it again."));
    assert_eq!(twice.len(), once.len() + 4);
    // Readable for the tools that know the section, and nothing else has changed.
    wit_component::decode(&twice).unwrap();
    assert!(twice.starts_with(&component));
}

#[test]
fn the_world_is_the_one_that_fits_the_exports() {
    let (folder, component) = folder();
    let component = embed(&component, folder.path(), None).unwrap();
    assert_eq!(tools(&component)["restart"].tool().description.as_deref(), Some("Restarts it."));
}

#[test]
fn what_cannot_be_embedded_says_why() {
    let (folder, component) = folder();
    let error = |component: &[u8], path: &Path, world: Option<&str>| embed(component, path, world).unwrap_err();
    assert!(matches!(error(&component, folder.path(), Some("no-such")), EmbedError::World { .. }));
    assert!(matches!(error(&component, Path::new("/no/such/folder"), None), EmbedError::Wit { .. }));
    assert!(matches!(error(b"\0asm\x01\0\0\0", folder.path(), None), EmbedError::NotAComponent(_)));
    assert!(matches!(error(b"", folder.path(), None), EmbedError::NotAComponent(_)));
    assert!(matches!(error(&component[..component.len() - 3], folder.path(), None), EmbedError::NotAComponent(_)));
    wit(folder.path(), "package a:b;\nworld w { export f: func(); }");
    assert!(matches!(error(&component, folder.path(), None), EmbedError::NoDocs { .. }));
    wit(folder.path(), "package a:b;\nworld w { export f: fun(); }");
    let message = error(&component, folder.path(), None).to_string();
    assert!(message.contains("test.wit:2"), "{message}");
}

#[test]
fn the_files_of_something_else_are_refused_with_the_first_difference() {
    let (folder, component) = folder();
    let refused = |world: Option<&str>| match embed(&component, folder.path(), world) {
        Err(error @ EmbedError::Misfit { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let said = refused(Some("other"));
    assert!(said.contains(r#"the world "other" exports the function "elsewhere", and the component does not"#), "{said}");
    for (from, to, difference) in [
        (
            "restart: func(force: bool)",
            "restart: func(level: bool)",
            r#"the function "restart" takes (level) in the world "station", and (force) in the component"#,
        ),
        (
            "export known: func() -> facts",
            "export known: func()",
            r#"the function "known" has none in the world "station", and a result in the component"#,
        ),
        ("    export known: func() -> facts;", "", r#"the component exports the function "known", and the world "station" does not"#),
        ("check: func();", "look: func();", r#"the world "station" exports the function "look" of inner, and the component does not"#),
        (
            "plain: func();",
            "",
            r#"the component exports the function "plain" of test:docs/weather@1.0.0, and the world "station" does not"#,
        ),
        ("world station {", "world station {\n    export more: func();", r#"exports the function "more", and the component does not"#),
    ] {
        wit(folder.path(), &WIT.replace(from, to));
        let said = refused(None);
        assert!(said.contains(difference), "{said}");
    }
    // What a build may leave out may be missing, and interfaces of the host's are no matter.
    let more = "world station {\n    @unstable(feature = later)\n    export more: func();";
    wit(folder.path(), &WIT.replace("world station {", more));
    embed(&component, folder.path(), None).unwrap();
    // Another plugin's.
    wit(folder.path(), "package a:b;\nworld w { /// F.\nexport f: func(); }");
    let said = refused(None);
    assert!(said.contains(r#"the world "w" exports the function "f", and the component does not"#), "{said}");
}

#[test]
fn a_hostile_section_is_as_if_it_were_not_there() {
    let (_folder, component) = folder();
    let deep = format!("\x01{}", "{\"worlds\":".repeat(10_000));
    let large = format!("\x01{{\"docs\":\"{}\"}}", "x".repeat(2 << 20));
    for section in ["", "\x01", "\x02{}", "\x01{", "\x01[]", "\x01{\"worlds\":[]}", "\x01\u{fffd}", &deep, &large] {
        let mut hostile = component.clone();
        let mut body = b"\x0cpackage-docs".to_vec();
        body.extend_from_slice(section.as_bytes());
        let mut size = body.len();
        hostile.push(0);
        while size > 0x7f {
            hostile.push((size & 0x7f) as u8 | 0x80);
            size >>= 7;
        }
        hostile.push(size as u8);
        hostile.extend_from_slice(&body);
        assert!(Docs::from_component(&hostile).is_empty());
        // Cut off anywhere, or no component at all.
        assert!(Docs::from_component(&hostile[..hostile.len() - section.len() / 2]).is_empty());
        assert!(Docs::from_component(section.as_bytes()).is_empty());
    }
}
