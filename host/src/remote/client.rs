//! The HTTP client of one remote server, and what it sends with every request.

use std::{collections::BTreeMap, error::Error as StdError, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::redirect::Policy;
use url::Url;

use crate::{config::Secret, provider::ProviderId, tls};

const USER_AGENT: &str = concat!("toolbay/", env!("CARGO_PKG_VERSION"));
/// A connection that is not there by then is not going to be.
const CONNECT: Duration = Duration::from_secs(10);
/// A connection that was not used for this long is closed: less than the idle time of common servers and balancers (60 s and up).
const IDLE: Duration = Duration::from_secs(50);
/// A connection whose other end is gone without a word is found out by this.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A pool of connections, in TLS by rustls where the address is https. `redirects` says which are followed.
///
/// # Errors
///
/// Why there can be none.
pub(super) fn client(id: &ProviderId, redirects: fn() -> Policy) -> Result<reqwest::Client, String> {
    tls::install();
    let builder = || {
        reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .tcp_keepalive(KEEP_ALIVE)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .no_proxy()
            .referer(false)
            .retry(reqwest::retry::never())
            .redirect(redirects())
    };
    let client = builder().build().or_else(|error| {
        // A machine without certificates can still do plain HTTP.
        tracing::warn!(server = %id, "no https: {}; install ca-certificates or set SSL_CERT_FILE", cause(&error));
        builder().tls_certs_only([]).build()
    });
    client.map_err(|error| cause(&error))
}

/// `headers` and `bearer` of the configuration, marked as secrets.
///
/// # Errors
///
/// Which of them cannot be sent.
pub(super) fn headers(headers: &BTreeMap<String, Secret>, bearer: Option<&Secret>) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::new();
    let secret = |text: &str, what: &str| {
        let mut value = HeaderValue::try_from(text).map_err(|_| format!("{what} has characters that a header cannot have"))?;
        value.set_sensitive(true);
        Ok::<_, String>(value)
    };
    for (name, value) in headers {
        let key = HeaderName::try_from(name.as_str()).map_err(|_| format!("{name:?} in `headers` is no name of a header"))?;
        map.insert(key, secret(&value.0, &format!("the value of {name:?} in `headers`"))?);
    }
    if let Some(bearer) = bearer {
        map.insert(header::AUTHORIZATION, secret(&format!("Bearer {}", bearer.0), "`bearer`")?);
    }
    Ok(map)
}

/// The innermost cause of an error. The outer ones repeat the address, which may have arguments in it.
pub(super) fn cause(error: &dyn StdError) -> String {
    error.source().map_or_else(|| error.to_string(), cause)
}

/// An address as it may be shown and logged: without what was asked for.
pub(super) fn place(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}
