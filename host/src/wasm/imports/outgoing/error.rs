//! What the client says went wrong, as the error codes of wasi:http.

use std::{error::Error as StdError, io};

use wasmtime_wasi_http::Error;

use super::client::{NotConnected, NotPublic, NotResolved};

/// Why there is no answer.
pub(super) enum Failure {
    /// The name has no public address, and may be reached at public ones only.
    NotPublic,
    /// Anything else.
    Code(Error),
}

/// An error before the head of the answer was there.
pub(super) fn head_failure(err: &reqwest::Error) -> Failure {
    if find::<NotPublic>(err).is_some() {
        return Failure::NotPublic;
    }
    Failure::Code(head_error(err))
}

fn head_error(err: &reqwest::Error) -> Error {
    if let Some(NotResolved(text)) = find(err) {
        return Error::DnsError { rcode: Some(text.clone()), info_code: None };
    }
    if find::<NotConnected>(err).is_some() {
        return Error::ConnectionTimeout;
    }
    if let Some(tls) = find::<rustls::Error>(err) {
        return tls_error(tls);
    }
    if err.is_builder() {
        return Error::HttpRequestUriInvalid;
    }
    let connecting = err.is_connect();
    if let Some(code) = causes(err).filter_map(|cause| cause.downcast_ref()).find_map(|err| io_error(err, connecting)) {
        return code;
    }
    match find::<hyper::Error>(err) {
        Some(err) if err.is_parse_too_large() => Error::HttpResponseHeaderSectionSize(None),
        Some(err) if err.is_incomplete_message() || err.is_closed() || err.is_canceled() => Error::ConnectionTerminated,
        Some(_) => Error::HttpProtocolError,
        None if connecting => Error::DestinationUnavailable,
        None => Error::InternalError(Some(err.to_string())),
    }
}

/// An error within the body of the answer.
pub(super) fn body_error(err: &reqwest::Error) -> Error {
    let kind = |err: &io::Error| match err.kind() {
        io::ErrorKind::UnexpectedEof => Some(Error::HttpResponseIncomplete),
        _ => io_error(err, false),
    };
    if let Some(code) = causes(err).filter_map(|cause| cause.downcast_ref()).find_map(kind) {
        return code;
    }
    match find::<hyper::Error>(err) {
        Some(err) if err.is_incomplete_message() => Error::HttpResponseIncomplete,
        Some(err) if err.is_closed() || err.is_canceled() => Error::ConnectionTerminated,
        _ => Error::HttpProtocolError,
    }
}

fn tls_error(err: &rustls::Error) -> Error {
    match err {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented | rustls::Error::UnsupportedNameType => {
            Error::TlsCertificateError
        }
        rustls::Error::AlertReceived(alert) => {
            Error::TlsAlertReceived { alert_id: Some(u8::from(*alert)), alert_message: Some(format!("{alert:?}")) }
        }
        _ => Error::TlsProtocolError,
    }
}

fn io_error(err: &io::Error, connecting: bool) -> Option<Error> {
    use io::ErrorKind;
    Some(match err.kind() {
        ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected
        | ErrorKind::UnexpectedEof => Error::ConnectionTerminated,
        ErrorKind::TimedOut if connecting => Error::ConnectionTimeout,
        ErrorKind::TimedOut => Error::ConnectionReadTimeout,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => Error::DestinationIpUnroutable,
        ErrorKind::NetworkDown => Error::DestinationUnavailable,
        ErrorKind::PermissionDenied => Error::DestinationIpProhibited,
        _ => return None,
    })
}

/// The first error of a type among the causes of an error.
fn find<'a, T: StdError + 'static>(err: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    causes(err).find_map(|cause| cause.downcast_ref())
}

/// An error and all its causes. An `io::Error` hides the error that it was made of from `source`, so that is looked into as well.
fn causes<'a>(err: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(err), |&err| match err.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner as &(dyn StdError + 'static)),
        None => err.source(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_found_within_io_errors() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        // As the TLS connector wraps them.
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        let found = find::<rustls::Error>(&wrapped).unwrap();
        assert!(matches!(tls_error(found), Error::TlsCertificateError), "{found}");
        assert!(find::<NotPublic>(&wrapped).is_none());
    }

    #[test]
    fn what_the_system_says_of_a_connection_has_a_code() {
        for (kind, connecting, expected) in [
            (io::ErrorKind::ConnectionRefused, true, "ConnectionRefused"),
            (io::ErrorKind::TimedOut, true, "ConnectionTimeout"),
            (io::ErrorKind::TimedOut, false, "ConnectionReadTimeout"),
            (io::ErrorKind::NetworkUnreachable, true, "DestinationIpUnroutable"),
            (io::ErrorKind::ConnectionReset, false, "ConnectionTerminated"),
        ] {
            assert_eq!(format!("{:?}", io_error(&kind.into(), connecting).unwrap()), expected);
        }
        assert!(io_error(&io::Error::other("?"), true).is_none());
    }
}
