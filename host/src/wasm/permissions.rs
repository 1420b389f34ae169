//! What a plugin may reach over HTTP: the grants of its configuration, compiled once and asked for every request.
//!
//! Denied is what no grant names. A grant of `http` covers public addresses only; one of `http_private` covers any address that its host has. Names are
//! compared in the form that the `url` crate gives them (lower case, punycode, IP addresses in whatever notation as the addresses that they are), so that
//! what is checked is what is connected to.

pub(crate) mod address;
mod refusal;

use std::{fmt, net::IpAddr, sync::Arc};

use url::Host;

pub use self::refusal::{Refusal, Refusals};
pub(crate) use crate::config::canonical_host;
use crate::config::{Grants, HostPattern};

/// The two schemes that a plugin may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that goes without saying.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Which addresses of a granted host may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressScope {
    /// Only public ones: what the name resolves to is still to be checked.
    Public,
    /// Any.
    Private,
}

/// The HTTP grants of one plugin.
#[derive(Debug)]
pub struct HttpPolicy {
    plugin: Arc<str>,
    open: Vec<HostPattern>,
    private: Vec<HostPattern>,
}

impl HttpPolicy {
    /// The grants of a plugin.
    #[must_use]
    pub fn new(plugin: &str, grants: &Grants) -> Self {
        Self { plugin: plugin.into(), open: grants.http.clone(), private: grants.http_private.clone() }
    }

    /// Whether a host may be reached, and at which of its addresses. `host` is as `canonical_host` leaves it.
    ///
    /// # Errors
    ///
    /// [`Refusal`], with the grant that is missing.
    pub fn check(&self, scheme: Scheme, host: &Host, port: u16) -> Result<AddressScope, Refusal> {
        let granted = |patterns: &[HostPattern]| patterns.iter().any(|pattern| pattern.matches(host, port, scheme.default_port()));
        if granted(&self.private) {
            return Ok(AddressScope::Private);
        }
        if surely_private(host) {
            return Err(self.refuse_private(scheme, host, port));
        }
        if granted(&self.open) {
            return Ok(AddressScope::Public);
        }
        Err(Refusal::host(&self.plugin, scheme.as_str(), authority(host, port), pattern_for(scheme, host, port)))
    }

    /// The refusal of a host that has no public address.
    pub(crate) fn refuse_private(&self, scheme: Scheme, host: &Host, port: u16) -> Refusal {
        Refusal::private(&self.plugin, scheme.as_str(), authority(host, port), pattern_for(scheme, host, port))
    }

    /// Whose grants these are.
    pub(crate) fn plugin(&self) -> &Arc<str> {
        &self.plugin
    }
}

/// Whether a host cannot be a public one, before anybody is asked for its addresses.
fn surely_private(host: &Host) -> bool {
    match host {
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"), // RFC 6761, 6.3
        Host::Ipv4(v4) => !address::is_public(IpAddr::V4(*v4)),
        Host::Ipv6(v6) => !address::is_public(IpAddr::V6(*v6)),
    }
}

/// `api.example.com:443`, `[::1]:80`.
pub(crate) fn authority(host: &Host, port: u16) -> String {
    format!("{host}:{port}")
}

