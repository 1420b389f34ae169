//! From a core module with its WIT world in it to a component: the last step of a build, where the
//! build tool leaves that to others.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW1, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as REACTOR,
};
use wit_component::{ComponentEncoder, metadata};

/// Whether these are the bytes of a core module.
pub(super) fn is_core_module(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm\x01\0\0\0")
}

/// The component of a module that was built with bindings to a world: these leave the world in it.
/// What it imports of WASI preview 1 is adapted.
///
/// # Errors
///
/// What it lacks, in words for the person who put the file there.
pub(crate) fn component(module: &[u8]) -> Result<Vec<u8>, String> {
    let fault =
        |error: &dyn std::fmt::Display| format!("it is a core WebAssembly module, not a component, and cannot be made one: {error}");
    let (found, _) = metadata::decode(module).map_err(|error| fault(&format_args!("{error:#}")))?;
    if found.is_none() {
        return Err(
            "it is a core WebAssembly module, not a component, and has no WIT world in it, which says what its functions are; build it for \
             the target wasm32-wasip2, or put the world in by `wasm-tools component embed WIT-FOLDER NAME.wasm -o NAME.wasm`"
                .to_owned(),
        );
    }
    let encoder = ComponentEncoder::default().validate(true).module(module);
    let component = encoder.and_then(|encoder| encoder.adapter(PREVIEW1, REACTOR)).and_then(|mut encoder| encoder.encode());
    component.map_err(|error| fault(&format_args!("{error:#}")))
}
