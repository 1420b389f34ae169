//! `[console]`: the page for operators, and who may use it.

use std::net::SocketAddr;

use super::{
    listen::Listen,
    role::role_name,
    section::section,
    types::{Boolean, list, optional, text},
};

section! {
    /// The console for operators at `/console`: what is served and how it does, and a few actions.
    #[derive(Eq)]
    pub struct ConsoleConfig {
        /// Whether there is a console. On a server that other machines reach, it requires
        /// `[auth.tokens]` or `[auth.issuer.NAME]`.
        enabled: bool = false, Boolean => restart;
        /// An address for the console, such as `"127.0.0.1:9000"`. All other endpoints are there
        /// too, so that it can try tools; the console is at no other address then. Unset: it is at
        /// the address of all other endpoints.
        listen: Option<SocketAddr> = None, optional(Listen) => restart;
        /// Roles whose callers may see the console. It names everything, whatever their roles allow
        /// them to call. Empty: callers who may use everything.
        view: Vec<String> = Vec::new(), list("names", text("name", role_name));
        /// Roles whose callers may also act in it: restart servers, disable tools, reload the
        /// configuration. Empty: nobody where there are `[role.NAME]`; where there are none,
        /// everybody who is authenticated, or everybody where nobody has to be.
        operate: Vec<String> = Vec::new(), list("names", text("name", role_name));
    }
}
