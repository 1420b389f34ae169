//! Plugins: WebAssembly components, from a file in a folder to an answered call.

pub mod host;
pub mod permissions;
pub mod typed;
