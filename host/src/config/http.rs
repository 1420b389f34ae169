//! `[http]`: how the endpoint is reached, and what its clients may use of it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use http::HeaderName;

use super::{
    address::{AllowedHost, AllowedOrigin},
    network::Network,
    publish::tool_name,
    section::{Section, section},
    tls::{self, Pem, PemFile, ServerTls},
    toml_reader::Table,
    types::{
        Boolean, DAY, FilePath, GIB, HOUR, KIB, MIB, MILLISECOND, MONTH, SECOND, TIB, YEAR, choice, duration, list, number, optional, size,
        text,
    },
};

section! {
    /// How clients reach the endpoint.
    pub struct HttpConfig {
        /// `Host` names to accept, with or without a port, besides loopback. `"*"` accepts any, and
        /// so does an empty list if Toolbay listens beyond loopback.
        allowed_hosts: Vec<AllowedHost> = Vec::new(), list("host names", text("host name", AllowedHost::parse));
        /// Browser origins to accept (CORS) besides loopback: `"https://app.example.com"`. `"*"`
        /// accepts any.
        allowed_origins: Vec<AllowedOrigin> = Vec::new(), list("origins", text("origin", AllowedOrigin::parse));
        /// Addresses of load balancers and reverse proxies in front of this server, such as `"10.0.0.7"`
        /// or `"10.1.0.0/16"`. Where they say in `X-Forwarded-For` that a caller is, it is: for policies
        /// (`context.address`), the log and the audit. They have to set that header, or to add to it.
        trusted_proxies: Vec<Network> = Vec::new(), list("ranges of addresses", text("range", Network::parse));
        /// Certificate of this server, followed by those between it and an authority, in PEM format.
        /// Connections are encrypted then (`https`). The file is read again when it changes.
        tls_cert: Option<Pem> = None, PemFile => unset("connections aren't encrypted");
        /// The private key of `tls_cert`, in PEM format.
        tls_key: Option<Pem> = None, PemFile;
        /// Certificates of authorities, in PEM format. Clients must show a certificate that one of
        /// them has signed (mTLS). It says that they may connect; who calls is still said by tokens.
        tls_client_ca: Option<Pem> = None, PemFile => unset("clients need no certificate");
        /// Largest request body.
        max_body: usize = 4 << 20, size(KIB..=GIB);
        /// Bytes of request bodies held at once, from reading a body to the end of its call. Bodies
        /// up to 4KiB don't count. Past the limit, requests get 503 with `Retry-After`.
        max_bodies: usize = 256 << 20, size(KIB..=TIB) => restart;
        /// Bytes of responses that wait for their clients to read them. Responses up to 64KiB don't
        /// count. Past the limit, the response that was read from least recently is dropped, and its
        /// connection or stream ends.
        max_answers: usize = 256 << 20, size(MIB..=TIB) => restart;
        /// Concurrent connections, and at most half of the open files that the system allows. Past
        /// the limit, idle connections make room for new ones.
        max_connections: usize = 4096, number(1..=1_000_000) => restart;
        /// Time from a connection's first byte to the end of the request head.
        header_timeout: Duration = SECOND * 10, duration(MILLISECOND..=HOUR);
        /// Sessions of clients of 2025-11-25 and earlier. `"auto"`: `initialize` opens one, whose signed id
        /// every instance with the same `[state] keys` takes. `"none"`: every request is served by
        /// itself; nobody can be asked for input or told of changes.
        sessions: Sessions = Sessions::Auto, choice(SESSIONS);
        /// Concurrent sessions of which something is kept: an open stream, running calls, subscriptions,
        /// a log level. Past the limit, idle ones are forgotten, and go on by their ids; one
        /// authenticated caller gets at most half.
        max_sessions: usize = 10_000, number(1..=10_000_000);
        /// How long an unused session's subscriptions and log level are kept.
        session_idle: Duration = SECOND * 30 * 60, duration(SECOND..=MONTH);
        /// Lifetime of a session's id. After that, its client has to call `initialize` again.
        session_ttl: Duration = MONTH, duration(SECOND..=YEAR);
        /// How long a client with a session or a task may take to answer a request for input
        /// (elicitation, sampling). The plugin's own `timeout` is paused meanwhile.
        ask_timeout: Duration = SECOND * 5 * 60, duration(SECOND..=DAY);
        /// Time between SIGTERM and the end of accepting connections. Meanwhile, everything is served, `/readyz`
        /// answers 503 and each connection is closed after its next answer, so that load balancers
        /// and clients go to other instances.
        lame_duck: Option<Duration> = None, optional(duration(Duration::ZERO..=HOUR)) => unset("`\"5s\"`, and none on loopback");
        /// How long calls in flight may take to finish after SIGTERM.
        drain: Duration = SECOND * 30, duration(Duration::ZERO..=HOUR);
        /// A Unix socket by which a new process on this machine takes over the listening sockets of the
        /// running one, without a refused connection. Both need the same path. Not used with sockets of
        /// systemd.
        handover: Option<PathBuf> = None, optional(FilePath) => restart;
        /// Shape of the REST API's answers unless the request chooses one: `"value"` is what a program
        /// wants of a result, `"mcp"` the whole `CallToolResult`.
        rest_result: RestResult = RestResult::Value, choice(REST_RESULTS);
        /// Whether anybody may read the server cards (`/mcp/server-card`, `/NAME/mcp/server-card`) and the
        /// catalog (`/.well-known/ai-catalog.json`), by which clients find this server.
        card: Option<bool> = None, optional(Boolean) => unset("`true` where callers need not authenticate");
        /// The name in the card: a host name backwards, `/` and a name, such as `"com.example/tools"`.
        card_name: Option<String> = None, optional(text("name", card_name)) => unset("made of the host's name");
        /// The address of `/mcp` as clients reach it, for the cards: where a proxy in front speaks HTTPS, or serves
        /// it under a path of its own. `resource_url` in `[auth]` goes before it.
        card_url: Option<String> = None, optional(text("URL", card_url)) => unset("made of the `Host` of the request");
        /// The title in the card, for people.
        card_title: Option<String> = None, optional(text("text", card_text)) => unset("`\"Toolbay\"`");
        /// One sentence in the card on what there is.
        card_description: Option<String> = None, optional(text("text", card_text)) => unset("a general one");
        /// Tool for `/call` if the request names none.
        rest_default_tool: Option<String> = None, optional(text("name", tool_name)) => unset("the only tool, where there is one");
        /// What the files of `tls_cert`, `tls_key` and `tls_client_ca` make.
        tls: Option<ServerTls> = None;
        /// Headers of requests that some server is to be sent.
        forwarded: Vec<HeaderName> = Vec::new();
        /// The public keys by which servers verify who calls: a JWK set. None: there are none.
        jwks: Option<Arc<str>> = None;
    }
}

