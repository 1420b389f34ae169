//! The macros of `toolbay-plugin`, which re-exports and documents them.

mod flags;
mod parameter;
mod tool;

use proc_macro::TokenStream;
use quote::{format_ident, quote};
use syn::{ItemFn, Path, Token, parse_macro_input, punctuated::Punctuated};

/// Makes a tool of a function: see `toolbay_plugin::tool`.
#[proc_macro_attribute]
pub fn tool(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let flags = parse_macro_input!(attribute as flags::Flags);
    let function = parse_macro_input!(item as ItemFn);
    tool::expand(&flags, function).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a plugin of tools: see `toolbay_plugin::plugin`.
#[proc_macro]
pub fn plugin(input: TokenStream) -> TokenStream {
    let tools = parse_macro_input!(input with Punctuated::<Path, Token![,]>::parse_terminated);
    let tools = tools.iter().cloned().map(|mut path| {
        if let Some(last) = path.segments.last_mut() {
            last.ident = tool::module_of(&last.ident);
        }
        quote!(#path::TOOL)
    });
    quote! {
        /// The tools of this plugin, for its tests.
        #[allow(dead_code, reason = "only tests and the component use it")]
        pub(crate) const TOOLS: &[::toolbay_plugin::Tool] = &[#(#tools),*];

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;

            impl ::toolbay_plugin::bindings::exports::toolbay::plugin::tools::Guest for Component {
                fn list_tools() -> ::core::result::Result<
                    ::std::vec::Vec<::toolbay_plugin::bindings::exports::toolbay::plugin::tools::Tool>,
                    ::toolbay_plugin::bindings::toolbay::plugin::types::Error,
                > {
                    ::core::result::Result::Ok(::toolbay_plugin::__private::list(TOOLS))
                }

                fn call_tool(name: ::std::string::String, arguments: ::std::string::String) -> ::core::result::Result<
                    ::toolbay_plugin::bindings::exports::toolbay::plugin::tools::CallResult,
                    ::toolbay_plugin::bindings::toolbay::plugin::types::Error,
                > {
                    ::toolbay_plugin::__private::call(TOOLS, &name, &arguments)
                }
            }

            ::toolbay_plugin::export_plugin!(Component with_types_in ::toolbay_plugin::bindings);
        };
    }
    .into()
}

/// Derives what a type needs to be taken or answered by a tool: see `toolbay_plugin::data`.
#[proc_macro_attribute]
pub fn data(_: TokenStream, item: TokenStream) -> TokenStream {
    let private = format_ident!("__private");
    let item = proc_macro2::TokenStream::from(item);
    quote! {
        #[derive(
            ::toolbay_plugin::#private::serde::Serialize,
            ::toolbay_plugin::#private::serde::Deserialize,
            ::toolbay_plugin::#private::schemars::JsonSchema,
        )]
        #[serde(crate = "::toolbay_plugin::__private::serde")]
        #[schemars(crate = "::toolbay_plugin::__private::schemars")]
        #item
    }
    .into()
}
