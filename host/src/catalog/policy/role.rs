//! One role: what those who have it may use, and how often.

use std::{fmt, time::Duration};

use crate::{
    catalog::{Entry, PromptEntry},
    wildcard::fits,
};

/// Which table of the configuration a set of patterns stands in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Table {
    /// `[role.NAME]`.
    #[default]
    Role,
    /// `[endpoint.NAME]`.
    Endpoint,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Role => "role",
            Self::Endpoint => "endpoint",
        })
    }
}

/// What those who have a role may use, or what an endpoint offers. `*` stands for any characters in all patterns.
///
/// A pattern of a tool or a prompt is `server__name`, which is about that plugin or server alone, or
/// `name`, which is about all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// Where it stands.
    pub table: Table,
    /// Its name.
    pub name: String,
    /// Plugins and servers of which everything may be used.
    pub servers: Vec<String>,
    /// Tools.
    pub tools: Vec<String>,
    /// Resources, by URI.
    pub resources: Vec<String>,
    /// Prompts.
    pub prompts: Vec<String>,
    /// What may not be used, whatever allows it: tools, prompts, URIs, and plugins and servers as a
    /// whole.
    pub deny: Vec<String>,
    /// How often each caller with it may call.
    pub limits: Vec<Limit>,
}

/// How often each caller with a role may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// The role.
    pub role: String,
    /// The tools that it is about, together. None: everything that a caller does.
    pub pattern: Option<String>,
    /// The most calls in a time.
    pub rate: Option<RateOf>,
    /// The most calls at once.
    pub concurrency: Option<usize>,
    /// The most calls in a day.
    pub daily: Option<u32>,
}

/// So many calls in such a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateOf {
    /// Calls.
    pub calls: u32,
    /// In this time.
    pub per: Duration,
    /// At once, after a pause.
    pub burst: u32,
}

impl fmt::Display for RateOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per.as_secs() {
            1 => "a second",
            60 => "a minute",
            3600 => "an hour",
            _ => "a day",
        };
        write!(f, "{} calls {unit}", self.calls)
    }
}

impl Limit {
    /// Whether a call of this tool counts.
    #[must_use]
    pub fn is_about(&self, entry: &Entry) -> bool {
        self.pattern.as_deref().is_none_or(|pattern| entry.is_named(pattern))
    }

    /// Where it stands in the configuration.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.pattern {
            None => format!("[role.{}]", self.role),
            Some(pattern) => format!("[role.{}.limits.{pattern:?}]", self.role),
        }
    }
}

impl Entry {
    /// Whether a pattern names it: `server__name`, which is about that plugin or server alone, or `name`.
    #[must_use]
    pub fn is_named(&self, pattern: &str) -> bool {
        names(pattern, self.provider().id().as_str(), self.own_name(), self.name())
    }
}

impl PromptEntry {
    /// The same of a prompt.
    #[must_use]
    pub fn is_named(&self, pattern: &str) -> bool {
        names(pattern, self.provider().id().as_str(), self.own_name(), self.name())
    }
}

/// Whether a pattern names a tool or a prompt.
pub(super) fn names(pattern: &str, provider: &str, own: &str, published: &str) -> bool {
    // A name that model APIs refuse is published as another, and either is what an operator sees.
    let other = published.strip_prefix(provider).and_then(|rest| rest.strip_prefix("__")).unwrap_or(published);
    match pattern.split_once("__") {
        Some((server, name)) => fits(provider, server) && (fits(own, name) || fits(other, name)),
        None => fits(own, pattern) || fits(other, pattern),
    }
}
