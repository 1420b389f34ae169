//! `#[tool]`: the function stays as it is, and beside it stands a module that describes and runs it.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Attribute, Expr, Ident, ItemFn, Lit, Meta, ReturnType, Signature, ext::IdentExt as _};

use crate::{
    flags::Flags,
    parameter::{self, Parameter},
};

/// The name of the module beside a tool's function.
pub(crate) fn module_of(function: &Ident) -> Ident {
    format_ident!("__tool_{}", function.unraw(), span = function.span())
}

/// The function and its module.
pub(crate) fn expand(flags: &Flags, mut function: ItemFn) -> syn::Result<TokenStream> {
    let signature = &function.sig;
    check_plain(signature, "tool")?;
    let name = flags.name.as_ref().map_or_else(|| signature.ident.unraw().to_string(), syn::LitStr::value);
    check_name(&name, &signature.ident, "tool")?;
    let module = module_of(&signature.ident);
    let answer = match &signature.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    let mut fields = Vec::new();
    let mut passed = Vec::new();
    for argument in &mut function.sig.inputs {
        match parameter::read(argument)? {
            Parameter::Context => passed.push(quote!(context)),
            Parameter::Argument { field, passed: expression } => {
                fields.push(field);
                passed.push(expression);
            }
        }
    }
    let title = optional(flags.title.as_ref().map(syn::LitStr::value));
    let description = optional(flags.description.as_ref().map(syn::LitStr::value).or_else(|| documentation(&function.attrs)));
    let hints = flags.hints();
    let (visibility, called) = (&function.vis, &function.sig.ident);
    Ok(quote! {
        #function

        #[doc(hidden)]
        #visibility mod #module {
            #[allow(unused_imports, reason = "the types of the parameters may need them")]
            use super::*;

            #[derive(::toolbay_plugin::__private::serde::Deserialize, ::toolbay_plugin::__private::schemars::JsonSchema)]
            #[serde(crate = "::toolbay_plugin::__private::serde", deny_unknown_fields)]
            #[schemars(crate = "::toolbay_plugin::__private::schemars")]
            struct Arguments {
                #(#fields,)*
            }

            fn input() -> ::toolbay_plugin::__private::Value {
                ::toolbay_plugin::__private::input::<Arguments>()
            }

            fn output() -> ::core::option::Option<::toolbay_plugin::__private::Value> {
                <#answer as ::toolbay_plugin::IntoAnswer>::schema()
            }

            #[allow(unused_variables, reason = "a tool need not take anything")]
            fn run(context: &::toolbay_plugin::Ctx<'_>, text: &str) -> ::toolbay_plugin::Answer {
                let arguments: Arguments = match ::toolbay_plugin::__private::arguments(text) {
                    ::core::result::Result::Ok(arguments) => arguments,
                    ::core::result::Result::Err(answer) => return answer,
                };
                ::toolbay_plugin::IntoAnswer::into_answer(super::#called(#(#passed),*))
            }

            pub(crate) const TOOL: ::toolbay_plugin::Tool = ::toolbay_plugin::Tool {
                name: #name,
                title: #title,
                description: #description,
                hints: #hints,
                input,
                output,
                run,
            };
        }
    })
}

/// What tools, resources and prompts have in common: a function that waits where it is, with types that can be described.
pub(crate) fn check_plain(signature: &Signature, what: &str) -> syn::Result<()> {
    if let Some(word) = &signature.asyncness {
        let message = format!("a {what} is not `async`: each call has a sandbox of its own, so it may wait where it is");
        return Err(syn::Error::new_spanned(word, message));
    }
    if !signature.generics.params.is_empty() {
        let message = format!("a {what} has no generics: its arguments and its answer are described to clients");
        return Err(syn::Error::new_spanned(&signature.generics, message));
    }
    Ok(())
}

/// A name as the contract allows it.
pub(crate) fn check_name(name: &str, at: &Ident, what: &str) -> syn::Result<()> {
    if !name.is_empty() && name.len() <= 128 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)) {
        return Ok(());
    }
    let message = format!("the {what}'s name {name:?} must be 1 to 128 of A-Z a-z 0-9 _ - .; set another with #[{what}(name = \"…\")]");
    Err(syn::Error::new_spanned(at, message))
}

pub(crate) fn optional(text: Option<String>) -> TokenStream {
    match text {
        Some(text) => quote!(::core::option::Option::Some(#text)),
        None => quote!(::core::option::Option::None),
    }
}

/// The lines of the doc comment, without the space that each begins with.
pub(crate) fn documentation(attributes: &[Attribute]) -> Option<String> {
    let mut lines = Vec::new();
    for attribute in attributes {
        if let Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("doc")
            && let Expr::Lit(literal) = &pair.value
            && let Lit::Str(text) = &literal.lit
        {
            lines.extend(text.value().lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned()));
        }
    }
    let text = lines.join("\n").trim().to_owned();
    (!text.is_empty()).then_some(text)
}
