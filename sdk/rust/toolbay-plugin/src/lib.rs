//! Tools for [Toolbay](https://github.com/toolbay), a WebAssembly plugin host for the Model Context Protocol, as plain functions.
//!
//! ```
//! use toolbay_plugin::{plugin, tool};
//!
//! /// Greets somebody.
//! #[tool(read_only)]
//! fn greet(/** Whom. */ name: &str) -> String {
//!     format!("Hello, {name}!")
//! }
//!
//! plugin!(greet);
//! # fn main() {}
//! ```
//!
//! The doc comment is the tool's description, and a parameter's doc comment is the argument's. Types become JSON Schemas, and the host checks arguments
//! before the tool runs. Every call has a sandbox of its own: nothing in memory outlives it.
//!
//! A tool that takes a [`&Ctx`](Ctx) can tell how far it is, log, ask the person at the other end, call other tools, keep things, and use HTTP. Natively all of that is recorded and answered
//! by [`testing::Fake`], so `cargo test` runs tools as they are.

#![warn(missing_docs)]

#[cfg(test)]
extern crate self as toolbay_plugin;

mod answer;
mod ask;
mod call;
mod context;
mod http;
mod schema;
mod store;
pub mod testing;
mod tool;
#[cfg(target_arch = "wasm32")]
mod wasm;

pub use answer::{Answer, Audio, Block, Body, Image, IntoAnswer, Json};
pub use ask::{AskError, Reply};
pub use call::{CallError, Callable};
pub use context::{Ctx, Level};
pub use http::{HttpError, Method, Request, Response};
pub use store::{Entry, Store, StoreError, When};
pub use tool::{Hints, Tool};

/// Derives `Serialize`, `Deserialize` and `JsonSchema` for a type that a tool takes or answers.
///
/// ```
/// use toolbay_plugin::data;
///
/// /// Where something is.
/// #[data]
/// struct Place {
///     /// In degrees.
///     #[schemars(range(min = -90, max = 90))]
///     latitude: f64,
///     #[serde(default)]
///     name: Option<String>,
/// }
/// ```
pub use toolbay_plugin_macros::data;
/// Makes a plugin of tools: `plugin!(greet, files::read);`, once, in `lib.rs`.
///
/// It also defines `TOOLS`, by which tests can call them as a client does: see [`testing::Fake::call`].
pub use toolbay_plugin_macros::plugin;
/// Makes a tool of a plain function.
///
/// - The function's doc comment is the description, a parameter's doc comment is the argument's.
/// - A parameter is of any type that serde reads and schemars describes (see [`data`]), or a reference to one: `&str`, `&[f64]`. `Option` may be left out.
///   `#[serde(…)]` and `#[schemars(…)]` work on parameters: `#[serde(default = "ten")]`, `#[schemars(range(min = 1, max = 9))]`.
/// - `&Ctx` is the call: see [`Ctx`].
/// - It answers what [`IntoAnswer`] is implemented for: text, a number, `()`, [`Json`], [`Image`], [`Answer`], or a `Result` of these, whose error is told to the
///   model.
/// - In parentheses: `name = "…"`, `title = "…"`, `description = "…"` and MCP's hints `read_only`, `destructive`, `idempotent`, `open_world`, each also
///   as `destructive = false`.
pub use toolbay_plugin_macros::tool;
pub use {schemars, serde, serde_json};

/// What the contract's WIT says, for what has no helper here.
#[cfg(target_arch = "wasm32")]
pub mod bindings {
    #![allow(missing_docs, clippy::all, reason = "it is generated")]
    wit_bindgen::generate!({
        path: "wit",
        world: "plugin",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_plugin",
        default_bindings_module: "toolbay_plugin::bindings",
    });
}

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use bindings::export_plugin;

/// For the macros only.
#[doc(hidden)]
pub mod __private {
    pub use schemars;
    pub use serde;
    pub use serde_json::Value;

    #[cfg(target_arch = "wasm32")]
    pub use crate::wasm::{call, list};
    pub use crate::{schema::input, tool::arguments};
}
