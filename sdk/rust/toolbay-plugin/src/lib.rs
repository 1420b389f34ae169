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
#[cfg(not(target_arch = "wasm32"))]
mod offers;
mod prompt;
mod resource;
mod schema;
mod store;
pub mod testing;
mod tool;
#[cfg(target_arch = "wasm32")]
mod wasm;
#[cfg(target_arch = "wasm32")]
mod wasm_offers;

pub use answer::{Answer, Audio, Block, Body, Image, IntoAnswer, Json};
pub use ask::{AskError, Reply};
pub use call::{CallError, Callable};
pub use context::{Amount, Ctx, Level};
pub use http::{HttpError, Method, Request, Response};
pub use prompt::{IntoMessages, Message, Prompt, PromptArgument, Role};
pub use resource::{Contents, IntoRead, Read, Resource};
pub use store::{Entry, Store, StoreError, When};
pub use tool::{Hints, Tool};

/// What a tool may answer that can fail in any way: `?` turns every error into its text, and `"a text".into()` is one too.
pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

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
/// Makes a plugin of tools, and of resources and prompts: `plugin!(greet, files::read; resources: note; prompts: review);`, once, in `lib.rs`.
///
/// It also defines `TOOLS`, `RESOURCES` and `PROMPTS`, by which tests can use them as a client does: see [`testing::Fake::call`],
/// [`read`](testing::Fake::read) and [`prompt`](testing::Fake::prompt).
pub use toolbay_plugin_macros::plugin;
/// Makes a prompt of a plain function: messages that a person can start a conversation with.
///
/// ```
/// use toolbay_plugin::{plugin, prompt};
///
/// /// Reviews code.
/// #[prompt]
/// fn review(
///     /** The code. */ code: &str,
///     /** Its language. */
///     #[complete(["python", "rust"])]
///     language: Option<&str>,
/// ) -> String {
///     format!("Review this {} code:\n{code}", language.unwrap_or("unknown"))
/// }
///
/// plugin!(; prompts: review);
/// # fn main() {}
/// ```
///
/// - Arguments are texts: `&str`, or what [`FromStr`](std::str::FromStr) reads. `Option` may be left out. `&Ctx` is the call.
/// - `#[complete([…])]` or `#[complete(function)]` offers values while a person types; the function takes what was typed and answers the values.
/// - It answers what [`IntoMessages`] is implemented for: a text, a [`Message`], several, or a `Result` of these.
/// - In parentheses: `name`, `title` and `description`.
pub use toolbay_plugin_macros::prompt;
/// Makes a resource of a plain function: something that a client can read.
///
/// ```
/// use toolbay_plugin::{plugin, resource};
///
/// /// The rules of the house.
/// #[resource("house://rules", mime_type = "text/markdown")]
/// fn rules() -> &'static str {
///     "Be kind."
/// }
///
/// /// A room.
/// #[resource("house://rooms/{number}")]
/// fn room(#[complete(["1", "2"])] number: u8) -> Option<String> {
///     (number < 3).then(|| format!("Room {number} is free."))
/// }
///
/// plugin!(; resources: rules, room);
/// # fn main() {}
/// ```
///
/// - The first word is the address: a URI, or a template of many. Each `{variable}` is a parameter: `&str`, or what [`FromStr`](std::str::FromStr) reads.
///   `{variable}` ends at `/`, `{+variable}` does not. An address whose variable cannot be read is one that there is not.
/// - It answers what [`IntoRead`] is implemented for: text, bytes, [`Json`], an [`Image`], [`Contents`], an `Option` (none: there is no such
///   resource), or a `Result`.
/// - In parentheses, after the address: `name` (by default the function's), `title`, `description` and `mime_type`.
pub use toolbay_plugin_macros::resource;
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

/// What only plugins with resources export. The component has a world of its own for each: what a plugin has none of, it does not export.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings_resources {
    #![allow(missing_docs, clippy::all, reason = "it is generated")]
    wit_bindgen::generate!({
        path: "wit",
        inline: "package toolbay:sdk-resources; world resources { export toolbay:plugin/resources@0.1.0; }",
        world: "toolbay:sdk-resources/resources",
        with: { "toolbay:plugin/types@0.1.0": crate::bindings::toolbay::plugin::types },
        pub_export_macro: true,
        export_macro_name: "export_resources",
        default_bindings_module: "toolbay_plugin::bindings_resources",
    });
}

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings_prompts {
    #![allow(missing_docs, clippy::all, reason = "it is generated")]
    wit_bindgen::generate!({
        path: "wit",
        inline: "package toolbay:sdk-prompts; world prompts { export toolbay:plugin/prompts@0.1.0; }",
        world: "toolbay:sdk-prompts/prompts",
        with: { "toolbay:plugin/types@0.1.0": crate::bindings::toolbay::plugin::types },
        pub_export_macro: true,
        export_macro_name: "export_prompts",
        default_bindings_module: "toolbay_plugin::bindings_prompts",
    });
}

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings_completion {
    #![allow(missing_docs, clippy::all, reason = "it is generated")]
    wit_bindgen::generate!({
        path: "wit",
        inline: "package toolbay:sdk-completion; world completion { export toolbay:plugin/completion@0.1.0; }",
        world: "toolbay:sdk-completion/completion",
        with: { "toolbay:plugin/types@0.1.0": crate::bindings::toolbay::plugin::types },
        pub_export_macro: true,
        export_macro_name: "export_completion",
        default_bindings_module: "toolbay_plugin::bindings_completion",
    });
}

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use {
    bindings::export_plugin, bindings_completion::export_completion, bindings_prompts::export_prompts, bindings_resources::export_resources,
};

/// For the macros only.
#[doc(hidden)]
pub mod __private {
    pub use schemars;
    pub use serde;
    pub use serde_json::Value;

    #[cfg(target_arch = "wasm32")]
    pub use crate::wasm::{call, list};
    #[cfg(target_arch = "wasm32")]
    pub use crate::wasm_offers::{complete, get_prompt, list_prompts, list_resources, list_templates, read_resource};
    pub use crate::{
        prompt::{completed, optional_text, text},
        resource::matched,
        schema::input,
        tool::arguments,
    };
}
