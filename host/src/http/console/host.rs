//! What the console asks of the host that it is about.

use std::sync::Arc;

use serde::Serialize;

use crate::{catalog::LivePolicy, config::ConsoleConfig, provider::StatusSource};

/// A host that has a console.
pub trait ConsoleHost: StatusSource {
    /// `[console]`, as it is now.
    fn console(&self) -> ConsoleConfig;

    /// What callers may do.
    fn policy(&self) -> Arc<LivePolicy>;

    /// Who has a token, and with which roles.
    fn tokens(&self) -> Vec<TokenRoles>;

    /// How the pool of instances stands.
    fn pool(&self) -> Pool;

    /// When it was started, in milliseconds since 1970.
    fn started(&self) -> u64;

    /// Starts a server anew beside the one that serves. False: there is none of that name.
    fn restart(&self, server: &str) -> bool;

    /// What differs from the lock file. None: there is no such file, and nothing has to be accepted.
    fn unaccepted(&self) -> Option<Vec<Unaccepted>>;

    /// Accepts one of these in the lock file, as it was shown.
    ///
    /// # Errors
    ///
    /// Why that cannot be done.
    fn accept(&self, provider: &str, print: &str) -> Result<(), AcceptError>;

    /// Has the configuration read again. What comes of it is in the status.
    fn reread(&self);
}

/// Who has a token.
#[derive(Clone, Debug, Serialize)]
pub struct TokenRoles {
    /// The name of the token.
    pub name: String,
    /// Its roles.
    pub roles: Vec<String>,
}

/// What a plugin or a server says now and nobody has accepted.
#[derive(Clone, Debug, Serialize)]
pub struct Unaccepted {
    /// Whose it is.
    pub provider: String,
    /// Which tool, prompt or what else, and how it differs, as a sentence.
    pub sentence: String,
    /// What was accepted and what is there now.
    pub text: String,
    /// Its digest, by which it is accepted.
    pub print: String,
}

/// Why something is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// It is not there, or says something else by now.
    #[error("what {0:?} says is not what was shown any more")]
    Outdated(String),
    /// The file cannot be read or written.
    #[error("{0}")]
    File(String),
}

/// The pool of instances for plugins.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Pool {
    /// Instances that run.
    pub used: usize,
    /// Instances that could run beside them.
    pub free: usize,
    /// Calls that wait for one.
    pub waiting: usize,
    /// Memory that running instances may touch, in bytes.
    pub memory: u64,
    /// How much of that there may be.
    pub memory_limit: u64,
}
