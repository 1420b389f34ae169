//! Addresses, host patterns and origins, as people write them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use url::Host;

/// A host, or all names under one, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    /// Which hosts.
    pub host: HostMatch,
    /// None: the scheme's own (80 for http, 443 for https).
    pub port: Option<u16>,
}

/// Which hosts a [`HostPattern`] means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostMatch {
    /// `*`.
    Any,
    /// `*.example.com`: any name below it, and not itself. In lower case.
    Below(String),
    /// `api.example.com`, `10.1.2.3`, `[::1]`, as [`canonical_host`] leaves it.
    Exactly(Host),
}

impl HostPattern {
    /// A host that a plugin may reach: `api.example.com`, `*.example.com:8443`, `10.1.2.3`,
    /// `[::1]:9000`, and with `any` a bare `*`.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong and what is allowed.
    pub fn parse(text: &str, any: bool) -> Result<Self, String> {
        if text == "*" {
            return if any {
                Ok(Self { host: HostMatch::Any, port: None })
            } else {
                Err("\"*\" is not allowed here; name each host".to_owned())
            };
        }
        let (below, rest) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        let (host, port) = parse_host_port(text, rest)?;
        let host = match (below, canonical_host(host).ok_or_else(|| no_host(text))?) {
            (true, Host::Domain(parent)) => HostMatch::Below(parent),
            (true, _) => return Err(format!("{text:?}: an address has no names below it; write the address alone")),
            (false, host) => HostMatch::Exactly(host),
        };
        Ok(Self { host, port })
    }

    /// Whether a host and a port are meant. `host` is as [`canonical_host`] leaves it.
    #[must_use]
    pub fn matches(&self, host: &Host, port: u16, default_port: u16) -> bool {
        let below = |name: &str, parent: &str| name.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
        let host_matches = match (&self.host, host) {
            (HostMatch::Any, _) => true,
            (HostMatch::Below(parent), Host::Domain(name)) => below(name, parent),
            (HostMatch::Below(_), _) => false,
            (HostMatch::Exactly(exact), host) => exact == host,
        };
        host_matches && self.port.unwrap_or(default_port) == port
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostMatch::Any => f.write_str("*")?,
            HostMatch::Below(parent) => write!(f, "*.{parent}")?,
            HostMatch::Exactly(host) => write!(f, "{host}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// A host in the one form in which hosts are compared: no dot at the end of a name, an IPv4 address
/// in an IPv6 one as the IPv4 address.
#[must_use]
pub fn canonical_host(host: Host) -> Option<Host> {
    match host {
        Host::Domain(name) => {
            let bare = name.strip_suffix('.').unwrap_or(&name);
            (!bare.is_empty() && !bare.ends_with('.')).then(|| Host::Domain(bare.to_owned()))
        }
        Host::Ipv6(v6) => Some(v6.to_ipv4_mapped().map_or(Host::Ipv6(v6), Host::Ipv4)),
        Host::Ipv4(v4) => Some(Host::Ipv4(v4)),
    }
}

/// A value of the `Host` header that is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AllowedHost {
    /// `*`.
    Any,
    /// A name or an address, without brackets; without a port, on any.
    Named(String, Option<u16>),
}

impl AllowedHost {
    /// A name or an address, with or without a port; or `*`.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong and what is allowed.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        no_wildcard(text)?;
        let (host, port) = parse_host_port(text, text)?;
        Ok(Self::Named(bare(&host), port))
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Named(host, port) => f.write_str(&with_port(host, *port)),
        }
    }
}

/// A value of the `Origin` header that is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AllowedOrigin {
    /// `*`.
    Any,
    /// `https://app.example.com`.
    Site {
        /// In lower case.
        scheme: String,
        /// Without brackets.
        host: String,
        /// None: the scheme's own.
        port: Option<u16>,
    },
}

