//! Addresses, host patterns and origins, as people write them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// A host, or all names under one, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    /// `api.example.com`, `10.1.2.3`, `::1`; lower case. With `any_subdomain`, the part after `*.`.
    pub host: String,
    /// `*.example.com`: any name below it, and not itself.
    pub any_subdomain: bool,
    /// None: the scheme's own (80 for http, 443 for https).
    pub port: Option<u16>,
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.host.as_str(), self.any_subdomain) {
            ("", _) => f.write_str("*"),
            (host, true) => write!(f, "*.{}", with_port(host, self.port)),
            (host, false) => f.write_str(&with_port(host, self.port)),
        }
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
        Err(_) => format!("{text:?} is no address to listen on; {ALLOWED}"),
    })
}

/// A host that a plugin may reach: `api.example.com`, `*.example.com:8443`, `10.1.2.3`, `[::1]:9000`, and with `any` a bare `*`.
pub(super) fn parse_host_pattern(text: &str, any: bool) -> Result<HostPattern, String> {
    if text == "*" {
        return if any {
            Ok(HostPattern { host: String::new(), any_subdomain: true, port: None })
        } else {
            Err("\"*\" is not allowed here; name each host".to_owned())
        };
    }
    let (any_subdomain, rest) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
    let (host, port) = parse_host_port(text, rest)?;
    if any_subdomain && host.parse::<IpAddr>().is_ok() {
        return Err(format!("{text:?}: an address has no names below it; write the address alone"));
    }
    Ok(HostPattern { host, any_subdomain, port })
}

/// A value of the `Host` header that is let in: a name or an address, with or without a port; or `*`.
pub(super) fn parse_allowed_host(text: &str) -> Result<String, String> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    no_wildcard(text)?;
    let (host, port) = parse_host_port(text, text)?;
    Ok(with_port(&host, port))
}

/// A value of the `Origin` header that is let in, as browsers write it: `https://app.example.com`; or `*`.
pub(super) fn parse_origin(text: &str) -> Result<String, String> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    let wrong = || {
        format!(
            "{text:?} is no origin; write scheme and host as a browser sends them: \"https://app.example.com\", \"http://10.1.2.3:3000\""
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
    let port = port.filter(|port| !matches!((scheme.as_str(), port), ("http", 80) | ("https", 443)));
    Ok(format!("{scheme}://{}", with_port(&host, port)))
}

fn no_wildcard(text: &str) -> Result<(), String> {
    if text.contains('*') { Err(format!("{text:?}: only a bare \"*\", which means any, is a wildcard here")) } else { Ok(()) }
}

fn with_port(host: &str, port: Option<u16>) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}

/// `rest` is what of `text`, which messages show, is a host with or without a port. IPv6 has brackets around it, and comes back without them.
fn parse_host_port(text: &str, rest: &str) -> Result<(String, Option<u16>), String> {
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
            _ => return Err(format!("{text:?}: {port:?} is no port; it must be 1 to 65535")),
        },
    };
    // The rules of URLs: international names to ASCII, lower case, addresses in their one form (`127.1` is 127.0.0.1).
    let name = host.strip_suffix('.').unwrap_or(host);
    let host = match url::Host::parse(name) {
        Ok(url::Host::Domain(name)) if fits_dns(&name) => name,
        Ok(url::Host::Ipv4(ip)) => ip.to_string(),
        Ok(url::Host::Ipv6(ip)) => ip.to_string(),
        _ => return Err(no_host(text)),
    };
    Ok((host, port))
}

fn no_host(text: &str) -> String {
    format!("{text:?} is no host; write a name or an address: \"api.example.com\", \"10.1.2.3\", \"[::1]:8080\"")
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

    fn pattern(host: &str, any_subdomain: bool, port: Option<u16>) -> HostPattern {
        HostPattern { host: host.to_owned(), any_subdomain, port }
    }

    #[test]
    fn host_patterns_are_normalized() {
        for (text, expected) in [
            ("api.weather.gov", pattern("api.weather.gov", false, None)),
            ("API.Weather.GOV.", pattern("api.weather.gov", false, None)),
            ("*.example.com:8443", pattern("example.com", true, Some(8443))),
            ("*", pattern("", true, None)),
            ("bücher.example", pattern("xn--bcher-kva.example", false, None)),
            ("127.0.0.1:9000", pattern("127.0.0.1", false, Some(9000))),
            ("127.1", pattern("127.0.0.1", false, None)),
            ("[::1]:8080", pattern("::1", false, Some(8080))),
            ("[2001:DB8:0::1]", pattern("2001:db8::1", false, None)),
            ("localhost", pattern("localhost", false, None)),
            ("my_service:80", pattern("my_service", false, Some(80))),
        ] {
            assert_eq!(parse_host_pattern(text, true), Ok(expected), "{text}");
        }
    }

    #[test]
    fn wrong_host_patterns_say_what_to_write() {
        let no_host =
            |text: &str| format!("{text:?} is no host; write a name or an address: {}", r#""api.example.com", "10.1.2.3", "[::1]:8080""#);
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
            ("x.org:0", "\"x.org:0\": \"0\" is no port; it must be 1 to 65535".to_owned()),
            ("x.org:https", "\"x.org:https\": \"https\" is no port; it must be 1 to 65535".to_owned()),
            ("x.org:+80", "\"x.org:+80\": \"+80\" is no port; it must be 1 to 65535".to_owned()),
            ("x.org:", "\"x.org:\": \"\" is no port; it must be 1 to 65535".to_owned()),
            ("", no_host("")),
            ("a b", no_host("a b")),
            ("a..b", no_host("a..b")),
            ("*.", no_host("*.")),
            ("[::1", no_host("[::1")),
            ("-x.org", no_host("-x.org")),
        ] {
            assert_eq!(parse_host_pattern(text, true), Err(message), "{text}");
        }
        assert_eq!(parse_host_pattern("*", false), Err("\"*\" is not allowed here; name each host".to_owned()));
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
                "{text:?} is no address to listen on; write an address and a port: \"127.0.0.1:8000\" or \"localhost:8000\" (this machine only), \"0.0.0.0:8000\" or \"[::]:8000\" (everywhere)"
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
            assert_eq!(parse_origin(text), Ok(expected.to_owned()), "{text}");
        }
        let none = |text: &str| {
            format!(
                "{text:?} is no origin; write scheme and host as a browser sends them: \"https://app.example.com\", \"http://10.1.2.3:3000\""
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
            assert_eq!(parse_origin(text), Err(message), "{text}");
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
            assert_eq!(parse_allowed_host(text), Ok(expected.to_owned()), "{text}");
        }
        assert_eq!(parse_allowed_host("https://x.org"), Err("\"https://x.org\" is a URL; write only the host: \"x.org\"".to_owned()));
    }
}
