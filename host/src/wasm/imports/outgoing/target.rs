//! Where a request goes: the parts of its URL, read by one parser and in one form for the check and for the client.

use http::Uri;
use url::{Host, Url};
use wasmtime_wasi_http::Error;

use crate::wasm::permissions::{Scheme, authority, canonical_host};

/// A URL and what is to be checked of it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) scheme: Scheme,
    pub(super) host: Host,
    pub(super) port: u16,
}

impl Target {
    /// Takes a URL apart and builds it anew from the parts, so that nothing which was not checked is in it.
    pub(super) fn new(uri: &Uri) -> Result<Self, Error> {
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(Error::HttpProtocolError), // what wasi-http says of schemes that it does not know
        };
        let given = uri.authority().ok_or(Error::HttpRequestUriInvalid)?.as_str();
        let base = Url::parse(&format!("{scheme}://{given}")).map_err(|_| Error::HttpRequestUriInvalid)?;
        // User names and passwords in a URL serve to mislead; and an authority that has a path in it is none.
        if given.contains('@') || base.path() != "/" || base.query().is_some() || base.fragment().is_some() {
            return Err(Error::HttpRequestUriInvalid);
        }
        let host = base.host().map(|host| host.to_owned()).and_then(canonical_host).ok_or(Error::HttpRequestUriInvalid)?;
        let port = base.port().unwrap_or_else(|| scheme.default_port());
        if port == 0 {
            return Err(Error::HttpRequestUriInvalid);
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let url = Url::parse(&format!("{scheme}://{host}:{port}{path}")).map_err(|_| Error::HttpRequestUriInvalid)?;
        let same = url.port_or_known_default() == Some(port) && url.host().map(|host| host.to_owned()).as_ref() == Some(&host);
        if !same || !url.username().is_empty() || url.password().is_some() {
            return Err(Error::HttpRequestUriInvalid);
        }
        Ok(Self { url, scheme, host, port })
    }

    /// `api.example.com:443`.
    pub(super) fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Result<String, String> {
        let uri: Uri = uri.parse().map_err(|err| format!("{err}"))?;
        Target::new(&uri).map(|target| format!("{} | {}", target.authority(), target.url)).map_err(|err| format!("{err:?}"))
    }

    #[test]
    fn hosts_are_normalized() {
        for (uri, expected) in [
            ("https://API.Example.com/a?b=c", "api.example.com:443 | https://api.example.com/a?b=c"),
            ("https://example.com.:443/", "example.com:443 | https://example.com/"),
            ("http://example.com:8080", "example.com:8080 | http://example.com:8080/"),
            ("http://127.1/x", "127.0.0.1:80 | http://127.0.0.1/x"),
            ("http://0x7f000001:81/x", "127.0.0.1:81 | http://127.0.0.1:81/x"),
            ("http://2130706433/", "127.0.0.1:80 | http://127.0.0.1/"),
            ("http://0177.1/", "127.0.0.1:80 | http://127.0.0.1/"),
            ("http://[::ffff:127.0.0.1]:81/", "127.0.0.1:81 | http://127.0.0.1:81/"),
            ("http://[0:0:0:0:0:0:0:1]/", "[::1]:80 | http://[::1]/"),
            ("http://a.example//b.example/c", "a.example:80 | http://a.example//b.example/c"),
            ("http://a.example?q=@b.example", "a.example:80 | http://a.example/?q=@b.example"),
        ] {
            assert_eq!(target(uri).as_deref(), Ok(expected), "{uri}");
        }
    }

    #[test]
    fn what_is_no_plain_url_is_refused() {
        for uri in [
            "http://good.example@evil.example/",
            "http://user:pw@example.com/",
            "http://@example.com/",
            "ftp://example.com/",
            "/only/a/path",
            "http://example.com:0/",
            "http://example.com:99999/",
            "http://256.256.256.256/",
            "http://1.2.3.4.5/",
            "http://../",
            "http://a..:80/",
            "http://[::1%25eth0]/",
        ] {
            assert!(target(uri).is_err(), "{uri}: {:?}", target(uri));
        }
    }
}
