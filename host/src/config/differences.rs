//! In which keys two configurations differ, and which of these need a restart.

use std::{collections::BTreeMap, fmt};

use super::{
    Config,
    key::Key,
    section::Section,
    tables::{self, RootKeys},
};

/// One key, or one whole table with a name, that is another in another configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The table, as in its header. Empty: the top level.
    pub table: String,
    /// The key in it. None: the table as a whole, such as a plugin or a server.
    pub key: Option<&'static str>,
    /// Whether the change counts only from the next start on.
    pub restart: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.table.as_str(), self.key) {
            ("", key) => f.write_str(key.unwrap_or_default()),
            (table, Some(key)) => write!(f, "[{table}] {key}"),
            (table, None) => write!(f, "[{table}]"),
        }
    }
}

impl Config {
    /// In which keys `other` differs from this, in the order of the reference page. Plugins,
    /// servers and models are compared as a whole.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let root = |config: &Self| RootKeys { listen: config.listen, plugins: config.plugins.clone(), ..RootKeys::default() };
        let mut found = of_section("", &root(self), &root(other));
        found.extend(of_section("http", &self.http, &other.http));
        found.extend(of_section("auth", &self.auth, &other.auth));
        found.extend(of_named("role", &self.role, &other.role));
        found.extend(of_named("endpoint", &self.endpoint, &other.endpoint));
        found.extend(of_section("state", &self.state, &other.state));
        found.extend(of_section("tasks", &self.tasks, &other.tasks));
        found.extend(of_section("host", &self.host, &other.host));
        found.extend(of_section("store", &self.store, &other.store));
        found.extend(of_section("telemetry", &self.telemetry, &other.telemetry));
        found.extend(of_section("metrics", &self.metrics, &other.metrics));
        found.extend(of_section("audit", &self.audit, &other.audit));
        found.extend(of_section("inference", &self.inference, &other.inference));
        found.extend(of_named("model", &self.model, &other.model));
        found.extend(of_named("plugin", &self.plugin, &other.plugin));
        found.extend(of_named("server", &self.server, &other.server));
        found
    }
}

/// The keys of which a change counts only from the next start on: `host.instances`.
#[must_use]
pub fn restart_keys() -> Vec<String> {
    let tables = tables::vocabulary().tables.iter();
    let keys = tables.flat_map(|table| {
        table.keys().filter(|key| key.restart).map(|key| match table.header {
            "" => key.name.to_owned(),
            header => format!("{header}.{}", key.name),
        })
    });
    keys.collect()
}

fn of_section<S: Section>(table: &str, one: &S, other: &S) -> Vec<Difference> {
    let difference = |key: Key| Difference { table: table.to_owned(), key: Some(key.name), restart: key.restart };
    one.changed(other).into_iter().map(difference).collect()
}

/// What stands in only one of them, or is another.
fn of_named<T: PartialEq>(table: &str, one: &BTreeMap<String, T>, other: &BTreeMap<String, T>) -> Vec<Difference> {
    let gone = one.keys().filter(|name| !other.contains_key(*name));
    let other_now = other.iter().filter(|(name, value)| one.get(*name) != Some(*value)).map(|(name, _)| name);
    let mut names: Vec<_> = gone.chain(other_now).collect();
    names.sort();
    names.into_iter().map(|name| Difference { table: format!("{table}.{name}"), key: None, restart: false }).collect()
}
