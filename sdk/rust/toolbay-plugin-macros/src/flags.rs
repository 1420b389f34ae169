//! What stands in the parentheses of `#[tool(…)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Expr, Ident, Lit, LitBool, LitStr, Token,
    parse::{Parse, ParseStream},
};

/// The words that `#[tool]` takes.
const KNOWN: &str = "`name`, `title`, `description`, `read_only`, `destructive`, `idempotent` and `open_world`";

/// Texts and hints.
#[derive(Default)]
pub(crate) struct Flags {
    pub(crate) name: Option<LitStr>,
    pub(crate) title: Option<LitStr>,
    pub(crate) description: Option<LitStr>,
    read_only: Option<bool>,
    destructive: Option<bool>,
    idempotent: Option<bool>,
    open_world: Option<bool>,
}

impl Parse for Flags {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut flags = Self::default();
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            let value = if input.peek(Token![=]) {
                input.parse::<Token![=]>()?;
                Some(input.parse::<Expr>()?)
            } else {
                None
            };
            match key.to_string().as_str() {
                "name" => flags.name = Some(text(&key, value)?),
                "title" => flags.title = Some(text(&key, value)?),
                "description" => flags.description = Some(text(&key, value)?),
                "read_only" => flags.read_only = Some(truth(&key, value)?),
                "destructive" => flags.destructive = Some(truth(&key, value)?),
                "idempotent" => flags.idempotent = Some(truth(&key, value)?),
                "open_world" => flags.open_world = Some(truth(&key, value)?),
                other => return Err(syn::Error::new(key.span(), format!("#[tool] does not know `{other}`; it knows {KNOWN}"))),
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(flags)
    }
}

impl Flags {
    /// The hints as `toolbay_plugin::Hints`.
    pub(crate) fn hints(&self) -> TokenStream {
        let hint = |value: Option<bool>| match value {
            Some(value) => quote!(::core::option::Option::Some(#value)),
            None => quote!(::core::option::Option::None),
        };
        let (read_only, destructive) = (hint(self.read_only), hint(self.destructive));
        let (idempotent, open_world) = (hint(self.idempotent), hint(self.open_world));
        quote!(::toolbay_plugin::Hints { read_only: #read_only, destructive: #destructive, idempotent: #idempotent, open_world: #open_world })
    }
}

fn text(key: &Ident, value: Option<Expr>) -> syn::Result<LitStr> {
    match value {
        Some(Expr::Lit(literal)) => match literal.lit {
            Lit::Str(text) => Ok(text),
            other => Err(syn::Error::new_spanned(other, format!("`{key}` takes a text: {key} = \"…\""))),
        },
        _ => Err(syn::Error::new(key.span(), format!("`{key}` takes a text: {key} = \"…\""))),
    }
}

fn truth(key: &Ident, value: Option<Expr>) -> syn::Result<bool> {
    match value {
        None => Ok(true),
        Some(Expr::Lit(literal)) => match literal.lit {
            Lit::Bool(LitBool { value, .. }) => Ok(value),
            other => Err(syn::Error::new_spanned(other, format!("write `{key}`, or `{key} = false`"))),
        },
        Some(other) => Err(syn::Error::new_spanned(other, format!("write `{key}`, or `{key} = false`"))),
    }
}
