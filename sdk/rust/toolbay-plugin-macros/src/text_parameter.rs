//! One parameter of a resource or a prompt: a text that a client gives, as the function takes it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Expr, FnArg, GenericArgument, Ident, Pat, PatType, PathArguments, Type, TypePath, TypeReference, ext::IdentExt as _};

use crate::{parameter::is_context, tool::documentation};

/// What a parameter is.
pub(crate) enum TextParameter {
    /// The call: `&Ctx`.
    Context,
    Text(Text),
}

/// A text.
pub(crate) struct Text {
    pub(crate) ident: Ident,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// It may be left out.
    pub(crate) is_optional: bool,
    /// What it is read as.
    pub(crate) owned: TokenStream,
    /// How the function is given it, from a variable of its name.
    pub(crate) passed: TokenStream,
    /// The values that are offered: an array, or a function.
    pub(crate) values: Option<Expr>,
}

/// Reads one parameter, and takes the attributes off it that are for its description.
pub(crate) fn read(argument: &mut FnArg, what: &str) -> syn::Result<TextParameter> {
    let PatType { attrs, pat, ty, .. } = match argument {
        FnArg::Typed(typed) => typed,
        FnArg::Receiver(receiver) => {
            return Err(syn::Error::new_spanned(
                receiver,
                format!("a {what} is a plain function: it takes no `self`, since no state outlives a call"),
            ));
        }
    };
    if is_context(ty) {
        return Ok(TextParameter::Context);
    }
    let Pat::Ident(name) = &**pat else {
        return Err(syn::Error::new_spanned(pat, format!("a parameter of a {what} is a name, which the client uses: `name: Type`")));
    };
    let description = documentation(attrs);
    let mut values = None;
    let mut kept: Vec<Attribute> = Vec::new();
    for attribute in std::mem::take(attrs) {
        if attribute.path().is_ident("complete") {
            values = Some(attribute.parse_args::<Expr>()?);
        } else if !attribute.path().is_ident("doc") {
            kept.push(attribute);
        }
    }
    *attrs = kept;
    let ident = name.ident.clone();
    let (is_optional, inner) = optional(ty);
    let (owned, passed) = match (borrowed(inner), is_optional) {
        (Some(owned), false) => (owned, quote!(&#ident)),
        (Some(owned), true) => (owned, quote!(#ident.as_deref())),
        (None, _) => (quote!(#inner), quote!(#ident)),
    };
    Ok(TextParameter::Text(Text { name: ident.unraw().to_string(), ident, description, is_optional, owned, passed, values }))
}

/// The function that offers values of these parameters.
pub(crate) fn complete(texts: &[Text]) -> TokenStream {
    let arms = texts.iter().filter_map(Text::completed);
    quote! {
        #[allow(unused_variables, clippy::match_single_binding, reason = "no parameter need offer values")]
        fn complete(argument: &str, value: &str) -> ::core::option::Option<::std::vec::Vec<::std::string::String>> {
            match argument {
                #(#arms)*
                _ => ::core::option::Option::None,
            }
        }
    }
}

impl Text {
    /// The arm of a `match` on the parameter's name that offers values, if it does.
    fn completed(&self) -> Option<TokenStream> {
        let (name, values) = (&self.name, self.values.as_ref()?);
        let function = if matches!(values, Expr::Array(_)) { quote!(|_: &str| #values) } else { quote!(#values) };
        Some(quote!(#name => ::toolbay_plugin::__private::completed(#function, value),))
    }
}

/// The type in an `Option`, or the type itself.
fn optional(ty: &Type) -> (bool, &Type) {
    if let Type::Path(TypePath { path, .. }) = ty
        && let Some(last) = path.segments.last()
        && last.ident == "Option"
        && let PathArguments::AngleBracketed(arguments) = &last.arguments
        && let Some(GenericArgument::Type(inner)) = arguments.args.first()
    {
        return (true, inner);
    }
    (false, ty)
}

/// The owned type behind a reference.
fn borrowed(ty: &Type) -> Option<TokenStream> {
    let Type::Reference(TypeReference { elem, .. }) = ty else { return None };
    match &**elem {
        Type::Path(TypePath { path, .. }) if path.is_ident("str") => Some(quote!(::std::string::String)),
        other => Some(quote!(#other)),
    }
}
