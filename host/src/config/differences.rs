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

impl Difference {
    /// The key as one word: `host.instances`.
    #[must_use]
    pub fn path(&self) -> String {
        [self.table.as_str(), self.key.unwrap_or_default()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
    }
}

/// Does the same with every section that there is once, by its header.
macro_rules! each_section {
    ($do:ident) => {
        each_section!($do: http, auth, policy, state, tasks, cluster, host, store, shared, telemetry, metrics, audit, traces, console, trust, inference, search)
    };
    ($do:ident: $($section:ident),+) => {
        $($do!($section);)+
    };
}

impl Config {
    /// In which keys `other` differs from this. Roles, plugins, servers, pipelines and models are compared as a
    /// whole, and come last.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let mut found = of_section("", &self.root(), &other.root());
        macro_rules! compare {
            ($section:ident) => {
                found.extend(of_section(stringify!($section), &self.$section, &other.$section));
            };
        }
        each_section!(compare);
        found.extend(of_named("role", &self.role, &other.role));
        found.extend(of_named("endpoint", &self.endpoint, &other.endpoint));
        found.extend(of_named("guard", &self.guard, &other.guard));
        found.extend(of_named("flow", &self.flow, &other.flow));
        found.extend(of_named("model", &self.model, &other.model));
        found.extend(of_named("plugin", &self.plugin, &other.plugin));
        found.extend(of_named("registry", &self.registry, &other.registry));
        found.extend(of_named("server", &self.server, &other.server));
        found.extend(of_named("pipeline", &self.pipeline, &other.pipeline));
        found
    }

    /// This as far as it can be used without a restart: the keys that wait for one are as in what runs.
    #[must_use]
    pub fn without_restart(mut self, running: &Self) -> Self {
        let mut root = self.root();
        root.keep(&running.root());
        (self.listen, self.plugins) = (root.listen, root.plugins);
        macro_rules! keep {
            ($section:ident) => {
                self.$section.keep(&running.$section);
            };
        }
        each_section!(keep);
        self
    }

    /// The keys that wait for a restart (`host.instances`), and their values as `Debug` shows them,
    /// which hides secrets.
    #[must_use]
    pub fn restart_values(&self) -> Vec<(String, String)> {
        let mut values: Vec<_> = self.root().fixed().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        macro_rules! list {
            ($section:ident) => {
                values.extend(self.$section.fixed().into_iter().map(|(key, value)| (format!("{}.{key}", stringify!($section)), value)));
            };
        }
        each_section!(list);
        values
    }

    /// The sections that there are once, by header, as `Debug` shows them, which hides secrets.
    #[must_use]
    pub fn section_values(&self) -> Vec<(&'static str, String)> {
        let mut values = Vec::new();
        macro_rules! list {
            ($section:ident) => {
                values.push((stringify!($section), format!("{:?}", self.$section)));
            };
        }
        each_section!(list);
        values
    }

    fn root(&self) -> RootKeys {
        RootKeys { listen: self.listen, plugins: self.plugins.clone(), ..RootKeys::default() }
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
