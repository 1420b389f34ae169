//! Plugins: WebAssembly components, from a file in a folder to an answered call.

pub mod compile;
pub mod engine;
pub(crate) mod gate;
pub(crate) mod limits;
pub mod typed;
