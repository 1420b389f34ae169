//! What `settings` of `[guard.NAME]` can say.

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde::Deserialize;

/// What is done about what is found.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Nothing.
    Allow,
    /// It is taken out.
    Redact,
    /// The call, or its answer, is denied.
    Deny,
}

/// What is looked for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Keys,
    PrivateKeys,
    Email,
    Iban,
    Card,
}

pub const ALL: [Kind; 5] = [Kind::PrivateKeys, Kind::Keys, Kind::Email, Kind::Iban, Kind::Card];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    arguments: Action,
    answers: Action,
    find: Vec<Kind>,
    patterns: BTreeMap<String, String>,
    keep: Vec<String>,
}

impl Default for Raw {
    fn default() -> Self {
        Self { arguments: Action::Allow, answers: Action::Redact, find: ALL.to_vec(), patterns: BTreeMap::new(), keep: Vec::new() }
    }
}

#[derive(Debug)]
pub struct Settings {
    pub arguments: Action,
    pub answers: Action,
    pub find: Vec<Kind>,
    /// The operator's own, by what they are called.
    pub patterns: Vec<(String, Regex)>,
    /// What is never taken out.
    pub keep: Vec<String>,
}

impl Settings {
    pub fn read(json: &str) -> Result<Self, String> {
        if !json.trim_start().starts_with('{') {
            return Err("its settings must be a table".to_owned());
        }
        let Raw { arguments, answers, find, patterns, keep } =
            serde_json::from_str(json).map_err(|error| format!("its settings are wrong: {error}"))?;
        let pattern = |(name, text): (String, String)| match Regex::new(&text) {
            Ok(pattern) => Ok((name, pattern)),
            Err(error) => Err(format!("its settings are wrong: patterns.{name} is no regular expression: {error}")),
        };
        let patterns = patterns.into_iter().map(pattern).collect::<Result<_, _>>()?;
        Ok(Self { arguments, answers, find, patterns, keep })
    }
}
