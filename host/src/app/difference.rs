//! What tells one configuration from another: which sections differ, what of that waits for a restart, and digests that show no secret.

use std::{collections::BTreeMap, fmt::Debug};

use serde::{Deserialize, Serialize};

use crate::config::{Config, Difference};

/// The keys in which two configurations differ and that wait for a restart.
pub(super) fn needs_restart(running: &Config, next: &Config) -> Vec<String> {
    running.differences(next).iter().filter(|difference| difference.restart).map(Difference::path).collect()
}

/// The digests of a configuration: equal where the configuration is, values of secrets not counted. Secrets are in no digest, so that nobody can try
/// values until the digest fits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Digests {
    /// Of each section, without the keys that wait for a restart.
    pub section: BTreeMap<String, String>,
    /// Of each `[role.NAME]`.
    pub role: BTreeMap<String, String>,
    /// Of each `[endpoint.NAME]`.
    pub endpoint: BTreeMap<String, String>,
    /// Of each `[guard.NAME]`.
    pub guard: BTreeMap<String, String>,
    /// Of each `[flow.NAME]`.
    pub flow: BTreeMap<String, String>,
    /// Of each `[plugin.NAME]`.
    pub plugin: BTreeMap<String, String>,
    /// Of each `[registry.NAME]`.
    pub registry: BTreeMap<String, String>,
    /// Of each `[server.NAME]`.
    pub server: BTreeMap<String, String>,
    /// Of each `[pipeline.NAME]`.
    pub pipeline: BTreeMap<String, String>,
    /// Of each `[model.NAME]`.
    pub model: BTreeMap<String, String>,
    /// Of each key that waits for a restart.
    pub restart: BTreeMap<String, String>,
}

impl Digests {
    /// Of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        // The same restart keys in all: they have digests of their own.
        let live = config.clone().without_restart(&Config::default());
        let digests = |values: Vec<(_, String)>| values.into_iter().map(|(name, value)| (name, digest_of(&value))).collect();
        let section = live.section_values().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self {
            section: digests(section),
            role: of_each(&config.role),
            endpoint: of_each(&config.endpoint),
            guard: of_each(&config.guard),
            flow: of_each(&config.flow),
            plugin: of_each(&config.plugin),
            registry: of_each(&config.registry),
            server: of_each(&config.server),
            pipeline: of_each(&config.pipeline),
            model: of_each(&config.model),
            restart: digests(config.restart_values()),
        }
    }

    /// What changes from this to `next`, a line each: `changed [http]`.
    #[must_use]
    pub fn changes(&self, next: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (kind, before, after) in [
            ("", &self.section, &next.section),
            ("role.", &self.role, &next.role),
            ("endpoint.", &self.endpoint, &next.endpoint),
            ("guard.", &self.guard, &next.guard),
            ("flow.", &self.flow, &next.flow),
            ("plugin.", &self.plugin, &next.plugin),
            ("registry.", &self.registry, &next.registry),
            ("server.", &self.server, &next.server),
            ("pipeline.", &self.pipeline, &next.pipeline),
            ("model.", &self.model, &next.model),
        ] {
            let mut names: Vec<_> = before.keys().chain(after.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let how = match (before.get(name), after.get(name)) {
                    (None, _) => How::Added,
                    (_, None) => How::Removed,
                    (Some(before), Some(after)) if before != after => How::Changed,
                    _ => continue,
                };
                changes.push(Change { what: format!("[{kind}{name}]"), how });
            }
        }
        let restart = next.restart.iter().filter(|(name, digest)| self.restart.get(*name).is_some_and(|before| before != *digest));
        changes.extend(restart.map(|(name, _)| Change { what: name.clone(), how: How::Restart }));
        changes
    }
}

/// One thing in which two configurations differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `[server.NAME]`, or a key: `host.instances`.
    pub what: String,
    /// How it differs.
    pub how: How,
}

/// How something differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It says something else.
    Changed,
    /// It says something else, and counts from the next start on.
    Restart,
}

fn of_each(all: &BTreeMap<String, impl Debug>) -> BTreeMap<String, String> {
    all.iter().map(|(name, one)| (name.clone(), digest(one))).collect()
}

/// The first 16 hex digits of the BLAKE3 of a value as `Debug` shows it, which hides secrets.
fn digest(value: &impl Debug) -> String {
    digest_of(&format!("{value:?}"))
}

/// The same of the text itself.
fn digest_of(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().chars().take(16).collect()
}

/// What two configurations differ in, for a log line; secrets are counted.
pub(super) fn changed(before: &Config, after: &Config) -> Vec<String> {
    before.differences(after).iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::restart_keys;

    fn config(text: &str) -> Config {
        Config::parse(text, Path::new("/x/toolbay.toml")).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn what_waits_for_a_restart_is_named_and_the_rest_is_taken() {
        let running = config("[host]\ninstances = 10\n[http]\nmax_body = \"1MiB\"");
        let next = config("listen = \"127.0.0.1:9\"\n[host]\ninstances = 20\nsidecar_grants = false\n[http]\nmax_body = \"2MiB\"");
        assert_eq!(needs_restart(&running, &next), ["listen", "host.instances"]);
        let taken = next.clone().without_restart(&running);
        assert_eq!((taken.listen, taken.host.instances), (running.listen, 10));
        assert_eq!((taken.host.sidecar_grants, taken.http.max_body), (false, 2 << 20));
        assert!(needs_restart(&running, &taken).is_empty());
    }

    #[test]
    fn the_keys_that_wait_for_a_restart_are_those_that_are_declared_so() {
        let mut known: Vec<_> = Config::default().restart_values().into_iter().map(|(name, _)| name).collect();
        let mut declared = restart_keys();
        known.sort();
        declared.sort();
        assert!(known == declared && known.len() > 20 && known.contains(&"telemetry.format".to_owned()), "{known:?}");
    }

    #[test]
    fn digests_tell_what_differs_and_nothing_of_secrets() {
        let text = "[plugin.a]\nmemory = \"1MiB\"\nenv = { K = \"v1\" }\n[plugin.b]\ntimeout = \"1s\"\n[server.s]\ncommand = [\"true\"]\n";
        let before = Digests::of(&config(text));
        assert!(before.changes(&before).is_empty());
        let other_secret = Digests::of(&config(&text.replace("v1", "v2")));
        assert_eq!(before, other_secret);
        let next = text.replace("1MiB", "2MiB").replace("[plugin.b]\ntimeout", "[plugin.c]\ntimeout").replace("true", "false");
        let changes = before.changes(&Digests::of(&config(&format!("listen = \"127.0.0.1:1\"\n{next}[http]\ndrain = \"1s\""))));
        let changes: Vec<String> = changes.iter().map(|change| format!("{:?} {}", change.how, change.what)).collect();
        assert_eq!(
            changes,
            ["Changed [http]", "Changed [plugin.a]", "Removed [plugin.b]", "Added [plugin.c]", "Changed [server.s]", "Restart listen"]
        );
    }

    #[test]
    fn a_log_line_names_changed_secrets_too() {
        let text = "[plugin.a]\nenv = { K = \"v1\" }\n[server.s]\ncommand = [\"true\"]\n";
        let next = text.replace("v1", "v2").replace("[server.s]", "[server.t]");
        assert_eq!(changed(&config(text), &config(&next)), ["[plugin.a]", "[server.s]", "[server.t]"]);
        // Where it stands does not matter.
        assert!(changed(&config(text), &config(&format!("\n\n{text}"))).is_empty());
    }
}
