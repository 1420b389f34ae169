//! Which `Host` and which `Origin` a request may have: the guard against DNS rebinding and against foreign web pages.

use axum::body::Body;
use http::{
    HeaderMap, Response, StatusCode, Uri,
    header::{HOST, ORIGIN},
    uri::Authority,
};

use crate::mcp;

/// The rules, parsed once. Loopback hosts and origins are always allowed, on any port.
#[derive(Debug)]
pub(super) struct Origins {
    any_host: bool,
    hosts: Vec<(String, Option<u16>)>,
    any_origin: bool,
    origins: Vec<AllowedOrigin>,
}

#[derive(Debug)]
enum AllowedOrigin {
    /// `null`: sandboxed frames and files.
    Null,
    Site {
        scheme: String,
        host: String,
        port: AllowedPort,
    },
}

#[derive(Debug)]
enum AllowedPort {
    Any,
    Only(u16),
}

impl Origins {
    /// Takes hosts as `name` (any port) or `name:port`, origins as `scheme://name`, `scheme://name:port` or `scheme://name:*`; `*` for any. What is none of
    /// these matches nothing and is logged.
    pub(super) fn new(hosts: &[String], origins: &[String]) -> Self {
        let mut rules = Self {
            any_host: hosts.iter().any(|host| host == "*"),
            hosts: Vec::new(),
            any_origin: origins.iter().any(|o| o == "*"),
            origins: Vec::new(),
        };
        for host in hosts.iter().filter(|host| *host != "*") {
            match parse_host(host) {
                Some((name, port)) => rules.hosts.push((name.to_owned(), port)),
                None => tracing::warn!("allowed host {host:?} is neither a name nor name:port, it allows nothing"),
            }
        }
        for origin in origins.iter().filter(|origin| *origin != "*") {
            match parse_allowed_origin(origin) {
                Some(parsed) => rules.origins.push(parsed),
                None => tracing::warn!("allowed origin {origin:?} is not of the form https://name[:port], it allows nothing"),
            }
        }
        rules
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
                Some((name, port))
                    if !is_loopback(name)
                        && !self.hosts.iter().any(|(n, p)| n.eq_ignore_ascii_case(name) && p.is_none_or(|p| Some(p) == port)) =>
                {
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
        if origin.trim().eq_ignore_ascii_case("null") {
            return self.origins.iter().any(|allowed| matches!(allowed, AllowedOrigin::Null));
        }
        let Some((scheme, host, port)) = parse_origin(origin) else { return false };
        if is_loopback(host) && ["http", "https"].iter().any(|usual| scheme.eq_ignore_ascii_case(usual)) {
            return true;
        }
        self.origins.iter().any(|allowed| match allowed {
            AllowedOrigin::Null => false,
            AllowedOrigin::Site { scheme: s, host: h, port: p } => {
                s.eq_ignore_ascii_case(scheme)
                    && h.eq_ignore_ascii_case(host)
                    && matches!(p, AllowedPort::Any) | matches!(p, AllowedPort::Only(p) if Some(*p) == port)
            }
        })
    }
}

fn is_loopback(host: &str) -> bool {
    host == "127.0.0.1" || host == "::1" || host.eq_ignore_ascii_case("localhost")
}

/// `name`, `name:port`, `[v6]`, `[v6]:port` → name as it is written but for brackets, port. Names are the same in upper and in lower case.
fn parse_host(text: &str) -> Option<(&str, Option<u16>)> {
    let text = text.trim();
    if !is_plain_host(text) {
        // Only to see that it is one. The parser copies, which the usual names do not need.
        Authority::try_from(text).ok()?;
    }
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

/// Letters, digits, dots, hyphens, and a port: nothing that could be taken for something else.
fn is_plain_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, ""));
    !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Scheme, host, port; the scheme's own port where none is written (RFC 6454, 6.2).
fn parse_origin(text: &str) -> Option<(&str, &str, Option<u16>)> {
    let (scheme, rest) = text.trim().split_once("://")?;
    if rest.contains('/') {
        return None;
    }
    let (host, port) = parse_host(rest)?;
    let usual = || [("http", 80), ("https", 443)].iter().find(|(name, _)| scheme.eq_ignore_ascii_case(name)).map(|(_, port)| *port);
    Some((scheme, host, port.or_else(usual)))
}

fn parse_allowed_origin(text: &str) -> Option<AllowedOrigin> {
    let text = text.trim().trim_end_matches('/');
    if text.eq_ignore_ascii_case("null") {
        return Some(AllowedOrigin::Null);
    }
    let (base, any) = text.strip_suffix(":*").map_or((text, false), |base| (base, true));
    let (scheme, host, port) = parse_origin(base)?;
    let port = match port {
        Some(port) if !any => AllowedPort::Only(port),
        _ => AllowedPort::Any,
    };
    Some(AllowedOrigin::Site { scheme: scheme.to_owned(), host: host.to_owned(), port })
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

    #[test]
    fn loopback_is_always_let_in_and_foreign_names_are_not() {
        let rules = Origins::new(&[], &[]);
        for host in ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "LOCALHOST:3"] {
            assert_eq!(status(&rules, Some(host), None), 200, "{host}");
            assert_eq!(status(&rules, Some(host), Some(&format!("http://{host}"))), 200, "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000", "127.0.0.2"] {
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
        for rules in [Origins::new(&[], &[]), Origins::new(&["*".into()], &["*".into()])] {
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
        let rules = Origins::new(
            &["tools.example.com".into(), "other.example:8443".into()],
            &["https://app.example.com".into(), "http://dev.example:*".into(), "null".into()],
        );
        assert_eq!(status(&rules, Some("Tools.Example.com:99"), None), 200);
        assert_eq!(status(&rules, Some("other.example:8443"), None), 200);
        assert_eq!(status(&rules, Some("other.example"), None), 403);
        let origin = |origin| status(&rules, Some("localhost"), Some(origin));
        assert_eq!(origin("https://app.example.com"), 200);
        assert_eq!(origin("https://app.example.com:443"), 200);
        assert_eq!(origin("https://app.example.com:444"), 403);
        assert_eq!(origin("http://app.example.com"), 403);
        assert_eq!(origin("http://dev.example:5173"), 200);
        assert_eq!(origin("null"), 200);
        let any = Origins::new(&["*".into()], &["*".into()]);
        assert_eq!(status(&any, Some("evil.example"), Some("https://evil.example")), 200);
    }
}
