//! `#[resource]`: the function stays as it is, and beside it stands a module that describes and reads it.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Ident, ItemFn, LitStr, ext::IdentExt as _};

use crate::{
    text_parameter::{self, Text, TextParameter},
    tool::{check_plain, documentation, optional},
    words::Words,
};

/// The name of the module beside a resource's function.
pub(crate) fn module_of(function: &Ident) -> Ident {
    format_ident!("__resource_{}", function.unraw(), span = function.span())
}

/// The function and its module.
pub(crate) fn expand(words: &Words, mut function: ItemFn) -> syn::Result<TokenStream> {
    check_plain(&function.sig, "resource")?;
    let Some(uri) = &words.first else {
        return Err(syn::Error::new_spanned(&function.sig.ident, "a resource has an address: #[resource(\"notes://today\")]"));
    };
    let variables = variables(uri)?;
    let mut texts: Vec<Text> = Vec::new();
    let mut passed = Vec::new();
    for argument in &mut function.sig.inputs {
        match text_parameter::read(argument, "resource")? {
            TextParameter::Context => passed.push(quote!(context)),
            TextParameter::Text(text) => {
                if text.is_optional || !variables.contains(&text.name) {
                    let message =
                        format!("each parameter of a resource is a variable of its address, and {} has no {{{}}}", uri.value(), text.name);
                    return Err(syn::Error::new(text.ident.span(), message));
                }
                passed.push(text.passed.clone());
                texts.push(text);
            }
        }
    }
    if let Some(missing) = variables.iter().find(|name| !texts.iter().any(|text| text.name == **name)) {
        return Err(syn::Error::new(uri.span(), format!("the variable {{{missing}}} is no parameter of the function")));
    }
    let name = words.name.as_ref().map_or_else(|| function.sig.ident.unraw().to_string(), LitStr::value);
    let title = optional(words.title.as_ref().map(LitStr::value));
    let description = optional(words.description.as_ref().map(LitStr::value).or_else(|| documentation(&function.attrs)));
    let mime_type = optional(words.mime_type.as_ref().map(LitStr::value));
    let (module, visibility, called) = (module_of(&function.sig.ident), &function.vis, &function.sig.ident);
    let reads = texts.iter().map(|Text { ident, name, owned, .. }| {
        quote! {
            let ::core::result::Result::Ok(#ident) = ::toolbay_plugin::__private::text::<#owned>(#name, &values) else {
                return ::toolbay_plugin::Read::Missing;
            };
        }
    });
    let complete = text_parameter::complete(&texts);
    Ok(quote! {
        #function

        #[doc(hidden)]
        #visibility mod #module {
            #[allow(unused_imports, reason = "the types of the parameters may need them")]
            use super::*;

            #[allow(unused_variables, reason = "a resource need not take anything")]
            fn read(context: &::toolbay_plugin::Ctx<'_>, uri: &str) -> ::toolbay_plugin::Read {
                let ::core::option::Option::Some(values) = ::toolbay_plugin::__private::matched(#uri, uri) else {
                    return ::toolbay_plugin::Read::Elsewhere;
                };
                #(#reads)*
                ::toolbay_plugin::IntoRead::into_read(super::#called(#(#passed),*))
            }

            #complete

            pub(crate) const RESOURCE: ::toolbay_plugin::Resource = ::toolbay_plugin::Resource {
                uri: #uri,
                name: #name,
                title: #title,
                description: #description,
                mime_type: #mime_type,
                read,
                complete,
            };
        }
    })
}

/// The variables of an address.
fn variables(uri: &LitStr) -> syn::Result<Vec<String>> {
    let text = uri.value();
    let fault = |message: String| Err(syn::Error::new(uri.span(), message));
    if !text.split_once(':').is_some_and(|(scheme, rest)| !rest.is_empty() && (scheme.contains('{') || is_scheme(scheme))) {
        return fault(format!("{text:?} is no address: write a URI with its scheme, such as notes://today"));
    }
    let mut found = Vec::new();
    for part in text.split('{').skip(1) {
        let Some((name, _)) = part.split_once('}') else { return fault(format!("a {{ in {text:?} is never closed")) };
        let name = name.strip_prefix('+').unwrap_or(name);
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && name.starts_with(|c: char| c.is_ascii_alphabetic());
        if !is_name {
            return fault(format!("{{{name}}} is no variable here: there are {{name}}, which ends at /, and {{+name}}, which does not"));
        }
        if found.iter().any(|known| known == name) {
            return fault(format!("there are two variables {{{name}}}"));
        }
        found.push(name.to_owned());
    }
    Ok(found)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}
