//! What is wrong with Redis, where, and what to do about it.

use std::{fmt, io, time::Duration};

use redis::{ErrorKind, RedisError};

use crate::config::SharedConfig;

/// Why something could not be done there, in a sentence or two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    text: String,
    /// Whether the connection is of no use any more.
    pub(super) is_lost: bool,
    /// Whether the command may have been carried out in spite of it.
    pub(crate) is_uncertain: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}

impl Fault {
    /// Nobody has tried yet.
    pub(super) fn not_yet(config: &SharedConfig) -> Self {
        Self { text: format!("{} is being connected to", place(config)), is_lost: true, is_uncertain: false }
    }

    pub(super) fn no_connection_within(config: &SharedConfig, time: Duration) -> Self {
        let text = format!(
            "{} gave no connection within {time:?}; is it there, and not blocked on the way? (`connect_timeout` in [shared])",
            place(config)
        );
        Self { text, is_lost: true, is_uncertain: false }
    }

    /// The connection cannot even be tried.
    pub(super) fn unusable(config: &SharedConfig, why: &str) -> Self {
        Self { text: format!("{} cannot be connected to: {why}", place(config)), is_lost: true, is_uncertain: false }
    }

    pub(super) fn of(error: &RedisError, config: &SharedConfig) -> Self {
        let place = place(config);
        let said = said(error);
        let text = match (error.kind(), error.code()) {
            (_, Some("NOAUTH")) => format!("{place} wants a password: set `password = {{ from_env = \"VARIABLE\" }}` in [shared]"),
            (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS")) => format!(
                "{place} rejects the user name or password; correct `password` in [shared] and the user in `redis`, or leave them out if it has none"
            ),
            (_, Some("NOPERM")) => {
                format!(
                    "{place} does not allow its user what is needed ({said}); grant it ~PREFIX:* +@read +@write +@scripting +@connection +time +info, with `prefix` of [shared]"
                )
            }
            (ErrorKind::ReadOnly, _) => {
                format!("{place} is a replica, which takes no writes; name the primary in `redis` of [shared]")
            }
            (ErrorKind::BusyLoadingError, _) => format!("{place} is still loading its data"),
            (ErrorKind::MasterDown, _) => format!("{place} is a replica that has lost its primary"),
            (ErrorKind::Moved | ErrorKind::Ask | ErrorKind::ClusterDown | ErrorKind::CrossSlot, _) => {
                format!("{place} is a node of a cluster ({said}), which is not supported; name one without cluster mode")
            }
            (_, Some("OOM")) => format!("{place} has no memory left; raise its `maxmemory`"),
            (_, Some("MISCONF")) => format!("{place} takes no writes, since it cannot save its data ({said}); its log says why"),
            (ErrorKind::ParseError, _) => {
                format!("what answers at {place} does not speak the protocol of Redis; correct the port in `redis` of [shared]")
            }
            (ErrorKind::InvalidClientConfig, _) => format!("{place} cannot be connected to: {said}"),
            (ErrorKind::IoError, _) => Self::of_io(error, &said, config, &place),
            _ => format!("{place} answers: {said}"),
        };
        let is_lost = error.is_unrecoverable_error();
        let is_uncertain = is_lost && !error.is_connection_refusal() || error.is_timeout();
        Self { text, is_lost, is_uncertain }
    }

    fn of_io(error: &RedisError, said: &str, config: &SharedConfig, place: &str) -> String {
        let is_tls = config.redis.as_ref().is_some_and(|url| url.is_tls());
        if error.is_timeout() {
            let time = config.timeout;
            // One without TLS waits for the end of a line.
            let hint = if is_tls { "; if it speaks no TLS, write redis:// in `redis` of [shared]" } else { "" };
            return format!("{place} gave no answer within {time:?} (`timeout` in [shared]){hint}");
        }
        if error.is_connection_refusal() {
            return format!("nothing listens at {place} ({said}); start Redis or Valkey there, or correct `redis` in [shared]");
        }
        if is_tls && (said.contains("certificate") || said.contains("UnknownIssuer")) {
            return format!("the certificate of {place} is not trusted: {said}; `tls_ca` in [shared] names the authority's file");
        }
        if is_tls && (said.contains("InvalidContentType") || said.contains("corrupt message")) {
            return format!("{place} speaks no TLS; write redis:// in `redis` of [shared], or turn TLS on there");
        }
        if said.contains("lookup") || said.contains("resolve") || said.contains("No address") {
            return format!("the host of {place} is not known ({said}); correct `redis` in [shared]");
        }
        let hint = if is_tls { "" } else { "; if it speaks TLS alone, write rediss:// in `redis` of [shared]" };
        format!("the connection to {place} ended: {said}{hint}")
    }
}

/// Which Redis is meant.
fn place(config: &SharedConfig) -> String {
    config.redis.as_ref().map_or_else(|| "Redis".to_owned(), |url| format!("Redis at {url}"))
}

/// What the error says by itself. No error of the client shows the URL or the password.
fn said(error: &RedisError) -> String {
    if let Some(source) = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>()) {
        return source.to_string();
    }
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (None, Some(detail)) => detail.to_owned(),
        _ => error.to_string(),
    }
}
