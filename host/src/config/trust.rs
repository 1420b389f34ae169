//! `[trust]`: what upstreams may say, and which calls a person confirms.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{
    SignedRule,
    lock::Lock,
    section::section,
    signed::Rules,
    types::{DAY, FilePath, HOUR, SECOND, choice, duration, list, optional, text},
};

/// What is done about what nobody has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnChange {
    /// It is not offered.
    Hold,
    /// It is offered, and told.
    Flag,
}

section! {
    /// What is done about tools and plugins that nobody has accepted, and which calls a person
    /// confirms.
    #[derive(Eq)]
    pub struct TrustConfig {
        /// The file of what was accepted, written by `toolbay lock`. While it isn't there, everything
        /// counts as accepted.
        lock: Option<PathBuf> = None, optional(FilePath) => unset("`toolbay.lock` in the folder of `toolbay.toml`");
        /// What is done about a tool whose definition is new or differs from the one in `lock`, and
        /// about such a plugin: `"hold"` doesn't offer it, `"flag"` offers it and says so.
        changed: OnChange = OnChange::Hold, choice(CHANGED);
        /// Calls that a person must confirm, by elicitation. `"destructive"` and `"open-world"` go by
        /// the tool's annotations, which default to true as in MCP; all else is a pattern of tools, as
        /// in `tools` of `[role.NAME]`. A call of a client that can't ask a person is denied.
        confirm: Vec<String> = Vec::new(), list("classes and patterns", text("pattern", pattern));
        /// Plugins from a registry that are served only with a signature by cosign: `[{ source =
        /// "ghcr.io/acme/*", keys = ["cosign.pub"] }]`.
        signed: Vec<SignedRule> = Vec::new(), Rules;
        /// Resources that come and go, which `lock` doesn't pin: patterns of URIs and of templates, such
        /// as `"file:///*"`. `*` stands for any characters.
        unpinned_resources: Vec<String> = Vec::new(), list("patterns", text("pattern", pattern));
        /// How long a conversation remembers what was read in it, after the last call, for the rule of
        /// `[flow.NAME]`.
        flow_window: Duration = HOUR, duration(SECOND..=DAY);
        /// What the lock file holds. None: there is none.
        locked: Option<Arc<Lock>> = None;
    }
}

const CHANGED: &[(&str, OnChange)] = &[("hold", OnChange::Hold), ("flag", OnChange::Flag)];

fn pattern(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("a pattern cannot be empty".to_owned()) } else { Ok(text.to_owned()) }
}

impl TrustConfig {
    /// What its operator should know, if anything.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let path = self.lock.as_deref().filter(|_| self.locked.is_none())?;
        Some(format!("there is no file {} (`lock` in [trust]): everything counts as accepted; `toolbay lock` writes it", path.display()))
    }
}
