//! Whether a browser sends a request for a page that came from this very server: the console.

use http::{HeaderMap, Uri, header, uri::Authority};

/// Whether a browser says that the request comes from a page of this server, or no browser asks. Pages cannot set these headers.
pub(super) fn is_own_page(uri: &Uri, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    // Browsers send it to secure origins and loopback only. `none`: the person typed the address.
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text("origin") else { return true };
    let host = text(header::HOST.as_str()).or_else(|| uri.authority().map(Authority::as_str));
    host.is_some_and(|host| origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host)))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn a_page_of_another_origin_is_told_apart() {
        let own = |pairs: &[(&str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
            }
            is_own_page(&Uri::from_static("/console/api/live"), &headers)
        };
        let host = ("host", "localhost:8000");
        assert!(own(&[host]), "no browser");
        assert!(own(&[host, ("origin", "http://localhost:8000")]));
        assert!(own(&[("host", "tools.example"), ("origin", "https://Tools.example")]));
        assert!(own(&[host, ("sec-fetch-site", "same-origin")]) && own(&[host, ("sec-fetch-site", "none")]));
        for foreign in ["http://localhost:3000", "http://localhost", "null", "", "localhost:8000", "https://evil.example"] {
            assert!(!own(&[host, ("origin", foreign)]), "{foreign}");
        }
        for site in ["cross-site", "same-site", ""] {
            assert!(!own(&[host, ("sec-fetch-site", site), ("origin", "http://localhost:8000")]), "{site}");
        }
    }
}
