//! Which `Host` and which `Origin` may be: what keeps a web page from reaching a local server by a name that it controls (DNS rebinding).

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Uri, header};

/// Names of this machine, in `Host`.
#[derive(Debug)]
pub(super) struct Hosts {
    any: bool,
    /// Lower case, with a port or without.
    named: Vec<String>,
    listening: IpAddr,
}

impl Hosts {
    pub(super) fn new(listening: SocketAddr, allowed: &[String]) -> Self {
        Self {
            any: allowed.iter().any(|host| host == "*"),
            named: allowed.iter().map(|host| host.to_ascii_lowercase()).collect(),
            listening: listening.ip().to_canonical(),
        }
    }

    /// Whether a request names us: HTTP/2 says it in the URI, HTTP/1 in the header.
    pub(super) fn allows(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        if self.any {
            return true;
        }
        let authority = uri.authority().map(http::uri::Authority::as_str);
        let mut given = headers.get_all(header::HOST).iter();
        match (given.next(), given.next()) {
            (_, Some(_)) => false,
            (Some(host), None) => host.to_str().is_ok_and(|host| self.allows_name(host)) && authority.is_none_or(|a| self.allows_name(a)),
            (None, None) => authority.is_some_and(|authority| self.allows_name(authority)),
        }
    }

    fn allows_name(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let Some(host) = without_port(&name) else { return false };
        if is_loopback(host) || self.named.iter().any(|allowed| *allowed == name || *allowed == host) {
            return true;
        }
        // A name can be made to point anywhere, an address cannot: where we listen on all addresses, any of them is ours.
        address(host).is_some_and(|ip| self.listening.is_unspecified() || ip == self.listening)
    }
}

/// Web pages that may call from a browser.
#[derive(Debug)]
pub(super) struct Origins {
    any: bool,
    named: Vec<String>,
}

impl Origins {
    pub(super) fn new(allowed: &[String]) -> Self {
        Self {
            any: allowed.iter().any(|origin| origin == "*"),
            named: allowed.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect(),
        }
    }

    /// Whether a page from this origin may call: one on this machine, at any port, or one that was named.
    pub(super) fn allows(&self, origin: &str) -> bool {
        if self.any {
            return true;
        }
        let origin = origin.to_ascii_lowercase();
        let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")).and_then(without_port);
        host.is_some_and(is_loopback) || self.named.contains(&origin)
    }
}

/// `host` of `host`, `host:port`, `[v6]` or `[v6]:port`; None for anything else.
fn without_port(authority: &str) -> Option<&str> {
    let (host, port) = match authority.rfind(']') {
        Some(end) => {
            let (host, rest) = authority.split_at(end + 1);
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let plausible = !host.is_empty() && !host.contains(['/', '@', '?', '#']);
    (plausible && port.is_none_or(|port| port.parse::<u16>().is_ok())).then_some(host)
}

fn address(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || address(host).is_some_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_somebody_else_controls_is_not_ours() {
        let hosts = Hosts::new("127.0.0.1:8000".parse().unwrap(), &["tools.example.com".into(), "Gate.example.com:8443".into()]);
        for good in [
            "localhost",
            "LOCALHOST:8000",
            "a.localhost:1",
            "127.0.0.1:8000",
            "127.3.2.1",
            "[::1]:8000",
            "tools.example.com",
            "tools.example.com:99",
            "gate.example.com:8443",
        ] {
            assert!(hosts.allows_name(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8000",
            "10.0.0.1",
            "gate.example.com",
            "gate.example.com:1",
            "localhost:x",
            "localhost:8000@evil.example",
            "[::1]evil",
            "::1:8000",
        ] {
            assert!(!hosts.allows_name(bad), "{bad}");
        }
    }

    #[test]
    fn listening_everywhere_makes_every_address_ours_but_no_name() {
        let hosts = Hosts::new("0.0.0.0:8000".parse().unwrap(), &[]);
        assert!(hosts.allows_name("10.0.0.1:8000") && hosts.allows_name("[fd00::1]:8000"));
        assert!(!hosts.allows_name("evil.example:8000"));
        assert!(Hosts::new("0.0.0.0:8000".parse().unwrap(), &["*".into()]).allows(&Uri::from_static("/"), &HeaderMap::new()));
    }

    #[test]
    fn every_name_that_a_request_gives_must_be_ours() {
        let hosts = Hosts::new("127.0.0.1:8000".parse().unwrap(), &[]);
        let headers = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::HOST, http::HeaderValue::from_static(value));
            }
            headers
        };
        let (plain, ours, foreign) =
            (Uri::from_static("/"), Uri::from_static("http://localhost/"), Uri::from_static("http://evil.example/"));
        assert!(hosts.allows(&plain, &headers(&["localhost"])));
        assert!(hosts.allows(&ours, &headers(&[])));
        assert!(!hosts.allows(&plain, &headers(&[])));
        assert!(!hosts.allows(&foreign, &headers(&["localhost"])));
        assert!(!hosts.allows(&plain, &headers(&["localhost", "localhost"])));
    }

    #[test]
    fn pages_on_this_machine_and_named_ones_may_call() {
        let origins = Origins::new(&["https://App.example.com/".into()]);
        for good in ["http://localhost:6274", "https://127.0.0.1", "http://[::1]:3000", "HTTP://LOCALHOST", "https://app.example.com"] {
            assert!(origins.allows(good), "{good}");
        }
        for bad in [
            "null",
            "",
            "https://evil.example",
            "http://app.example.com",
            "https://app.example.com:444",
            "http://localhost.evil.example",
            "http://localhost@evil.example",
            "file://localhost",
            "http://localhost:80/x",
        ] {
            assert!(!origins.allows(bad), "{bad}");
        }
        assert!(Origins::new(&["*".into()]).allows("null"));
    }
}