/// Whether clients before MCP 2026-07-28 get sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Sessions {
    /// All that begin with `initialize`.
    #[default]
    Auto,
    /// None.
    None,
}

const SESSIONS: &[(&str, Sessions)] = &[("auto", Sessions::Auto), ("none", Sessions::None)];

/// In which shape the REST API answers a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RestResult {
    /// What a program wants of it: structured content, or text.
    #[default]
    Value,
    /// `CallToolResult` of MCP.
    Mcp,
}

const REST_RESULTS: &[(&str, RestResult)] = &[("value", RestResult::Value), ("mcp", RestResult::Mcp)];

impl HttpConfig {
    /// Whether clients have to show a certificate.
    #[must_use]
    pub fn asks_for_certificates(&self) -> bool {
        self.tls.is_some() && self.tls_client_ca.is_some()
    }
}

/// What the schema of server cards allows.
fn card_name(text: &str) -> Result<String, String> {
    let is = |part: &str, more: &str| !part.is_empty() && part.chars().all(|char| char.is_ascii_alphanumeric() || more.contains(char));
    match text.split_once('/') {
        Some((host, name)) if text.len() <= 200 && is(host, ".-") && is(name, "._-") => Ok(text.to_owned()),
        _ => Err("is no name of a server card: write a host name backwards, / and a name, as in com.example/tools".to_owned()),
    }
}

/// The address of everything; the endpoints stand beside it.
fn card_url(text: &str) -> Result<String, String> {
    let is_one = |url: &url::Url| {
        let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
        is_plain && matches!(url.scheme(), "http" | "https") && url.host_str().is_some() && url.path().ends_with("/mcp")
    };
    match text.parse() {
        Ok(url) if is_one(&url) => Ok(url.into()),
        _ => Err("is no address of the MCP endpoint: write it whole, as in https://example.com/tools/mcp".to_owned()),
    }
}

fn card_text(text: &str) -> Result<String, String> {
    if (1..=100).contains(&text.trim().chars().count()) { Ok(text.trim().to_owned()) } else { Err("takes 1 to 100 characters".to_owned()) }
}

/// Reads `[http]`.
pub(super) fn read(table: Table<'_>, http: &mut HttpConfig) {
    http.read(&table);
    http.tls = tls::server(&table, http.tls_cert.as_ref(), http.tls_key.as_ref(), http.tls_client_ca.as_ref());
    if http.max_bodies < http.max_body {
        if let Some(item) = table.get("max_bodies") {
            item.size_not_in(http.max_bodies as u64, &(http.max_body as u64..=TIB), "; one body of max_body has to fit");
        }
        // A single body always fits.
        http.max_bodies = http.max_body;
    }
    table.finish();
}
