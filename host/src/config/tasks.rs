//! `[tasks]`: calls that go on when their request has been answered with a handle.

use std::{net::IpAddr, time::Duration};

use url::{Host, Url};

use super::{
    section::section,
    types::{Boolean, HOUR, KIB, MONTH, SECOND, TIB, duration, number, optional, size, text_or_source},
};

section! {
    /// Long-running calls as tasks, for clients that declare the MCP extension `io.modelcontextprotocol/tasks`.
    #[derive(Eq)]
    pub struct TasksConfig {
        /// Whether calls can become tasks.
        enabled: bool = true, Boolean;
        /// A call that takes longer becomes a task. A plugin can turn its call into a task earlier.
        after: Duration = SECOND * 20, duration(Duration::ZERO..=MONTH);
        /// Lifetime of a task from its creation. Its call is ended by then, and its result can be
        /// fetched until then.
        ttl: Duration = HOUR, duration(SECOND..=MONTH);
        /// Maximum number of tasks, including finished ones. Past the limit, clients wait for their
        /// calls.
        max: usize = 10_000, number(1..=1_000_000);
        /// Bytes of unfetched results of all tasks together.
        max_results: usize = 256 << 20, size(KIB..=TIB);
        /// Where other instances reach this one: `"http://10.0.0.7:8000"`, or just a host; scheme
        /// and port default to its own. Tasks require it if `copies` in `[state]` is above 1.
        advertise: Option<String> = None, optional(text_or_source(|text| parse_advertise(&text.0))) => restart;
    }
}

impl TasksConfig {
    /// Why there are no tasks, if there are none. `copies`: how many copies of this host clients
    /// reach under one address.
    #[must_use]
    pub fn off(&self, copies: u32) -> Option<&'static str> {
        if !self.enabled {
            Some("[tasks] enabled is false")
        } else if copies > 1 && self.advertise.is_none() {
            Some("[state] copies is more than 1, and [tasks] advertise does not say where the other instances reach this one")
        } else {
            None
        }
    }

    /// What is wrong though nothing is forbidden.
    #[must_use]
    pub fn warning(&self, copies: u32) -> Option<String> {
        let why = self.off(copies).filter(|_| self.enabled)?;
        Some(format!(
            "no call becomes a task: {why}; set advertise to this instance's own address ({{ from_env = \"POD_IP\" }} in Kubernetes), or enabled = false"
        ))
    }

    /// The same for a host that listens on this port, with TLS or without.
    #[must_use]
    pub fn listening(mut self, port: u16, is_tls: bool) -> Self {
        let scheme = if is_tls { "https" } else { "http" };
        let open = self.advertise.as_deref().and_then(|advertise| advertise.strip_prefix("//"));
        if let Some(mut url) = open.and_then(|rest| Url::parse(&format!("{scheme}://{rest}")).ok()) {
            if url.port() == Some(0) {
                // Only an address without a host refuses a port.
                let _ = url.set_port(Some(port));
            }
            self.advertise = Some(url.origin().ascii_serialization());
        }
        self
    }
}

/// `http://10.0.0.7:8000`, `10.0.0.7:8000` or `10.0.0.7`; without a scheme and a port those of the host
/// itself, which are not known yet: `//10.0.0.7:0`.
fn parse_advertise(text: &str) -> Result<String, String> {
    const WRITE: &str = "write \"http://10.0.0.7:8000\", \"10.0.0.7\" or \"toolbay-1.internal\"";
    let wrong = || format!("{text:?} is not an address of this instance; {WRITE}");
    // For who listens it is all addresses, for who connects its own machine.
    let reached = |url: &Url| {
        let is_any = match url.host() {
            Some(Host::Ipv4(ip)) => ip.is_unspecified(),
            Some(Host::Ipv6(ip)) => ip.is_unspecified(),
            _ => false,
        };
        let why = || format!("{text:?} is where an instance listens, and at that address no other one reaches it; {WRITE}");
        if is_any { Err(why()) } else { Ok(()) }
    };
    if text.contains("://") {
        let url = Url::parse(text).map_err(|_| wrong())?;
        let plain =
            url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || !plain {
            return Err(format!("{}: a scheme (http or https), a host and a port, and nothing else", wrong()));
        }
        reached(&url)?;
        return Ok(url.origin().ascii_serialization());
    }
    let host = match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
        _ => text.to_owned(),
    };
    let url = Url::parse(&format!("http://{host}")).map_err(|_| wrong())?;
    let has_port = url.port().is_some() || text.ends_with(":80");
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(wrong());
    }
    reached(&url)?;
    let host = url.host_str().ok_or_else(wrong)?;
    // Without one that is written, the one of plain HTTP.
    let port = if has_port { url.port().unwrap_or(80) } else { 0 };
    Ok(format!("//{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_copy_is_whole_or_gets_the_port_that_is_listened_on() {
        let listening = |text: &str, is_tls| {
            let config = TasksConfig { advertise: Some(parse_advertise(text).unwrap()), ..TasksConfig::default() };
            config.listening(8000, is_tls).advertise.unwrap()
        };
        let made = |text: &str| listening(text, false);
        for (text, expected) in [
            ("10.0.0.7", "https://10.0.0.7:8000"),
            ("10.0.0.7:443", "https://10.0.0.7"),
            ("10.0.0.7:80", "https://10.0.0.7:80"),
            ("http://10.0.0.7:9000", "http://10.0.0.7:9000"),
        ] {
            assert_eq!(listening(text, true), expected, "{text}");
        }
        for (text, expected) in [
            ("10.0.0.7", "http://10.0.0.7:8000"),
            ("10.0.0.7:9000", "http://10.0.0.7:9000"),
            ("10.0.0.7:80", "http://10.0.0.7"),
            ("fd00::7", "http://[fd00::7]:8000"),
            ("[fd00::7]:9000", "http://[fd00::7]:9000"),
            ("copy-1.internal", "http://copy-1.internal:8000"),
            ("http://10.0.0.7", "http://10.0.0.7"),
            ("https://copy-1.internal:8443/", "https://copy-1.internal:8443"),
        ] {
            assert_eq!(made(text), expected, "{text}");
        }
        for text in ["", "http://", "ftp://a", "http://a/b", "http://u:p@a", "a/b", "a b", "http://a?b"] {
            assert!(parse_advertise(text).is_err(), "{text}");
        }
        for text in ["0.0.0.0", "0.0.0.0:8000", "::", "[::]:8000", "http://0.0.0.0:8000", "https://[::]"] {
            let why = parse_advertise(text).unwrap_err();
            assert!(why.contains("no other one reaches it"), "{why}");
        }
    }

    #[test]
    fn several_copies_that_do_not_find_each_other_have_no_tasks() {
        let alone = TasksConfig::default();
        assert_eq!((alone.off(1), alone.warning(1)), (None, None));
        assert!(alone.off(2).is_some() && alone.warning(2).unwrap().contains("POD_IP"));
        let found = TasksConfig { advertise: Some("http://10.0.0.7".to_owned()), ..alone.clone() };
        assert_eq!(found.off(2), None);
        let off = TasksConfig { enabled: false, ..alone };
        assert!(off.off(1).is_some() && off.warning(2).is_none());
    }
}
