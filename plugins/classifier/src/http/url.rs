//! As much of a URL as a request needs.

use super::Failure;

/// An `http` or `https` URL, in its parts.
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
