//! As much of a URL as a request needs.

use crate::Failure;

/// An `http` or `https` URL, in its parts.
#[derive(Debug, PartialEq, Eq)]
pub struct Url {
    pub https: bool,
    pub authority: String,
    /// The path and the query; starts with a slash.
    pub path: String,
}

impl Url {
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let bad = || Failure::BadUrl(text.chars().take(200).collect());
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
    pub fn join(&self, location: &str) -> Result<Self, Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(url: &Url) -> String {
        format!("{}://{}{}", if url.https { "https" } else { "http" }, url.authority, url.path)
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
            assert_eq!(Url::parse(given), Err(Failure::BadUrl(given.to_owned())));
        }
        assert_eq!(Url::parse(&"a".repeat(1_000)), Err(Failure::BadUrl("a".repeat(200))));
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
