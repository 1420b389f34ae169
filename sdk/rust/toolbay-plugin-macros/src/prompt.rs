//! `#[prompt]`: the function stays as it is, and beside it stands a module that describes it and fills it in.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Ident, ItemFn, LitStr, ext::IdentExt as _};

use crate::{
    text_parameter::{self, Text, TextParameter},
    tool::{check_name, check_plain, documentation, optional},
    words::Words,
};

/// The name of the module beside a prompt's function.
pub(crate) fn module_of(function: &Ident) -> Ident {
    format_ident!("__prompt_{}", function.unraw(), span = function.span())
}

/// The function and its module.
pub(crate) fn expand(words: &Words, mut function: ItemFn) -> syn::Result<TokenStream> {
    check_plain(&function.sig, "prompt")?;
    if let Some(text) = words.first.as_ref().or(words.mime_type.as_ref()) {
        return Err(syn::Error::new(
            text.span(),
            "a prompt has neither an address nor a media type: write `name`, `title` or `description`",
        ));
    }
    let name = words.name.as_ref().map_or_else(|| function.sig.ident.unraw().to_string(), LitStr::value);
    check_name(&name, &function.sig.ident, "prompt")?;
    let mut texts: Vec<Text> = Vec::new();
    let mut passed = Vec::new();
    for argument in &mut function.sig.inputs {
        match text_parameter::read(argument, "prompt")? {
            TextParameter::Context => passed.push(quote!(context)),
            TextParameter::Text(text) => {
                passed.push(text.passed.clone());
                texts.push(text);
            }
        }
    }
    let title = optional(words.title.as_ref().map(LitStr::value));
    let description = optional(words.description.as_ref().map(LitStr::value).or_else(|| documentation(&function.attrs)));
    let (module, visibility, called) = (module_of(&function.sig.ident), &function.vis, &function.sig.ident);
    let described = texts.iter().map(|text| {
        let (name, description, required) = (&text.name, optional(text.description.clone()), !text.is_optional);
        quote!(::toolbay_plugin::PromptArgument { name: #name, description: #description, required: #required })
    });
    let reads = texts.iter().map(|Text { ident, name, owned, is_optional, .. }| {
        let read = if *is_optional { quote!(optional_text) } else { quote!(text) };
        quote!(let #ident = ::toolbay_plugin::__private::#read::<#owned>(#name, arguments)?;)
    });
    let complete = text_parameter::complete(&texts);
    Ok(quote! {
        #function

        #[doc(hidden)]
        #visibility mod #module {
            #[allow(unused_imports, reason = "the types of the parameters may need them")]
            use super::*;

            #[allow(unused_variables, reason = "a prompt need not take anything")]
            fn get(
                context: &::toolbay_plugin::Ctx<'_>,
                arguments: &[(::std::string::String, ::std::string::String)],
            ) -> ::core::result::Result<::std::vec::Vec<::toolbay_plugin::Message>, ::std::string::String> {
                #(#reads)*
                ::toolbay_plugin::IntoMessages::into_messages(super::#called(#(#passed),*))
            }

            #complete

            pub(crate) const PROMPT: ::toolbay_plugin::Prompt = ::toolbay_plugin::Prompt {
                name: #name,
                title: #title,
                description: #description,
                arguments: &[#(#described),*],
                get,
                complete,
            };
        }
    })
}
