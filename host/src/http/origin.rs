//! Which `Host` and which `Origin` a request may have: the guard against DNS rebinding and against foreign web pages.

use std::net::IpAddr;

use axum::body::Body;
use http::{
    HeaderMap, Response, StatusCode, Uri,
    header::{HOST, ORIGIN},
    uri::Authority,
};

use crate::{
    config::{AllowedHost, AllowedOrigin},
    mcp,
};

/// The rules. Loopback hosts and origins are always allowed, on any port.
#[derive(Debug)]
pub(super) struct Origins {
    hosts: Vec<AllowedHost>,
    origins: Vec<AllowedOrigin>,
    any_host: bool,
    any_origin: bool,
}

impl Origins {
    pub(super) fn new(hosts: &[AllowedHost], origins: &[AllowedOrigin]) -> Self {
        Self {
            hosts: hosts.to_vec(),
            origins: origins.to_vec(),
            any_host: hosts.contains(&AllowedHost::Any),
            any_origin: origins.contains(&AllowedOrigin::Any),
        }
    }

    /// Refuses a request from a page that may not call, and one that was sent to a name that is not ours.
    ///
    /// # Errors
    ///
    /// The answer to send.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Box<Response<Body>>> {
        let refuse = |status, message: &str| Err(Box::new(mcp::refusal(status, message, None)));
        if headers.get_all(HOST).iter().nth(1).is_some() {
            // RFC 9112, 3.2. A proxy could go by the one and we by the other.
            return refuse(StatusCode::BAD_REQUEST, "the Host header was sent more than once");
        }
        if !self.any_host {
            let host = match headers.get(HOST) {
                Some(value) => value.to_str().ok(),
                // HTTP/2 has it in the request line.
                None => uri.authority().map(Authority::as_str),
            };
            let Some(host) = host else {
                return refuse(StatusCode::BAD_REQUEST, "the Host header is missing or not text");
            };
            match parse_host(host) {
                None => return refuse(StatusCode::BAD_REQUEST, "the Host header is not a host"),
                Some((name, port)) if !is_loopback(name) && !self.hosts.iter().any(|allowed| allowed.allows(name, port)) => {
                    tracing::warn!(host, "denied: this Host is not allowed; add it to allowed_hosts in [http]");
                    return refuse(
                        StatusCode::FORBIDDEN,
                        "this Host is not allowed; the server's operator can add it to allowed_hosts in [http]",
                    );
                }
                Some(_) => {}
            }
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(()) };
        if self.any_origin {
            return Ok(());
        }
        let allowed = origins.next().is_none() && origin.to_str().is_ok_and(|origin| self.allows_origin(origin));
        if allowed {
            return Ok(());
        }
        tracing::warn!(?origin, "denied: this Origin is not allowed; add it to allowed_origins in [http]");
        refuse(StatusCode::FORBIDDEN, "this Origin is not allowed; the server's operator can add it to allowed_origins in [http]")
    }

    /// Whether pages of this origin may call. For the layer that answers preflight requests.
    pub(super) fn allows_origin(&self, origin: &str) -> bool {
        if self.any_origin {
            return true;
        }
        let Some((scheme, host, port)) = parse_origin(origin) else { return false };
        if is_loopback(host) && ["http", "https"].iter().any(|usual| scheme.eq_ignore_ascii_case(usual)) {
            return true;
        }
        self.origins.iter().any(|allowed| allowed.allows(scheme, host, port))
    }
}

/// Names of this machine: `localhost`, and every address that leads nowhere else. No name of a page that rebinds its own is one of these.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "127.0.0.1"
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// `name`, `name:port`, `[v6]`, `[v6]:port` → name as it is written but for brackets, port. Names are the same in upper and in lower case.
fn parse_host(text: &str) -> Option<(&str, Option<u16>)> {
    let text = text.trim();
    if let Some(plain) = parse_plain_host(text) {
        return Some(plain);
    }
    // Only to see that it is one. The parser copies, which the usual names do not need.
    Authority::try_from(text).ok()?;
    if text.contains('@') {
        return None;
    }
    let end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
    let (host, port) = text.split_at_checked(end)?;
    let port = match port {
        "" => None,
        rest => Some(rest.strip_prefix(':')?.parse().ok()?),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty()).then_some((host, port))
}

/// Letters, digits, dots, hyphens, and perhaps a port: nothing that could be taken for something else. Every request has
/// one, so it is read in one pass.
fn parse_plain_host(text: &str) -> Option<(&str, Option<u16>)> {
    let end = text.bytes().position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))).unwrap_or(text.len());
    let (host, rest) = text.split_at_checked(end)?;
    if host.is_empty() {
        return None;
    }
    match rest.strip_prefix(':') {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some((host, Some(port.parse().ok()?))),
        None if rest.is_empty() => Some((host, None)),
        _ => None,
    }
}

