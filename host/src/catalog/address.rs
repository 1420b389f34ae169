//! The qualified form of addresses: `toolbay://NAME/` and the provider's own, or `ui://toolbay/NAME/` before that of a page.

use crate::provider::{PAGE_SCHEME, ProviderId};

/// What a qualified address begins with.
const SCHEME: &str = "toolbay://";

/// The same for a page.
const PAGES: &str = "ui://toolbay/";

/// The address of a resource or a template among those of all providers.
pub(super) fn qualified(provider: &ProviderId, own: &str) -> String {
    let scheme = if own.starts_with(PAGE_SCHEME) { PAGES } else { SCHEME };
    format!("{scheme}{provider}/{own}")
}

/// Whose address it is, and its own. None: it is not qualified.
pub(super) fn split_qualified(uri: &str) -> Option<(&str, &str)> {
    match uri.strip_prefix(SCHEME) {
        Some(rest) => rest.split_once('/'),
        None => uri.strip_prefix(PAGES)?.split_once('/').filter(|(_, own)| own.starts_with(PAGE_SCHEME)),
    }
}
