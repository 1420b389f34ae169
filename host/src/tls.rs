//! TLS for every client of the program.

/// Chooses the implementation, for every client that is made after it. More than once does no harm.
pub(crate) fn install() {
    // Two are compiled into some builds, and then rustls picks none by itself. If one is installed by now, it is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
