//! As much of a URL as a request needs.

use super::HttpError;

/// An `http` or `https` URL, in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) https: bool,
    pub(crate) authority: String,
    /// The path and the query; starts with a slash.
    pub(crate) path: String,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Self, HttpError> {
        let bad = || HttpError::BadUrl(text.chars().take(200).collect());
        let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(bad()),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // A name and a password in a URL are not sent on: they would end in somebody's log.
        if authority.is_empty() || authority.contains('@') || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(bad());
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { https, authority: authority.to_owned(), path })
    }

    /// Where a `Location` header leads from here.
    pub(crate) fn join(&self, location: &str) -> Result<Self, HttpError> {
        let scheme = if self.https { "https" } else { "http" };
        if location.contains("://") {
            Self::parse(location)
        } else if let Some(rest) = location.strip_prefix("//") {
            Self::parse(&format!("{scheme}://{rest}"))
        } else if location.starts_with('/') {
            Self::parse(&format!("{scheme}://{}{location}", self.authority))
        } else {
            let path = self.path.split('?').next().unwrap_or_default();
            let folder = path.rfind('/').map_or("/", |slash| &path[..=slash]);
            Self::parse(&format!("{scheme}://{}{folder}{location}", self.authority))
        }
    }
}

impl Url {
    /// Whether both are the same server.
    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        self.https == other.https && self.authority.eq_ignore_ascii_case(&other.authority)
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", if self.https { "https" } else { "http" }, self.authority, self.path)
    }
}

/// A text as it stands in a query.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(url: &Url) -> String {
        url.to_string()
    }

    #[test]
    fn a_url_has_a_scheme_a_host_and_a_path() {
        for (given, meant) in [
            ("https://example.com", "https://example.com/"),
            ("HTTP://127.0.0.1:8080?q=1", "http://127.0.0.1:8080/?q=1"),
            ("http://[::1]:80/a/b?c=d#part", "http://[::1]:80/a/b?c=d"),
        ] {
            assert_eq!(Url::parse(given).map(|url| text(&url)).as_deref(), Ok(meant));
        }
    }

    #[test]
    fn what_cannot_be_asked_is_told_and_cut_short() {
        for given in [
            "",
            "example.com/a",
            "ftp://example.com/",
            "http://",
            "http:///a",
            "http://me:secret@example.com/",
            "http://a b/",
            "http://a/\n",
        ] {
            assert_eq!(Url::parse(given), Err(HttpError::BadUrl(given.to_owned())));
        }
        assert_eq!(Url::parse(&"a".repeat(1_000)), Err(HttpError::BadUrl("a".repeat(200))));
    }

    #[test]
    fn a_location_leads_from_where_it_was_said() {
        let from = Url::parse("https://example.com:8443/a/b?c=/d/e").expect("a URL");
        for (location, meant) in [
            ("http://other.example/x", "http://other.example/x"),
            ("//other.example/x", "https://other.example/x"),
            ("/x?y", "https://example.com:8443/x?y"),
            ("x", "https://example.com:8443/a/x"),
        ] {
            assert_eq!(from.join(location).map(|url| text(&url)).as_deref(), Ok(meant));
        }
        assert!(from.join("file:///etc/passwd").is_err());
    }
}
