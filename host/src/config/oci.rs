//! `oci://registry/repository:tag`: where something is in an OCI registry.

use std::fmt;

/// What stands before it.
const SCHEME: &str = "oci://";

/// What is meant where neither a tag nor a digest stands.
const LATEST: &str = "latest";

/// The address of something in an OCI registry, by a tag, a digest, or both: then the digest counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OciReference {
    /// The host, with its port where it has one: `ghcr.io`, `localhost:5000`, `[::1]:5000`.
    pub registry: String,
    /// Without the tag: `acme/weather`.
    pub repository: String,
    /// `1.2`.
    pub tag: Option<String>,
    /// `sha256:` and 64 hex digits.
    pub digest: Option<String>,
}

impl OciReference {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and how it should look.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} {why}; write oci://registry/repository:tag or oci://registry/repository@sha256:…");
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| wrong("does not begin with oci://"))?;
        let (registry, rest) = rest.split_once('/').ok_or_else(|| wrong("has no repository"))?;
        if registry.contains('@') {
            return Err("credentials do not belong into the address of a registry: write `username` and `password` in \
                        [registry.\"HOST\"], or use the file that `docker login` writes"
                .to_owned());
        }
        if !is_host(registry) {
            return Err(wrong("has no valid host as its registry"));
        }
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(wrong("has no valid digest, which is sha256: and 64 hex digits in lower case"));
        }
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong("has no valid tag, which is up to 128 letters, digits, \".\", \"_\" and \"-\""));
        }
        if repository.len() > 255 || !repository.split('/').all(is_component) {
            return Err(wrong("has no valid repository, which is lower case letters, digits and single \".\", \"_\", \"-\" between them"));
        }
        let tag = tag.or(digest.is_none().then_some(LATEST));
        Ok(Self {
            registry: registry.to_ascii_lowercase(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// What the registry is asked for: the digest, where there is one, or else the tag.
    #[must_use]
    pub fn asked(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or(LATEST)
    }

    /// The registry and the repository, as patterns of `[trust]` have them: `ghcr.io/acme/weather`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The same, by a digest.
    #[must_use]
    pub fn at(&self, digest: &str) -> Self {
        Self { digest: Some(digest.to_owned()), ..self.clone() }
    }
}

impl fmt::Display for OciReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Whether this is the host of a registry, with or without a port.
pub(super) fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) if address.parse::<std::net::Ipv6Addr>().is_ok() => (None, rest),
        Some(_) => return false,
        None => {
            let end = text.find(':').unwrap_or(text.len());
            (text.get(..end), text.get(end..).unwrap_or_default())
        }
    };
    let is_port = match port.strip_prefix(':') {
        Some(port) => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0),
        None => port.is_empty(),
    };
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    is_port && host.is_none_or(|host| host.len() <= 253 && host.split('.').all(is_label))
}

/// Whether this is a digest as registries and Toolbay use them.
#[must_use]
pub(crate) fn is_digest(text: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("sha256:").is_some_and(|digits| digits.len() == 64 && digits.bytes().all(hex))
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let inner = |byte: u8| is_word(byte) || matches!(byte, b'.' | b'-');
    text.len() <= 128 && text.bytes().next().is_some_and(is_word) && text.bytes().all(inner)
}

/// A part of a repository between slashes: words with `.`, `_`, `__` or any number of `-` between them.
fn is_component(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    let mut between = String::new();
    for byte in text.bytes() {
        if !is_word(byte) {
            between.push(char::from(byte));
            continue;
        }
        if !matches!(between.as_str(), "" | "." | "_" | "__") && !between.bytes().all(|byte| byte == b'-') {
            return false;
        }
        between.clear();
    }
    text.bytes().next().is_some_and(is_word) && between.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn references_are_read_as_the_distribution_specification_has_them() {
        for (text, registry, repository, tag, digest) in [
            ("oci://ghcr.io/acme/weather:1.2", "ghcr.io", "acme/weather", Some("1.2"), None),
            ("oci://GHCR.io/acme/weather", "ghcr.io", "acme/weather", Some("latest"), None),
            ("oci://localhost:5000/a", "localhost:5000", "a", Some("latest"), None),
            ("oci://[::1]:5000/a/b/c:v_1", "[::1]:5000", "a/b/c", Some("v_1"), None),
            (&format!("oci://10.0.0.1/a__b/c-----d.e@{DIGEST}"), "10.0.0.1", "a__b/c-----d.e", None, Some(DIGEST)),
            (&format!("oci://r.example/a:1@{DIGEST}"), "r.example", "a", Some("1"), Some(DIGEST)),
        ] {
            let read = OciReference::parse(text).unwrap();
            assert_eq!((read.registry.as_str(), read.repository.as_str()), (registry, repository), "{text}");
            assert_eq!((read.tag.as_deref(), read.digest.as_deref()), (tag, digest), "{text}");
            assert_eq!(read.asked(), digest.or(tag).unwrap());
        }
    }

    #[test]
    fn what_is_no_reference_is_refused_with_its_form() {
        let upper = DIGEST.to_uppercase();
        for text in [
            "ghcr.io/acme/weather:1",
            "https://ghcr.io/acme/weather",
            "oci://",
            "oci://ghcr.io",
            "oci://ghcr.io/",
            "oci:///weather",
            "oci://ghcr.io/Acme/weather",
            "oci://ghcr.io/a//b",
            "oci://ghcr.io/a/",
            "oci://ghcr.io/../a",
            "oci://ghcr.io/a..b",
            "oci://ghcr.io/a._b",
            "oci://ghcr.io/-a",
            "oci://ghcr.io/a-",
            "oci://ghcr.io/a:",
            "oci://ghcr.io/a:.x",
            "oci://ghcr.io/a:x/y",
            "oci://ghcr.io/a@sha256:12",
            &format!("oci://ghcr.io/a@{upper}"),
            "oci://ghcr.io/a@md5:1234",
            "oci://ghcr.io:0/a",
            "oci://ghcr.io:99999/a",
            "oci://ghcr.io:+80/a",
            "oci://ghcr..io/a",
            "oci://gh cr.io/a",
            "oci://ghcr.io?x/a",
            "oci://[::1/a",
            "oci://[x]/a",
            "oci://ghcr.io/a?b",
            "oci://ghcr.io/a#b",
            "oci://ghcr.io/a%2e",
        ] {
            let error = OciReference::parse(text).unwrap_err();
            assert!(error.contains("oci://registry/repository"), "{text}: {error}");
        }
        let error = OciReference::parse("oci://user:hunter2@ghcr.io/a").unwrap_err();
        assert!(error.contains("docker login") && !error.contains("hunter2"), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_as_it_was_read(text in "(oci://)?[a-z0-9.:\\[\\]-]{0,12}/[a-z0-9._/-]{0,16}(:[a-zA-Z0-9._-]{0,8})?(@sha256:[0-9a-f]{64})?") {
            if let Ok(read) = OciReference::parse(&text) {
                prop_assert_eq!(OciReference::parse(&read.to_string()), Ok(read));
            }
        }

        #[test]
        fn no_text_makes_it_fail_otherwise_than_by_an_error(text in any::<String>()) {
            let _ = OciReference::parse(&text);
            let _ = OciReference::parse(&format!("oci://{text}"));
        }
    }
}
