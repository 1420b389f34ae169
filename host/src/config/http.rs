//! `[http]`: how the endpoint is reached, and what its clients may use of it.

use std::time::Duration;

use super::{
    address::{AllowedHost, AllowedOrigin},
    reader::Table,
    section::{Section, section},
    types::{DAY, GIB, HOUR, KIB, MIB, MILLISECOND, MONTH, SECOND, TIB, duration, list, number, size, text},
};

section! {
    /// How clients reach the endpoint.
    pub struct HttpConfig {
        /// `Host` names to accept, with or without a port, besides loopback. `"*"` accepts any, and
        /// so does an empty list if Toolbay listens beyond loopback.
        allowed_hosts: Vec<String> = Vec::new(), list("host names", text("host name", |text| AllowedHost::parse(text).map(|host| host.to_string())));
        /// Browser origins to accept (CORS) besides loopback: `"https://app.example.com"`. `"*"`
        /// accepts any.
        allowed_origins: Vec<String> = Vec::new(), list("origins", text("origin", |text| AllowedOrigin::parse(text).map(|origin| origin.to_string())));
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
        /// Concurrent sessions of clients of 2025-11-25 and earlier. Past the limit, idle sessions
        /// end for new ones; one authenticated caller gets at most half.
        max_sessions: usize = 10_000, number(1..=10_000_000);
        /// Idle timeout of a session.
        session_idle: Duration = SECOND * 30 * 60, duration(SECOND..=MONTH);
        /// How long a client with a session or a task may take to answer a request for input
        /// (elicitation, sampling). The plugin's own `timeout` is paused meanwhile.
        ask_timeout: Duration = SECOND * 5 * 60, duration(SECOND..=DAY);
        /// How long calls in flight may take to finish after SIGTERM.
        drain: Duration = SECOND * 30, duration(Duration::ZERO..=HOUR);
    }
}

/// Reads `[http]`.
pub(super) fn read(table: Table<'_>, http: &mut HttpConfig) {
    http.read(&table);
    if http.max_bodies < http.max_body {
        if let Some(item) = table.get("max_bodies") {
            item.size_not_in(http.max_bodies as u64, &(http.max_body as u64..=TIB), "; one body of max_body has to fit");
        }
        // A single body always fits.
        http.max_bodies = http.max_body;
    }
    table.finish();
}
