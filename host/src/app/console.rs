//! What the console asks of this host.

use std::sync::Arc;

use super::App;
use crate::{
    catalog::LivePolicy,
    config::ConsoleConfig,
    http::{ConsoleHost, Pool, TokenRoles},
    telemetry,
};

impl App {
    /// Keeps what a console shows and nothing else does, from now on: the last calls and log lines.
    pub fn open_console(&self) {
        self.dispatcher.keep_recent();
        telemetry::keep_lines();
    }
}

impl ConsoleHost for App {
    fn console(&self) -> ConsoleConfig {
        self.config.borrow().console.clone()
    }

    fn policy(&self) -> Arc<LivePolicy> {
        Arc::clone(&self.policy)
    }

    fn tokens(&self) -> Vec<TokenRoles> {
        let config = self.config.borrow();
        config.auth.tokens.iter().map(|(name, token)| TokenRoles { name: name.to_owned(), roles: token.roles().to_vec() }).collect()
    }

    fn pool(&self) -> Pool {
        let pool = self.host.pool();
        let (memory, memory_limit) = (pool.memory as u64, pool.memory_limit as u64);
        Pool { used: pool.used, free: pool.free, waiting: pool.waiting, memory, memory_limit }
    }

    fn started(&self) -> u64 {
        self.started
    }

    fn restart(&self, server: &str) -> bool {
        self.servers.restart(server)
    }

    fn reread(&self) {
        Self::reread(self);
    }
}
