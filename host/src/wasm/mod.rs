//! Plugins: WebAssembly components, from a file in a folder to an answered call.

pub mod typed;
