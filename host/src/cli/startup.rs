//! What `serve` needs of the machine before it can start: for `serve` to take, and for `check` to ask about.

use std::{
    fmt,
    io::{self, ErrorKind},
    net::SocketAddr,
    os::fd::{AsFd as _, OwnedFd},
};

use serde::Serialize;
use tokio::net::TcpListener;

use super::{
    Failure,
    handover::{self, Predecessor, Role},
    socket::Passed,
};
use crate::{
    config::Config,
    http::{self, Authenticator},
    shared::Link,
    telemetry::{self, audit::Audit},
};

/// How another address is chosen for all endpoints.
const BY_OPTION: &str = "with --listen or `listen` in toolbay.toml";
/// The same for the metrics.
const BY_METRICS: &str = "by `listen` in [metrics]";
/// The same for the console.
const BY_CONSOLE: &str = "by `listen` in [console]";

/// The sockets that `serve` listens at.
pub(super) struct Listeners {
    pub(super) all: TcpListener,
    /// For the metrics alone.
    pub(super) metrics: Option<TcpListener>,
    /// For the console alone.
    pub(super) console: Option<TcpListener>,
}

impl Listeners {
    /// Listens at all addresses of a configuration; at that of a socket that was passed, or that the process before this one has,
    /// there is one already.
    pub(super) async fn bind(config: &Config, passed: Option<Passed>, mut before: Option<&mut Predecessor>) -> Result<Self, Failure> {
        let mut bound = async |role, address: SocketAddr, how| {
            if let Some(taken) = before.as_deref_mut().and_then(|before| before.socket(role, address)) {
                return TcpListener::from_std(taken).map_err(Failure::failed);
            }
            TcpListener::bind(address).await.map_err(|error| Failure::failed(cannot_listen(address, &error, how)))
        };
        let all = match passed {
            Some(passed) => passed.into_listener().map_err(Failure::failed)?,
            None => bound(Role::All, config.listen, BY_OPTION).await?,
        };
        let metrics = match config.metrics.listen {
            Some(address) => Some(bound(Role::Metrics, address, BY_METRICS).await?),
            None => None,
        };
        let console = match config.console.listen.filter(|_| config.console.enabled) {
            Some(address) => Some(bound(Role::Console, address, BY_CONSOLE).await?),
            None => None,
        };
        Ok(Self { all, metrics, console })
    }

    /// All of them once more, to be offered to another process.
    pub(super) fn by_role(&self) -> io::Result<Vec<(Role, OwnedFd)>> {
        let all = [(Role::All, Some(&self.all)), (Role::Metrics, self.metrics.as_ref()), (Role::Console, self.console.as_ref())];
        all.into_iter()
            .filter_map(|(role, socket)| Some((role, socket?)))
            .map(|(role, socket)| Ok((role, socket.as_fd().try_clone_to_owned()?)))
            .collect()
    }
}

fn cannot_listen(address: SocketAddr, error: &io::Error, how: &str) -> String {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => format!("another program uses the port: stop it, or choose another port {how}"),
        ErrorKind::AddrNotAvailable => {
            format!("this machine has no such address: choose one of its own {how}, or 0.0.0.0 for all of them")
        }
        ErrorKind::PermissionDenied => format!("ports below 1024 need root: choose a higher one {how}"),
        _ => format!("choose another address {how}"),
    };
    format!("cannot listen at {address}: {error}; {advice}")
}

/// What keeps `serve` from starting by what the configuration says, whatever the machine is like: the key, and why.
fn forbidden(config: &Config, insecure: bool) -> Vec<(&'static str, String)> {
    let authenticator = Authenticator::from_config(&config.auth);
    let mut found = Vec::new();
    if let Err(error) = http::may_listen(config.listen, &authenticator, config.http.asks_for_certificates(), insecure) {
        found.push(("listen", error.to_string()));
    }
    if let Some(address) = config.metrics.listen
        && let Err(error) = http::may_serve_metrics(address, &authenticator, config.metrics.authenticate)
    {
        found.push(("[metrics] listen", error.to_string()));
    }
    if config.console.enabled
        && let Err(error) = http::may_serve_console(config.console.listen.unwrap_or(config.listen), &authenticator)
    {
        found.push(("[console] listen", error.to_string()));
    }
    if let Err(error) = telemetry::check_filter(&config.telemetry.log) {
        found.push(("[telemetry] log", error.to_string()));
    }
    found
}

/// Fails where the configuration keeps `serve` from starting, with the first reason.
pub(super) fn refused(config: &Config, insecure: bool) -> Result<(), Failure> {
    forbidden(config, insecure).into_iter().next().map_or(Ok(()), |(_, why)| Err(Failure::usage(why)))
}

/// One thing that keeps `serve` from starting, or that its operator should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Trouble {
    /// The key: `[audit] file`.
    pub(super) key: &'static str,
    /// What was tried, why it failed, and what to do.
    pub(super) why: String,
    /// Whether it may be gone by the time that `serve` starts: another program, perhaps this host itself, uses the port.
    pub(super) passing: bool,
    /// Whether the configuration is at fault, and not the machine.
    #[serde(skip)]
    is_usage: bool,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.why)?;
        if self.passing { f.write_str("; that is as it should be if it is the running host that you check for") } else { Ok(()) }
    }
}

