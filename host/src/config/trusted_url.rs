//! The URL of a server that is trusted, such as an authorization server.

/// An address of a server that is trusted: nobody in between may change what it says.
pub(crate) fn server_url(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).map_err(|error| format!("{text:?} is not a URL ({error}); write \"https://login.example.com\""))?;
    let is_local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && is_local) {
        return Err(format!("{text:?} is not allowed; it must be an https URL, or http on loopback"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("a URL of a server has no user, query or fragment here".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_asked_where_nobody_can_change_its_answers() {
        for right in ["https://a.example", "https://a.example/realms/x/", "http://127.0.0.1:9/", "http://localhost:1", "http://[::1]:1"] {
            assert_eq!(server_url(right).as_deref(), Ok(right));
        }
        for wrong in ["http://a.example", "ftp://a", "https://u:p@a", "https://a?x", "https://a#x", "a", "http://127.0.0.1.example.com"] {
            assert!(server_url(wrong).is_err(), "{wrong}");
        }
    }
}
