//! What a request of the page asks for behind the `?`.

use http::Uri;

/// The value of a parameter. None: it is not there, or is no number where one is meant.
pub(super) fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let pairs = url::form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The same of a number.
pub(super) fn number(uri: &Uri, name: &str) -> Option<u64> {
    parameter(uri, name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_browsers_write_them() {
        let uri = Uri::from_static("/x?name=a%2Fb+c&after=12&bad=x");
        assert_eq!(parameter(&uri, "name").as_deref(), Some("a/b c"));
        assert_eq!((number(&uri, "after"), number(&uri, "bad"), number(&uri, "none")), (Some(12), None, None));
        assert_eq!(parameter(&Uri::from_static("/x"), "name"), None);
    }
}
