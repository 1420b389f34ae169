//! What the console asks of this host.

use std::sync::Arc;

use super::{App, lock};
use crate::{
    catalog::LivePolicy,
    config::{ConsoleConfig, Lock, OciReference},
    http::{AcceptError, ConsoleHost, Pool, TokenRoles, Unaccepted},
    provider::StatusSource as _,
    telemetry,
    trust::{Observed, Part, differences},
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

    fn unaccepted(&self) -> Option<Vec<Unaccepted>> {
        let path = self.config.borrow().lock_path();
        // One that cannot be read is a problem of the configuration, which is told there.
        let lock = Lock::read(&path).ok().flatten()?;
        let all = self.trust.observed();
        let of = |(provider, observed): (&String, &Observed)| {
            let found = differences(&lock, provider, observed);
            let shown = found.into_iter().map(|one| Unaccepted {
                provider: provider.clone(),
                sentence: one.sentence(provider),
                text: one.text(provider),
                print: one.print(provider),
            });
            shown.collect::<Vec<_>>()
        };
        Some(all.iter().flat_map(of).collect())
    }

    fn accept(&self, provider: &str, print: &str) -> Result<(), AcceptError> {
        // One after the other, so that none writes over what another has accepted.
        let _one = lock(&self.accepting);
        let path = self.config.borrow().lock_path();
        let outdated = || AcceptError::Outdated(provider.to_owned());
        let mut lock = Lock::read(&path).map_err(|error| AcceptError::File(error.to_string()))?.ok_or_else(outdated)?;
        let observed = self.trust.observed().remove(provider).ok_or_else(outdated)?;
        let found = differences(&lock, provider, &observed);
        let one = found.iter().find(|one| one.print(provider) == print).ok_or_else(outdated)?;
        one.accept(&mut lock, provider, &observed);
        if one.part == Part::Code {
            let source =
                self.statuses().into_iter().find(|status| status.name == provider).map(|status| OciReference::parse(&status.source));
            match source {
                Some(Ok(source)) => drop(lock.sources.insert(provider.to_owned(), source)),
                _ => drop(lock.sources.remove(provider)),
            }
        }
        lock.write(&path).map_err(|error| AcceptError::File(format!("cannot write {}: {error}", path.display())))?;
        Self::reread(self);
        Ok(())
    }

    fn reread(&self) {
        Self::reread(self);
    }
}