/// Scheme, host, and a port where one is written.
fn parse_origin(text: &str) -> Option<(&str, &str, Option<u16>)> {
    let (scheme, rest) = text.trim().split_once("://")?;
    if rest.contains('/') {
        return None;
    }
    let (host, port) = parse_host(rest)?;
    Some((scheme, host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(rules: &Origins, host: Option<&str>, origin: Option<&str>) -> u16 {
        let mut headers = HeaderMap::new();
        if let Some(host) = host {
            headers.insert(HOST, host.parse().unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        rules.check(&Uri::from_static("/mcp"), &headers).map_or_else(|response| response.status().as_u16(), |()| 200)
    }

    fn rules(hosts: &[&str], origins: &[&str]) -> Origins {
        let hosts: Vec<_> = hosts.iter().map(|text| AllowedHost::parse(text).unwrap()).collect();
        let origins: Vec<_> = origins.iter().map(|text| AllowedOrigin::parse(text).unwrap()).collect();
        Origins::new(&hosts, &origins)
    }

    #[test]
    fn loopback_is_always_let_in_and_foreign_names_are_not() {
        let rules = Origins::new(&[], &[]);
        for host in [
            "localhost",
            "localhost:8000",
            "127.0.0.1:1",
            "[::1]:8000",
            "LOCALHOST:3",
            "127.0.0.2:8000",
            "127.255.3.4",
            "[::ffff:127.0.0.1]:80",
        ] {
            assert_eq!(status(&rules, Some(host), None), 200, "{host}");
            assert_eq!(status(&rules, Some(host), Some(&format!("http://{host}"))), 200, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8000",
            "127.1",
            "2130706433",
            "128.0.0.1",
            "0.0.0.0",
            "[::2]",
        ] {
            assert_eq!(status(&rules, Some(host), None), 403, "{host}");
            assert_eq!(status(&rules, Some("localhost"), Some(&format!("http://{host}"))), 403, "{host}");
        }
        for host in ["", "a b", "user@localhost", "localhost:x"] {
            assert_eq!(status(&rules, Some(host), None), 400, "{host}");
        }
        assert_eq!(status(&rules, None, None), 400);
        for origin in ["null", "file://", "localhost", "ftp://localhost", "http://localhost/x", "http://localhost@evil.example"] {
            assert_eq!(status(&rules, Some("localhost"), Some(origin)), 403, "{origin}");
        }
    }

    #[test]
    fn two_hosts_are_refused_even_where_each_is_allowed() {
        for rules in [Origins::new(&[], &[]), self::rules(&["*"], &["*"])] {
            for hosts in [["localhost", "localhost"], ["localhost", "evil.example"], ["evil.example", "localhost"]] {
                let mut headers = HeaderMap::new();
                for host in hosts {
                    headers.append(HOST, host.parse().unwrap());
                }
                let refusal = rules.check(&Uri::from_static("/mcp"), &headers).unwrap_err();
                assert_eq!(refusal.status(), StatusCode::BAD_REQUEST, "{hosts:?}");
            }
        }
    }

    #[test]
    fn what_the_configuration_names_is_let_in() {
        let rules =
            rules(&["tools.example.com", "other.example:8443", "[2001:db8::1]"], &["https://app.example.com", "http://dev.example:5173"]);
        assert_eq!(status(&rules, Some("Tools.Example.com:99"), None), 200);
        assert_eq!(status(&rules, Some("other.example:8443"), None), 200);
        assert_eq!(status(&rules, Some("other.example"), None), 403);
        assert_eq!(status(&rules, Some("[2001:DB8::1]:80"), None), 200);
        let origin = |origin| status(&rules, Some("localhost"), Some(origin));
        assert_eq!(origin("https://app.example.com"), 200);
        assert_eq!(origin("https://app.example.com:443"), 200);
        assert_eq!(origin("https://app.example.com:444"), 403);
        assert_eq!(origin("http://app.example.com"), 403);
        assert_eq!(origin("http://dev.example:5173"), 200);
        assert_eq!(origin("HTTP://Dev.Example:5173"), 200);
        assert_eq!(origin("http://dev.example"), 403);
        assert_eq!(origin("null"), 403);
        let any = self::rules(&["*"], &["*"]);
        assert_eq!(status(&any, Some("evil.example"), Some("https://evil.example")), 200);
    }
}
