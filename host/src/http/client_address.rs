//! Where a caller is: the address of its connection, or what proxies that the operator trusts say of it.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};

use crate::config::Network;

/// Where proxies write from whom a request came to them, the nearest of them last.
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of a caller whose request came from `peer`. None: a proxy that is trusted has written something that is no address.
///
/// It goes from the nearest proxy to the caller, and no further than whom the last trusted one names: what stands before that was written by the caller.
pub(super) fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> Option<IpAddr> {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(peer) {
        return Some(peer);
    }
    // One that says nothing is itself who asks.
    let mut from = peer;
    for line in headers.get_all(&FORWARDED).iter().rev() {
        for entry in line.to_str().ok()?.rsplit(',') {
            from = address(entry.trim())?;
            if !is_trusted(from) {
                return Some(from);
            }
        }
    }
    Some(from)
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_trusted_is_believed_and_nobody_whom_the_caller_names() {
        let trusted: Vec<Network> = ["10.0.0.0/24", "fd00::/8"].map(|text| Network::parse(text).unwrap()).into();
        for (peer, lines, client) in [
            ("203.0.113.9", &["10.0.0.1"][..], Some("203.0.113.9")),
            ("10.0.0.7", &[], Some("10.0.0.7")),
            ("10.0.0.7", &["203.0.113.9"], Some("203.0.113.9")),
            ("::ffff:10.0.0.7", &["203.0.113.9"], Some("203.0.113.9")),
            // What the caller has written itself.
            ("10.0.0.7", &["192.168.0.1, 203.0.113.9"], Some("203.0.113.9")),
            ("10.0.0.7", &["192.168.0.1", "203.0.113.9"], Some("203.0.113.9")),
            ("10.0.0.7", &["10.0.0.3,203.0.113.9"], Some("203.0.113.9")),
            ("10.0.0.7", &["nonsense, 203.0.113.9"], Some("203.0.113.9")),
            // Several proxies.
            ("10.0.0.7", &["203.0.113.9, 10.0.0.3", "fd00::1"], Some("203.0.113.9")),
            ("10.0.0.7", &["10.0.0.3"], Some("10.0.0.3")),
            // With ports, and by IPv6.
            ("10.0.0.7", &["203.0.113.9:4711"], Some("203.0.113.9")),
            ("10.0.0.7", &["2001:db8::1"], Some("2001:db8::1")),
            ("10.0.0.7", &["[2001:db8::1]"], Some("2001:db8::1")),
            ("10.0.0.7", &["[2001:db8::1]:443"], Some("2001:db8::1")),
            // Nobody can say.
            ("10.0.0.7", &["unknown"], None),
            ("10.0.0.7", &[""], None),
            ("10.0.0.7", &["203.0.113.9,"], None),
            ("10.0.0.7", &["203.0.113.9, _hidden"], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED, line.parse().unwrap());
            }
            let client: Option<IpAddr> = client.map(|client| client.parse().unwrap());
            assert_eq!(of(peer.parse().unwrap(), &headers, &trusted), client, "{peer} {lines:?}");
            assert_eq!(of(peer.parse().unwrap(), &headers, &[]), peer.parse().ok(), "nobody is trusted unless the operator says so");
        }
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED, http::HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(of("10.0.0.7".parse().unwrap(), &headers, &trusted), None);
    }
}
