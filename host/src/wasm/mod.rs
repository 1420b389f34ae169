//! Plugins: WebAssembly components, from a file in a folder to an answered call.

pub(crate) mod admission;
pub mod compile;
pub(crate) mod content;
mod cpu_share;
pub mod engine;
pub(crate) mod epoch_ticker;
pub mod folder;
pub mod imports;
pub(crate) mod instance;
pub(crate) mod lanes;
pub(crate) mod limits;
pub(crate) mod memory;
pub mod permissions;
pub mod plugin;
pub mod typed;