/// The pattern that grants a host and port: without the port where the scheme implies it.
fn pattern_for(scheme: Scheme, host: &Host, port: u16) -> String {
    if port == scheme.default_port() { host.to_string() } else { authority(host, port) }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HostMatch;

    /// As the configuration has it; and any host on one port, which it has not.
    pub(super) fn pattern(text: &str) -> HostPattern {
        match text.strip_prefix("*:") {
            Some(port) => HostPattern { host: HostMatch::Any, port: Some(port.parse().unwrap()) },
            None => HostPattern::parse(text, true).unwrap(),
        }
    }

    fn policy(http: &[&str], http_private: &[&str]) -> HttpPolicy {
        let grants = Grants {
            http: http.iter().map(|p| pattern(p)).collect(),
            http_private: http_private.iter().map(|p| pattern(p)).collect(),
            ..Grants::default()
        };
        HttpPolicy::new("weather", &grants)
    }

    fn ask(policy: &HttpPolicy, url: &str) -> Result<AddressScope, String> {
        let url = url::Url::parse(url).unwrap();
        let scheme = if url.scheme() == "https" { Scheme::Https } else { Scheme::Http };
        let host = canonical_host(url.host().unwrap().to_owned()).unwrap();
        policy.check(scheme, &host, url.port_or_known_default().unwrap()).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn nothing_is_granted_by_default() {
        let policy = policy(&[], &[]);
        for url in ["https://example.com", "http://1.1.1.1", "http://localhost", "http://[::1]"] {
            assert!(ask(&policy, url).is_err(), "{url}");
        }
    }

    #[test]
    fn grants_are_for_a_host_and_a_port() {
        for (grant, granted, refused) in [
            (
                "example.com",
                &["https://example.com", "http://example.com", "https://EXAMPLE.com.", "https://example.com:443"][..],
                &[
                    "https://example.com:8443",
                    "http://example.com:443",
                    "https://www.example.com",
                    "https://example.com.evil.org",
                    "https://notexample.com",
                ][..],
            ),
            (
                "example.com:8443",
                &["https://example.com:8443", "http://example.com:8443"],
                &["https://example.com", "https://example.com:8444"],
            ),
            (
                "*.example.com",
                &["https://a.example.com", "http://a.b.example.com", "https://A.Example.COM."],
                &["https://example.com", "https://badexample.com", "https://a.example.com:8443", "https://.example.com"],
            ),
            ("*.example.com:8443", &["https://a.example.com:8443"], &["https://a.example.com", "https://example.com:8443"]),
            (
                "*",
                &["https://example.com", "http://a.b.c", "http://1.1.1.1", "https://[2606:4700::1111]"],
                &[
                    "http://example.com:8080",
                    "http://127.0.0.1",
                    "http://10.0.0.1",
                    "http://localhost",
                    "http://a.localhost",
                    "http://[::1]",
                ],
            ),
            ("*:8080", &["http://example.com:8080"], &["http://example.com", "http://127.0.0.1:8080"]),
            (
                "1.1.1.1",
                &["http://1.1.1.1", "https://1.1.1.1", "http://[::ffff:1.1.1.1]", "http://0x01010101"],
                &["http://1.1.1.2", "http://1.1.1.1:81"],
            ),
            ("[2606:4700::1111]", &["http://[2606:4700:0::1111]"], &["http://[2606:4700::1112]"]),
            ("[2606:4700::1111]:81", &["http://[2606:4700::1111]:81"], &["http://[2606:4700::1111]"]),
            ("bücher.example", &["https://BÜCHER.example", "https://xn--bcher-kva.example"], &["https://bucher.example"]),
        ] {
            let policy = policy(&[grant], &[]);
            for url in granted {
                assert_eq!(ask(&policy, url), Ok(AddressScope::Public), "{grant} should grant {url}");
            }
            for url in refused {
                assert!(ask(&policy, url).is_err(), "{grant} should not grant {url}");
            }
        }
    }

    #[test]
    fn private_addresses_need_their_own_grant_in_every_spelling() {
        let loopback = [
            "http://127.0.0.1:9000",
            "http://127.1:9000",
            "http://0x7f000001:9000",
            "http://2130706433:9000",
            "http://0177.0.0.1:9000",
            "http://0x7f.1:9000",
            "http://127.0.0.1.:9000",
            "http://[::ffff:127.0.0.1]:9000",
            "http://[::ffff:7f00:1]:9000",
            "http://１２７.0.0.1:9000",
            "http://127%2e0.0.1:9000",
        ];
        let open = policy(&["*:9000", "127.0.0.1:9000", "localhost:9000"], &[]);
        let private = policy(&[], &["127.0.0.1:9000"]);
        for url in loopback {
            let message = ask(&open, url).unwrap_err();
            assert!(message.contains("http_private = [\"127.0.0.1:9000\"]"), "{url}: {message}");
            assert_eq!(ask(&private, url), Ok(AddressScope::Private), "{url}");
        }
        for url in ["http://127.0.0.1", "http://127.0.0.1:9001", "http://127.0.0.2:9000", "http://localhost:9000", "http://[::1]:9000"] {
            assert!(ask(&private, url).is_err(), "{url}");
        }
        assert!(ask(&open, "http://localhost:9000").unwrap_err().contains("http_private = [\"localhost:9000\"]"));
    }

    #[test]
    fn a_private_grant_grants_the_host_itself() {
        let policy = policy(&["api.example.com"], &["db.internal:8080", "*.svc.cluster.local", "[::1]"]);
        assert_eq!(ask(&policy, "http://db.internal:8080"), Ok(AddressScope::Private));
        assert_eq!(ask(&policy, "http://a.svc.cluster.local"), Ok(AddressScope::Private));
        assert_eq!(ask(&policy, "http://[::1]"), Ok(AddressScope::Private));
        assert_eq!(ask(&policy, "https://api.example.com"), Ok(AddressScope::Public));
        assert!(ask(&policy, "http://db.internal").is_err());
    }

    #[test]
    fn a_refusal_offers_a_grant_that_works() {
        for url in [
            "https://api.example.com/x",
            "http://example.com:8080",
            "https://1.2.3.4",
            "https://[2606:4700::1111]",
            "https://[2606:4700::1111]:8443",
            "http://localhost:1",
            "http://127.1",
            "http://[::1]",
            "http://[::1]:90",
            "http://[fe80::1]",
        ] {
            let message = ask(&policy(&[], &[]), url).unwrap_err();
            let (key, rest) = message.split_once("put  ").unwrap().1.split_once(" = [\"").unwrap();
            let grant = rest.split_once("\"]").unwrap().0;
            let policy = if key == "http" { policy(&[grant], &[]) } else { policy(&[], &[grant]) };
            assert!(ask(&policy, url).is_ok(), "{message}");
        }
    }
}
