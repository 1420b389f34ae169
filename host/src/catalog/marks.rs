//! What the operator's rules say of one tool: the guards that judge its calls, and what it reads and sends.

use std::sync::Arc;

/// One guard.
#[derive(Debug)]
pub struct GuardRule {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// What the audit and the log call it: `guard.NAME`.
    pub label: Arc<str>,
    /// The plugin that judges.
    pub plugin: String,
    /// Patterns of tools.
    pub tools: Vec<String>,
    /// Whether a call goes on where the guard fails.
    pub passes: bool,
    /// What it is told: JSON text of an object.
    pub settings: Arc<str>,
}

/// What a tool reads, and where it sends what it is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Its answers are not for everybody.
    pub private: bool,
    /// Strangers write its answers.
    pub untrusted: bool,
    /// What it is given goes to others.
    pub outside: bool,
}

impl Labels {
    /// The labels of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            private: self.private || other.private,
            untrusted: self.untrusted || other.untrusted,
            outside: self.outside || other.outside,
        }
    }
}

/// What holds for one tool. Decided once for each tool and configuration.
#[derive(Debug)]
pub struct Marks {
    /// In the order in which they are asked before a call.
    pub guards: Vec<Arc<GuardRule>>,
    /// What it reads and sends.
    pub labels: Labels,
}