impl AllowedOrigin {
    /// An origin as browsers write it, `https://app.example.com`; or `*`.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong and what is allowed.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let wrong = || {
            format!(
                "{text:?} is not an origin; write scheme and host as a browser sends them: \"https://app.example.com\", \"http://10.1.2.3:3000\""
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let scheme = scheme.to_ascii_lowercase();
        let scheme_fits = scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        if !scheme_fits || rest.is_empty() {
            return Err(wrong());
        }
        if let Some((host, _)) = rest.split_once(['/', '?', '#']) {
            return Err(format!("{text:?}: an origin has no path; write \"{scheme}://{host}\""));
        }
        no_wildcard(text)?;
        let (host, port) = parse_host_port(text, rest)?;
        // Browsers leave out the port that the scheme has anyway.
        let port = port.filter(|port| Some(*port) != default_port(&scheme));
        Ok(Self::Site { scheme, host: bare(&host), port })
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Site { scheme, host, port } => write!(f, "{scheme}://{}", with_port(host, *port)),
        }
    }
}

/// The port that goes without saying (RFC 6454, 6.2).
fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// An address to listen on: `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`.
///
/// # Errors
///
/// A sentence that says what is wrong and what is allowed.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    const ALLOWED: &str = "write an address and a port: \"127.0.0.1:8000\" or \"localhost:8000\" (this machine only), \"0.0.0.0:8000\" or \"[::]:8000\" (everywhere)";
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Some((name, port)) = text.rsplit_once(':')
        && name.eq_ignore_ascii_case("localhost")
        && let Ok(port) = port.parse()
    {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    Err(match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => format!("{text:?} has no port; write \"{ip}:8000\""),
        Ok(IpAddr::V6(ip)) => format!("{text:?} has no port; write \"[{ip}]:8000\""),
        Err(_) => format!("{text:?} is not an address to listen on; {ALLOWED}"),
    })
}

fn no_wildcard(text: &str) -> Result<(), String> {
    if text.contains('*') { Err(format!("{text:?}: only a bare \"*\", which means any, is a wildcard here")) } else { Ok(()) }
}

/// Without the brackets of an IPv6 address.
fn bare(host: &Host) -> String {
    host.to_string().trim_matches(['[', ']']).to_owned()
}

fn with_port(host: &str, port: Option<u16>) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}

/// `rest` is what of `text`, which messages show, is a host with or without a port. IPv6 has
/// brackets around it.
fn parse_host_port(text: &str, rest: &str) -> Result<(Host, Option<u16>), String> {
    if rest.parse::<std::net::Ipv6Addr>().is_ok() {
        return Err(format!("{text:?}: put brackets around an IPv6 address: \"[{rest}]\""));
    }
    if let Some((_, after)) = rest.split_once("://") {
        let host = after.split(['/', '?', '#']).next().unwrap_or_default();
        return Err(format!("{text:?} is a URL; write only the host: {host:?}"));
    }
    if let Some((host, tail)) = rest.split_once('/') {
        return Err(if host.parse::<IpAddr>().is_ok() && tail.parse::<u8>().is_ok() {
            format!("{text:?} is a range of addresses, which is not supported; name each host")
        } else {
            format!("{text:?} has a path; write only the host: {host:?}")
        });
    }
    if rest.contains('@') {
        return Err("a host has no user name or password in it; write only the host".to_owned());
    }
    if rest.contains('*') {
        return Err(format!("{text:?}: a wildcard is allowed only as the whole first label, as in \"*.example.com\""));
    }
    if rest.starts_with('[') && !rest.contains(']') {
        return Err(no_host(text));
    }
    let in_brackets = rest.rfind(']').map_or(0, |end| end + 1);
    let (host, port) = match rest.get(in_brackets..).and_then(|tail| tail.find(':')) {
        Some(colon) => (rest.get(..in_brackets + colon).unwrap_or_default(), rest.get(in_brackets + colon + 1..)),
        None => (rest, None),
    };
    let port = match port {
        None => None,
        Some(port) => match port.parse::<u16>() {
            Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => Some(number),
            _ => return Err(format!("{text:?}: {port:?} is not a port; it must be 1 to 65535")),
        },
    };
    // The rules of URLs: international names to ASCII, lower case, addresses in their one form
    // (`127.1` is 127.0.0.1).
    let name = host.strip_suffix('.').unwrap_or(host);
    match Host::parse(name) {
        Ok(Host::Domain(name)) if !fits_dns(&name) => Err(no_host(text)),
        Ok(host) => Ok((host, port)),
        Err(_) => Err(no_host(text)),
    }
}

