//! Every client of HTTP in the program: its TLS, and what is at the bottom of its errors.

use std::error::Error;

use reqwest::{Client, ClientBuilder};

/// Chooses the implementation, for every client that is made after it. More than once does no harm.
pub(crate) fn install() {
    // Two are compiled into some builds, and then rustls picks none by itself. If one is installed by now, it is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client of HTTP, as `builder` says. A machine without certificates can still do plain HTTP: `no_https` is told why only that, and https fails there by
/// "certificate error".
pub(crate) fn client(builder: impl Fn() -> ClientBuilder, no_https: impl FnOnce(&str)) -> reqwest::Result<Client> {
    install();
    builder().build().or_else(|error| {
        no_https(&cause(&error));
        builder().tls_certs_only([]).build()
    })
}

/// The innermost cause of an error. The outer ones repeat the address, which may have arguments in it.
pub(crate) fn cause(error: &(dyn Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), cause)
}
