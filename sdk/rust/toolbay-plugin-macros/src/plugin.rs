//! `plugin!`: the lists of what a plugin offers, and the exports of the component.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Ident, Path, Token,
    parse::{Parse, ParseStream},
};

use crate::{prompt, resource, tool};

/// What is offered.
#[derive(Default)]
pub(crate) struct Offers {
    tools: Vec<Path>,
    resources: Vec<Path>,
    prompts: Vec<Path>,
}

impl Parse for Offers {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut offers = Self { tools: paths(input)?, ..Self::default() };
        while input.peek(Token![;]) {
            input.parse::<Token![;]>()?;
            if input.is_empty() {
                break;
            }
            let word: Ident = input.parse()?;
            input.parse::<Token![:]>()?;
            let list = match word.to_string().as_str() {
                "tools" => &mut offers.tools,
                "resources" => &mut offers.resources,
                "prompts" => &mut offers.prompts,
                other => {
                    let message = format!("a plugin has no `{other}`: plugin!(tool, …; resources: resource, …; prompts: prompt, …)");
                    return Err(syn::Error::new(word.span(), message));
                }
            };
            list.extend(paths(input)?);
        }
        Ok(offers)
    }
}

/// Paths with commas between them, up to a `;` or the end.
fn paths(input: ParseStream<'_>) -> syn::Result<Vec<Path>> {
    let mut found = Vec::new();
    while !input.is_empty() && !input.peek(Token![;]) {
        found.push(input.parse()?);
        if input.peek(Token![,]) {
            input.parse::<Token![,]>()?;
        } else {
            break;
        }
    }
    Ok(found)
}

impl Offers {
    /// The constants, and the component.
    pub(crate) fn expand(&self) -> TokenStream {
        let inside = |paths: &[Path], module: fn(&Ident) -> Ident, constant: &str| -> Vec<TokenStream> {
            let constant = Ident::new(constant, proc_macro2::Span::call_site());
            let inside = paths.iter().cloned().map(|mut path| {
                if let Some(last) = path.segments.last_mut() {
                    last.ident = module(&last.ident);
                }
                quote!(#path::#constant)
            });
            inside.collect()
        };
        let tools = inside(&self.tools, tool::module_of, "TOOL");
        let resources = inside(&self.resources, resource::module_of, "RESOURCE");
        let prompts = inside(&self.prompts, prompt::module_of, "PROMPT");
        let exports_tools = exports_tools();
        let exports_resources = (!resources.is_empty()).then(exports_resources);
        let exports_prompts = (!prompts.is_empty()).then(exports_prompts);
        let exports_completion = (!resources.is_empty() || !prompts.is_empty()).then(exports_completion);
        quote! {
            /// The tools of this plugin, for its tests.
            #[allow(dead_code, reason = "only tests and the component use it")]
            pub(crate) const TOOLS: &[::toolbay_plugin::Tool] = &[#(#tools),*];

            /// The resources of this plugin, for its tests.
            #[allow(dead_code, reason = "only tests and the component use it")]
            pub(crate) const RESOURCES: &[::toolbay_plugin::Resource] = &[#(#resources),*];

            /// The prompts of this plugin, for its tests.
            #[allow(dead_code, reason = "only tests and the component use it")]
            pub(crate) const PROMPTS: &[::toolbay_plugin::Prompt] = &[#(#prompts),*];

            #[cfg(target_arch = "wasm32")]
            const _: () = {
                struct Component;

                #exports_tools
                #exports_resources
                #exports_prompts
                #exports_completion
            };
        }
    }
}

fn exports_tools() -> TokenStream {
    quote! {
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
    }
}

fn exports_resources() -> TokenStream {
    let wit = quote!(::toolbay_plugin::bindings_resources::exports::toolbay::plugin::resources);
    let error = quote!(::toolbay_plugin::bindings::toolbay::plugin::types::Error);
    quote! {
        impl #wit::Guest for Component {
            fn list_resources() -> ::core::result::Result<::std::vec::Vec<#wit::Resource>, #error> {
                ::core::result::Result::Ok(::toolbay_plugin::__private::list_resources(RESOURCES))
            }

            fn list_templates() -> ::core::result::Result<::std::vec::Vec<#wit::Template>, #error> {
                ::core::result::Result::Ok(::toolbay_plugin::__private::list_templates(RESOURCES))
            }

            fn read_resource(
                uri: ::std::string::String,
            ) -> ::core::result::Result<::core::option::Option<::std::vec::Vec<#wit::Contents>>, #error> {
                ::toolbay_plugin::__private::read_resource(RESOURCES, &uri)
            }
        }

        ::toolbay_plugin::export_resources!(Component with_types_in ::toolbay_plugin::bindings_resources);
    }
}

fn exports_prompts() -> TokenStream {
    let wit = quote!(::toolbay_plugin::bindings_prompts::exports::toolbay::plugin::prompts);
    let error = quote!(::toolbay_plugin::bindings::toolbay::plugin::types::Error);
    quote! {
        impl #wit::Guest for Component {
            fn list_prompts() -> ::core::result::Result<::std::vec::Vec<#wit::Prompt>, #error> {
                ::core::result::Result::Ok(::toolbay_plugin::__private::list_prompts(PROMPTS))
            }

            fn get_prompt(
                name: ::std::string::String,
                arguments: ::std::vec::Vec<(::std::string::String, ::std::string::String)>,
            ) -> ::core::result::Result<#wit::PromptResult, #error> {
                ::toolbay_plugin::__private::get_prompt(PROMPTS, &name, &arguments)
            }
        }

        ::toolbay_plugin::export_prompts!(Component with_types_in ::toolbay_plugin::bindings_prompts);
    }
}

fn exports_completion() -> TokenStream {
    let wit = quote!(::toolbay_plugin::bindings_completion::exports::toolbay::plugin::completion);
    let error = quote!(::toolbay_plugin::bindings::toolbay::plugin::types::Error);
    quote! {
        impl #wit::Guest for Component {
            fn complete(
                what: #wit::Reference,
                argument: ::std::string::String,
                value: ::std::string::String,
                _: ::std::vec::Vec<(::std::string::String, ::std::string::String)>,
            ) -> ::core::result::Result<#wit::Completions, #error> {
                ::core::result::Result::Ok(::toolbay_plugin::__private::complete(RESOURCES, PROMPTS, &what, &argument, &value))
            }
        }

        ::toolbay_plugin::export_completion!(Component with_types_in ::toolbay_plugin::bindings_completion);
    }
}
