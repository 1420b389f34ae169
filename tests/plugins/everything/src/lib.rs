//! Everything that a plugin can offer: one file for each interface of the world `full`.
//!
//! Names, texts and pauses are those of the official conformance suite of MCP, which calls all of this.

mod asking;
mod changes;
mod completion;
mod content;
mod prompts;
mod resources;
mod tasks;
mod tools;

wit_bindgen::generate!({ path: "../../../wit", world: "full" });

/// The traits of all interfaces are implemented for this one type, each in its own file. It has no state: every call has a fresh instance of the plugin.
struct Everything;

export!(Everything);
