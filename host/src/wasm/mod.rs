//! Plugins: WebAssembly components, from a file in a folder to an answered call.

pub(crate) mod clock;
pub mod compile;
pub(crate) mod content;
pub mod engine;
pub mod folder;
pub(crate) mod gate;
pub mod host;
pub(crate) mod instance;
pub(crate) mod lanes;
pub(crate) mod limits;
pub(crate) mod memory;
pub mod permissions;
pub mod plugin;
pub mod typed;
