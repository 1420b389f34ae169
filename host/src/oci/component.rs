//! What a component imports and exports, as the configuration beside it in a registry says.

use wasmparser::{Parser, Payload};

/// The names of what it needs and of what it offers, in its own order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// `wasi:http/outgoing-handler@0.2.0`.
    pub imports: Vec<String>,
    /// `toolbay:plugin/tools@0.1.0`, or the name of a function.
    pub exports: Vec<String>,
}

impl Interfaces {
    /// Of a component.
    ///
    /// # Errors
    ///
    /// It is none, or broken.
    pub fn of(bytes: &[u8]) -> Result<Self, String> {
        if Parser::is_core_wasm(bytes) {
            return Err(
                "it is a core WebAssembly module and no component; `toolbay build` or `wasm-tools component new` makes one".to_owned()
            );
        }
        if !Parser::is_component(bytes) {
            return Err("it is no WebAssembly component".to_owned());
        }
        let broken = |error: wasmparser::BinaryReaderError| format!("it is broken: {error}");
        let (mut found, mut depth) = (Self::default(), 0_usize);
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(broken)? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        found.imports.push(import.map_err(broken)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        found.exports.push(export.map_err(broken)?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outermost_component_counts_and_what_is_none_is_refused() {
        let text = r#"(component
            (import "a:b/c@1.0.0" (instance))
            (component (import "inner" (func)) )
            (core module (func (export "x")))
            (import "d" (func $d))
            (export "e" (func $d)))"#;
        let found = Interfaces::of(&wat::parse_str(text).unwrap()).unwrap();
        assert_eq!((found.imports, found.exports), (vec!["a:b/c@1.0.0".to_owned(), "d".to_owned()], vec!["e".to_owned()]));
        assert!(Interfaces::of(&wat::parse_str("(module)").unwrap()).unwrap_err().contains("core WebAssembly module"));
        for bytes in [&b""[..], b"\0asm", b"not wasm at all"] {
            assert!(Interfaces::of(bytes).unwrap_err().contains("no WebAssembly component"));
        }
        let whole = wat::parse_str(text).unwrap();
        assert!(Interfaces::of(&whole[..whole.len() - 1]).unwrap_err().contains("broken"));
    }
}
