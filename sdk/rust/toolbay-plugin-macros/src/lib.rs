//! The macros of `toolbay-plugin`, which re-exports and documents them.

mod flags;
mod parameter;
mod plugin;
mod prompt;
mod resource;
mod text_parameter;
mod tool;
mod words;

use proc_macro::TokenStream;
use quote::{format_ident, quote};
use syn::{ItemFn, parse_macro_input};

/// Makes a tool of a function: see `toolbay_plugin::tool`.
#[proc_macro_attribute]
pub fn tool(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let flags = parse_macro_input!(attribute as flags::Flags);
    let function = parse_macro_input!(item as ItemFn);
    tool::expand(&flags, function).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a resource of a function: see `toolbay_plugin::resource`.
#[proc_macro_attribute]
pub fn resource(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let words = parse_macro_input!(attribute as words::Words);
    let function = parse_macro_input!(item as ItemFn);
    resource::expand(&words, function).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a prompt of a function: see `toolbay_plugin::prompt`.
#[proc_macro_attribute]
pub fn prompt(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let words = parse_macro_input!(attribute as words::Words);
    let function = parse_macro_input!(item as ItemFn);
    prompt::expand(&words, function).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a plugin of tools, resources and prompts: see `toolbay_plugin::plugin`.
#[proc_macro]
pub fn plugin(input: TokenStream) -> TokenStream {
    parse_macro_input!(input as plugin::Offers).expand().into()
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
