//! What stands in the parentheses of `#[resource(…)]` and `#[prompt(…)]`: texts under known names.

use syn::{
    Ident, LitStr, Token,
    parse::{Parse, ParseStream},
};

/// A text in front, if there is one, and named texts.
#[derive(Default)]
pub(crate) struct Words {
    pub(crate) first: Option<LitStr>,
    pub(crate) name: Option<LitStr>,
    pub(crate) title: Option<LitStr>,
    pub(crate) description: Option<LitStr>,
    pub(crate) mime_type: Option<LitStr>,
}

impl Parse for Words {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut words = Self::default();
        while !input.is_empty() {
            if input.peek(LitStr) && words.first.is_none() {
                words.first = Some(input.parse()?);
            } else {
                let key: Ident = input.parse()?;
                let place = match key.to_string().as_str() {
                    "name" => &mut words.name,
                    "title" => &mut words.title,
                    "description" => &mut words.description,
                    "mime_type" => &mut words.mime_type,
                    other => {
                        let known = "`name`, `title`, `description` and, for resources, `mime_type`";
                        return Err(syn::Error::new(key.span(), format!("`{other}` is not known here; there are {known}")));
                    }
                };
                input.parse::<Token![=]>()?;
                *place = Some(input.parse()?);
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(words)
    }
}
