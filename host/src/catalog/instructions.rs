//! How to use what is on offer: the instructions of all providers as one text for models, which read all of it.

use std::{fmt::Write as _, sync::Arc};

use crate::provider::{Provider, ProviderId};

/// Bytes of the instructions of one provider among others. Whole they are at that provider's own endpoint.
const EACH: usize = 2 << 10;
/// Bytes of those of all providers together.
const ALL: usize = 16 << 10;
/// Bytes of those of a provider by itself.
const ALONE: usize = 64 << 10;

/// The instructions of the providers that have some.
#[derive(Clone, Default)]
pub(super) struct Instructions {
    of: Vec<(ProviderId, Arc<str>)>,
    /// Whether there is one provider, whose words these are.
    is_alone: bool,
}

impl Instructions {
    pub(super) fn new<'a>(providers: impl ExactSizeIterator<Item = &'a Arc<dyn Provider>>) -> Self {
        let is_alone = providers.len() == 1;
        let of = providers.filter_map(|provider| {
            let text = provider.instructions()?.trim();
            (!text.is_empty()).then(|| (provider.id().clone(), Arc::from(text)))
        });
        Self { of: of.collect(), is_alone }
    }

    /// As one text, of those providers that `sees` lets pass. None: nobody says anything.
    pub(super) fn text(&self, sees: impl Fn(&ProviderId) -> bool) -> Option<String> {
        let mut said = self.of.iter().filter(|(id, _)| sees(id));
        if self.is_alone {
            return said.next().map(|(_, text)| cut(text, ALONE));
        }
        let (mut out, mut left_out) = (String::new(), 0);
        for (id, text) in said {
            let text = cut(text, EACH);
            if out.len() + text.len() > ALL {
                left_out += 1;
                continue;
            }
            // Writing to a String cannot fail.
            let _ = write!(out, "{}# {id}\n\n{text}", if out.is_empty() { "" } else { "\n\n" });
        }
        if left_out > 0 {
            let _ = write!(out, "\n\n{left_out} more have instructions, each at its own endpoint (/NAME/mcp).");
        }
        (!out.is_empty()).then_some(out)
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}…", text.get(..text.floor_char_boundary(most)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &[(&str, &str)], is_alone: bool) -> Instructions {
        let of = list.iter().map(|(id, text)| (ProviderId::new(*id).unwrap(), Arc::from(*text)));
        Instructions { of: of.collect(), is_alone }
    }

    #[test]
    fn one_provider_speaks_for_itself_and_several_under_their_names() {
        let long = "ü".repeat(40_000);
        assert_eq!(of(&[("a", "Use me.")], true).text(|_| true).as_deref(), Some("Use me."));
        assert_eq!(of(&[("a", &long)], true).text(|_| true).map(|text| text.len()), Some(ALONE + '…'.len_utf8()));
        let both = of(&[("a", "Use me."), ("b", "Not me.")], false);
        assert_eq!(both.text(|_| true).as_deref(), Some("# a\n\nUse me.\n\n# b\n\nNot me."));
        assert_eq!(both.text(|id| id.as_str() == "b").as_deref(), Some("# b\n\nNot me."));
        assert_eq!((both.text(|_| false), of(&[], false).text(|_| true)), (None, None));
    }

    #[test]
    fn the_text_of_many_is_bounded() {
        let long = "x".repeat(5000);
        let names: Vec<String> = (0..20).map(|n| format!("server{n}")).collect();
        let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), long.as_str())).collect();
        let text = of(&many, false).text(|_| true).unwrap();
        assert!(
            text.len() < ALL + 1024 && text.ends_with("13 more have instructions, each at its own endpoint (/NAME/mcp)."),
            "{}",
            text.len()
        );
    }
}
