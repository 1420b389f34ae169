//! What the host offers to plugins: one file for each interface.

pub(crate) mod calls;
pub(crate) mod client;
mod config_draft;
pub(crate) mod context;
pub(crate) mod fetch;
pub(crate) mod files;
pub(crate) mod folders;
pub(crate) mod keyvalue;
pub(crate) mod log;
pub(crate) mod nn;
pub(crate) mod notify;
pub mod outgoing;
pub(crate) mod output;
pub(crate) mod progress;
pub(crate) mod store;
pub(crate) mod task;

use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi_config::WasiConfig;

use super::instance::State;

/// The Rust side of `wit/`.
pub(crate) mod bindings {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used,
        reason = "generated"
    )]
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "package toolbay:host; world everything { include toolbay:plugin/full@0.1.0; include toolbay:plugin/guard@0.1.0; }",
        imports: {
            "toolbay:plugin/client.ask": async | trappable,
            "toolbay:plugin/calls.call": async | trappable,
            "toolbay:plugin/calls.call-all": async | trappable,
            "toolbay:plugin/fetch": async | trappable,
            "toolbay:plugin/store": async | trappable,
            default: trappable,
        },
        exports: { default: async },
    });
}

/// Puts every interface that a plugin may import into a linker.
///
/// # Errors
///
/// Where two define the same name: a fault in this program.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    outgoing::bound_requests(linker)?;
    folders::tell_refusals(linker)?;
    nn::add_to_linker(linker)?;
    keyvalue::add_to_linker(linker)?;
    wasmtime_wasi_config::add_to_linker(linker, |state| WasiConfig::new(state.variables()))?;
    config_draft::add_to_linker(linker)?;
    bindings::toolbay::plugin::types::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    bindings::toolbay::plugin::log::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    bindings::toolbay::plugin::progress::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    bindings::toolbay::plugin::context::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    bindings::toolbay::plugin::client::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    bindings::toolbay::plugin::calls::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    bindings::toolbay::plugin::store::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    bindings::toolbay::plugin::fetch::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    bindings::toolbay::plugin::notify::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    bindings::toolbay::plugin::task::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}
