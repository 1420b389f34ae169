//! One parameter of a tool: the field that it becomes, and how the function is given it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, FnArg, Ident, Pat, PatType, Type, TypePath, TypeReference};

/// Attributes that move from the parameter to the field.
const MOVED: [&str; 3] = ["doc", "serde", "schemars"];

/// What a parameter is.
pub(crate) enum Parameter {
    /// The call: `&Ctx`.
    Context,
    /// An argument.
    Argument { field: TokenStream, passed: TokenStream },
}

/// Reads one parameter, and takes the attributes off it that are for its field.
pub(crate) fn read(argument: &mut FnArg) -> syn::Result<Parameter> {
    let PatType { attrs, pat, ty, .. } = match argument {
        FnArg::Typed(typed) => typed,
        FnArg::Receiver(receiver) => {
            return Err(syn::Error::new_spanned(
                receiver,
                "a tool is a plain function: it takes no `self`, since no state outlives a call",
            ));
        }
    };
    if is_context(ty) {
        return Ok(Parameter::Context);
    }
    let Pat::Ident(name) = &**pat else {
        return Err(syn::Error::new_spanned(pat, "a parameter of a tool is a name, which the caller uses: `name: Type`"));
    };
    let (moved, kept): (Vec<Attribute>, Vec<Attribute>) =
        std::mem::take(attrs).into_iter().partition(|attribute| MOVED.iter().any(|known| attribute.path().is_ident(known)));
    *attrs = kept;
    let name = &name.ident;
    let (owned, by_reference) = owned(ty)?;
    let default = (is_option(&owned) && !has_default(&moved)).then(|| quote!(#[serde(default)]));
    let field = quote!(#(#moved)* #default #name: #owned);
    let passed = if by_reference { quote!(&arguments.#name) } else { quote!(arguments.#name) };
    Ok(Parameter::Argument { field, passed })
}

/// Whether this is `&Ctx`.
pub(crate) fn is_context(ty: &Type) -> bool {
    matches!(ty, Type::Reference(TypeReference { elem, mutability: None, .. }) if last(elem).is_some_and(|name| name == "Ctx"))
}

/// The type that the arguments hold, and whether the function borrows it.
fn owned(ty: &Type) -> syn::Result<(TokenStream, bool)> {
    let Type::Reference(TypeReference { elem, mutability, .. }) = ty else { return Ok((quote!(#ty), false)) };
    if mutability.is_some() {
        return Err(syn::Error::new_spanned(ty, "a tool's arguments are values: take this one without `&mut`"));
    }
    Ok(match &**elem {
        Type::Slice(slice) => {
            let each = &slice.elem;
            (quote!(::std::vec::Vec<#each>), true)
        }
        text if last(text).is_some_and(|name| name == "str") => (quote!(::std::string::String), true),
        other => (quote!(#other), true),
    })
}

fn last(ty: &Type) -> Option<&Ident> {
    match ty {
        Type::Path(TypePath { path, .. }) => path.segments.last().map(|segment| &segment.ident),
        _ => None,
    }
}

fn is_option(ty: &TokenStream) -> bool {
    syn::parse2::<Type>(ty.clone()).is_ok_and(|ty| last(&ty).is_some_and(|name| name == "Option"))
}

/// Whether serde is told a default already.
fn has_default(attributes: &[Attribute]) -> bool {
    let mut found = false;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        let _ = attribute.parse_nested_meta(|meta| {
            found |= meta.path.is_ident("default");
            if meta.input.peek(syn::Token![=]) {
                meta.value()?.parse::<syn::Expr>()?;
            }
            Ok(())
        });
    }
    found
}