fn no_host(text: &str) -> String {
    format!("{text:?} is not a host; write a name or an address: \"api.example.com\", \"10.1.2.3\", \"[::1]:8080\"")
}

fn fits_dns(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
                && !label.starts_with('-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_patterns_are_normalized() {
        let name = |name: &str| HostMatch::Exactly(Host::Domain(name.to_owned()));
        let v4 = HostMatch::Exactly(Host::Ipv4(Ipv4Addr::LOCALHOST));
        let v6 = |text: &str| HostMatch::Exactly(Host::Ipv6(text.parse().unwrap()));
        for (text, host, port, shown) in [
            ("api.weather.gov", name("api.weather.gov"), None, "api.weather.gov"),
            ("API.Weather.GOV.", name("api.weather.gov"), None, "api.weather.gov"),
            ("*.example.com:8443", HostMatch::Below("example.com".to_owned()), Some(8443), "*.example.com:8443"),
            ("*", HostMatch::Any, None, "*"),
            ("bücher.example", name("xn--bcher-kva.example"), None, "xn--bcher-kva.example"),
            ("127.0.0.1:9000", v4.clone(), Some(9000), "127.0.0.1:9000"),
            ("127.1", v4.clone(), None, "127.0.0.1"),
            ("[::ffff:127.0.0.1]", v4, None, "127.0.0.1"),
            ("[::1]:8080", v6("::1"), Some(8080), "[::1]:8080"),
            ("[2001:DB8:0::1]", v6("2001:db8::1"), None, "[2001:db8::1]"),
            ("localhost", name("localhost"), None, "localhost"),
            ("my_service:80", name("my_service"), Some(80), "my_service:80"),
        ] {
            let expected = HostPattern { host, port };
            assert_eq!(expected.to_string(), shown);
            assert_eq!(HostPattern::parse(shown, true).as_ref(), Ok(&expected), "what is shown can be written");
            assert_eq!(HostPattern::parse(text, true), Ok(expected), "{text}");
        }
    }

    #[test]
    fn wrong_host_patterns_say_what_to_write() {
        let no_host = |text: &str| {
            format!("{text:?} is not a host; write a name or an address: {}", r#""api.example.com", "10.1.2.3", "[::1]:8080""#)
        };
        let wildcard = |text: &str| format!("{text:?}: a wildcard is allowed only as the whole first label, as in \"*.example.com\"");
        for (text, message) in [
            ("https://x.org/", "\"https://x.org/\" is a URL; write only the host: \"x.org\"".to_owned()),
            ("https://x.org:8443/a?b", "\"https://x.org:8443/a?b\" is a URL; write only the host: \"x.org:8443\"".to_owned()),
            ("x.org/path", "\"x.org/path\" has a path; write only the host: \"x.org\"".to_owned()),
            ("10.0.0.0/8", "\"10.0.0.0/8\" is a range of addresses, which is not supported; name each host".to_owned()),
            ("user:pw@x.org", "a host has no user name or password in it; write only the host".to_owned()),
            ("a*.example.com", wildcard("a*.example.com")),
            ("api.*.com", wildcard("api.*.com")),
            ("*.*.com", wildcard("*.*.com")),
            ("**", wildcard("**")),
            ("*:8443", wildcard("*:8443")),
            ("*.10.1.2.3", "\"*.10.1.2.3\": an address has no names below it; write the address alone".to_owned()),
            ("::1", "\"::1\": put brackets around an IPv6 address: \"[::1]\"".to_owned()),
            ("x.org:0", "\"x.org:0\": \"0\" is not a port; it must be 1 to 65535".to_owned()),
            ("x.org:https", "\"x.org:https\": \"https\" is not a port; it must be 1 to 65535".to_owned()),
            ("x.org:+80", "\"x.org:+80\": \"+80\" is not a port; it must be 1 to 65535".to_owned()),
            ("x.org:", "\"x.org:\": \"\" is not a port; it must be 1 to 65535".to_owned()),
            ("", no_host("")),
            ("a b", no_host("a b")),
            ("a..b", no_host("a..b")),
            ("*.", no_host("*.")),
            ("[::1", no_host("[::1")),
            ("-x.org", no_host("-x.org")),
        ] {
            assert_eq!(HostPattern::parse(text, true), Err(message), "{text}");
        }
        assert_eq!(HostPattern::parse("*", false), Err("\"*\" is not allowed here; name each host".to_owned()));
    }

    #[test]
    fn listening_needs_an_address_and_a_port() {
        for (text, expected) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("localhost:8000", "127.0.0.1:8000"),
            ("LOCALHOST:1", "127.0.0.1:1"),
            ("[::]:80", "[::]:80"),
            ("0.0.0.0:80", "0.0.0.0:80"),
        ] {
            assert_eq!(parse_listen(text).map(|address| address.to_string()), Ok(expected.to_owned()));
        }
        let none = |text: &str| {
            format!(
                "{text:?} is not an address to listen on; write an address and a port: \"127.0.0.1:8000\" or \"localhost:8000\" (this machine only), \"0.0.0.0:8000\" or \"[::]:8000\" (everywhere)"
            )
        };
        for (text, message) in [
            ("127.0.0.1", "\"127.0.0.1\" has no port; write \"127.0.0.1:8000\"".to_owned()),
            ("::1", "\"::1\" has no port; write \"[::1]:8000\"".to_owned()),
            ("", none("")),
            (":8000", none(":8000")),
            ("localhost", none("localhost")),
            ("example.com:80", none("example.com:80")),
            ("http://127.0.0.1:8000", none("http://127.0.0.1:8000")),
            ("127.0.0.1:99999", none("127.0.0.1:99999")),
        ] {
            assert_eq!(parse_listen(text), Err(message), "{text}");
        }
    }

    #[test]
    fn origins_are_what_browsers_send() {
        for (text, expected) in [
            ("*", "*"),
            ("https://App.Example.com", "https://app.example.com"),
            ("https://app.example.com:443", "https://app.example.com"),
            ("http://10.1.2.3:3000", "http://10.1.2.3:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("vscode-webview://0abc", "vscode-webview://0abc"),
        ] {
            assert_eq!(AllowedOrigin::parse(text).map(|origin| origin.to_string()), Ok(expected.to_owned()), "{text}");
        }
        let none = |text: &str| {
            format!(
                "{text:?} is not an origin; write scheme and host as a browser sends them: \"https://app.example.com\", \"http://10.1.2.3:3000\""
            )
        };
        for (text, message) in [
            ("app.example.com", none("app.example.com")),
            ("null", none("null")),
            ("://x", none("://x")),
            ("https://", none("https://")),
            ("https://x.org/", "\"https://x.org/\": an origin has no path; write \"https://x.org\"".to_owned()),
            ("https://*.x.org", "\"https://*.x.org\": only a bare \"*\", which means any, is a wildcard here".to_owned()),
        ] {
            assert_eq!(AllowedOrigin::parse(text), Err(message), "{text}");
        }
    }

    #[test]
    fn allowed_hosts_are_names_with_or_without_a_port() {
        for (text, expected) in [
            ("*", "*"),
            ("Tools.Example.com", "tools.example.com"),
            ("tools.example.com:8443", "tools.example.com:8443"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(AllowedHost::parse(text).map(|host| host.to_string()), Ok(expected.to_owned()), "{text}");
        }
        assert_eq!(AllowedHost::parse("https://x.org"), Err("\"https://x.org\" is a URL; write only the host: \"x.org\"".to_owned()));
    }
}