/// All that keeps `serve` from starting here. Nothing is written, and nothing is kept.
pub(super) fn troubles(config: &Config, insecure: bool) -> Vec<Trouble> {
    let usage = |key, why: String| Trouble { key, why, passing: false, is_usage: true };
    let mut found: Vec<_> = forbidden(config, insecure).into_iter().map(|(key, why)| usage(key, why)).collect();
    if let Some(address) = config.metrics.listen.filter(|address| overlap(*address, config.listen)) {
        let why = format!("{address} is taken by `listen` in toolbay.toml: choose another port, or remove it to have /metrics there");
        found.push(usage("[metrics] listen", why));
    }
    let console = config.console.listen.filter(|_| config.console.enabled);
    if let Some(address) = console {
        for (other, whose) in [(Some(config.listen), "`listen` in toolbay.toml"), (config.metrics.listen, "`listen` in [metrics]")] {
            if other.is_some_and(|other| overlap(address, other)) {
                found.push(usage("[console] listen", format!("{address} is taken by {whose}: choose another port")));
            }
        }
    }
    let metrics = config.metrics.listen.filter(|address| !overlap(*address, config.listen));
    let addresses =
        [("listen", Some(config.listen), BY_OPTION), ("[metrics] listen", metrics, BY_METRICS), ("[console] listen", console, BY_CONSOLE)];
    for (key, address, how) in addresses {
        let Some(address) = address else { continue };
        if let Err(error) = std::net::TcpListener::bind(address) {
            let passing = error.kind() == ErrorKind::AddrInUse;
            found.push(Trouble { key, why: cannot_listen(address, &error, how), passing, is_usage: false });
        }
    }
    if let Some(why) = config.http.handover.as_deref().and_then(handover::trouble) {
        found.push(Trouble { key: "[http] handover", why, passing: false, is_usage: false });
    }
    for (key, error) in Audit::probe(&config.audit) {
        found.push(Trouble { key, why: error.to_string(), passing: false, is_usage: false });
    }
    found
}

/// What is wrong with the Redis or Valkey that is shared, if there is one, and what may go wrong there. `serve` starts in spite of it.
pub(super) async fn shared(config: &Config) -> (Option<Trouble>, Vec<String>) {
    if config.shared.redis.is_none() {
        return (None, Vec::new());
    }
    match Link::probe(&config.shared).await {
        Ok(server) => (None, server.warnings),
        Err(fault) => (Some(Trouble { key: "[shared] redis", why: fault.to_string(), passing: false, is_usage: false }), Vec::new()),
    }
}

/// Whether one port serves both.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() != 0 && one.port() == other.port() && (a == b || a.is_unspecified() || b.is_unspecified())
}

/// Fails with all of them, where the configuration is at fault in any.
pub(super) fn usable(troubles: &[Trouble]) -> Result<(), Failure> {
    if troubles.iter().any(|trouble| trouble.is_usage) {
        let all: Vec<_> = troubles.iter().map(ToString::to_string).collect();
        return Err(Failure::usage(all.join("\n")));
    }
    Ok(())
}

/// Whether `serve` can start, as far as that will not change by itself.
pub(super) fn can_start(troubles: &[Trouble]) -> bool {
    troubles.iter().all(|trouble| trouble.passing)
}

/// What `serve` warns of at its start.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    config.state.warning().into_iter().chain(config.tasks.warning(config.state.copies)).chain(crate::app::warnings(config)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_port_at_two_addresses_is_one_where_either_is_all_of_them() {
        for (one, other, same) in [
            ("127.0.0.1:9", "127.0.0.1:9", true),
            ("0.0.0.0:9", "127.0.0.1:9", true),
            ("127.0.0.1:9", "[::]:9", true),
            ("[::ffff:127.0.0.1]:9", "127.0.0.1:9", true),
            ("127.0.0.1:9", "127.0.0.2:9", false),
            ("127.0.0.1:9", "127.0.0.1:10", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            assert_eq!(overlap(one.parse().unwrap(), other.parse().unwrap()), same, "{one} {other}");
        }
    }

    #[test]
    fn what_keeps_serve_from_starting_is_told_by_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "listen = \"127.0.0.1:0\"\n[metrics]\nlisten = \"192.0.2.7:9100\"\nauthenticate = false\n\
             [audit]\nfile = \"{0}/none/a.jsonl\"\nsyslog = \"{0}/log\"\n[http]\nhandover = \"{0}/none/h\"\n",
            folder.path().display()
        );
        let config = Config::parse(&text, &folder.path().join("toolbay.toml")).unwrap();
        let found = troubles(&config, false);
        let keys: Vec<_> = found.iter().map(|trouble| trouble.key).collect();
        assert_eq!(keys, ["[metrics] listen", "[http] handover", "[audit] file", "[audit] syslog"], "{found:?}");
        assert!(usable(&found).is_ok() && !can_start(&found));
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing was made");
        // What is used by somebody may be free by then.
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = Config::default();
        config.listen = taken.local_addr().unwrap();
        let found = troubles(&config, false);
        assert!(found.len() == 1 && can_start(&found), "{found:?}");
    }
}
