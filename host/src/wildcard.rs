//! Whether a name fits a pattern of `*` and literal text: one meaning for all lists of names in the configuration.

/// Whether a name fits a pattern: `*` stands for any characters, also none.
pub(crate) fn fits(name: &str, pattern: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return name == pattern };
    let Some(mut left) = name.strip_prefix(head) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        // The first place where a part fits leaves the most for those behind it.
        let Some((_, behind)) = left.split_once(part) else { return false };
        left = behind;
    }
    true
}
