//! `[role.NAME]`: what callers may use.

use std::collections::BTreeMap;

use super::{
    limit::{self, CallRate, LimitConfig, Limits, MOST},
    section::{Section, section},
    toml_reader::{Item, Table},
    types::{list, number, optional, text},
};
use crate::similar;

section! {
    /// What callers that have the role may use: what its lists name, without what `deny` names.
    /// Without any role, everybody who is let in may use everything; with one, a caller may use
    /// what its roles allow together. `*` stands for any characters.
    #[derive(Eq)]
    pub struct RoleConfig {
        /// Plugins and servers of which everything may be used, by name.
        servers: Vec<String> = Vec::new(), list("patterns", text("pattern", pattern));
        /// Tools. `weather__get_*` is about the plugin or server `weather`; a name without `__` is
        /// about that tool of any plugin or server.
        tools: Vec<String> = Vec::new(), list("patterns", text("pattern", pattern));
        /// Resources and templates, by URI. A URI whose path leads out of itself by `..` fits no
        /// pattern.
        resources: Vec<String> = Vec::new(), list("patterns", text("pattern", pattern));
        /// Prompts, as `tools`.
        prompts: Vec<String> = Vec::new(), list("patterns", text("pattern", pattern));
        /// What callers with this role may never use, whatever another of their roles allows: tools
        /// and prompts as in `tools`, resources by URI, and plugins or servers by name.
        deny: Vec<String> = Vec::new(), list("patterns", text("pattern", pattern));
        /// The most calls that each caller with this role makes in a second, minute, hour or day:
        /// `10/s`, `100/m`, `1000/h`.
        rate: Option<CallRate> = None, optional(text("rate", CallRate::parse)) => unset("no limit");
        /// How many calls may come at once after a pause, within `rate`.
        burst: Option<u32> = None, optional(number(1..=MOST)) => unset("the number in `rate`");
        /// The most calls that each caller with this role has running at once.
        concurrency: Option<u32> = None, optional(number(1..=MOST)) => unset("no limit");
        /// The most calls that each caller with this role makes in a day, from midnight to midnight
        /// UTC.
        daily: Option<u32> = None, optional(number(1..=MOST)) => unset("no limit");
        /// `[role.NAME.limits."PATTERN"]`: the same for the tools that fit a pattern, as in `tools`.
        limits: BTreeMap<String, LimitConfig> = BTreeMap::new(), Limits;
    }
}

impl RoleConfig {
    /// What it limits over all tools.
    #[must_use]
    pub fn limit(&self) -> LimitConfig {
        LimitConfig { rate: self.rate, burst: self.burst, concurrency: self.concurrency, daily: self.daily }
    }
}

/// The tables `[role.NAME]`.
pub(super) fn roles(table: &Table<'_>) -> BTreeMap<String, RoleConfig> {
    let mut roles = BTreeMap::new();
    for item in table.items() {
        if let Err(message) = role_name(&item.key) {
            item.fail_key(message);
        }
        let Some(keys) = item.table() else { continue };
        let mut role = RoleConfig::default();
        role.read(&keys);
        limit::check_burst(&keys, role.rate);
        keys.finish();
        roles.insert(item.key, role);
    }
    roles
}

/// Says of each role that a caller is given whether there is such a role.
pub(super) fn check_names(auth: &Table<'_>, roles: &BTreeMap<String, RoleConfig>) {
    let check = |list: &Item<'_>| check_list(list, roles);
    if let Some(list) = auth.get("default_roles") {
        check(&list);
    }
    let issuers = auth.get("issuer").filter(|item| item.value.is_table()).and_then(|item| item.table());
    for issuer in issuers.iter().flat_map(Table::items).filter(|item| item.value.is_table()) {
        let Some(issuer) = issuer.table() else { continue };
        if let Some(list) = issuer.get("default_roles") {
            check(&list);
        }
        let by_value = issuer.get("roles").filter(|item| item.value.is_table()).and_then(|item| item.table());
        by_value.iter().flat_map(Table::items).for_each(|list| check(&list));
    }
    let Some(tokens) = auth.get("tokens").filter(|item| item.value.is_table()).and_then(|item| item.table()) else { return };
    for token in tokens.items().filter(|item| item.value.is_table()) {
        if let Some(list) = token.table().and_then(|token| token.get("roles")) {
            check(&list);
        }
    }
}

/// Says of each role in a list whether there is such a role.
pub(super) fn check_list(list: &Item<'_>, roles: &BTreeMap<String, RoleConfig>) {
    for item in list.value.is_array().then(|| list.list()).flatten().into_iter().flatten() {
        let Some(name) = item.value.as_str().filter(|name| role_name(name).is_ok() && !roles.contains_key(*name)) else { continue };
        match similar::nearest(name, roles.keys().map(String::as_str)) {
            Some(near) => item.fail(format_args!("there is no [role.{name}]; did you mean {near:?}?")),
            None => item.fail(format_args!("there is no [role.{name}]")),
        }
    }
}

/// The name of a role.
pub(super) fn role_name(name: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if fits { Ok(name.to_owned()) } else { Err("the name of a role must be 1 to 64 of a-z, A-Z, 0-9, \"-\", \"_\" and \".\"".to_owned()) }
}

/// A pattern of names.
pub(super) fn pattern(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("a pattern cannot be empty; \"*\" is any".to_owned()) } else { Ok(text.to_owned()) }
}
