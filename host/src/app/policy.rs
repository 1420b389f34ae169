//! The roles and policies of a configuration, as the catalog goes by them.

use std::collections::HashMap;

use crate::{
    catalog::{FlowRule, GuardRule, Labels, Limit, Policy, RateOf, Role, Safeguards, Table},
    config::{Config, LimitConfig, OnFailure, Reads, RoleConfig, Sends},
    provider::Roles,
};

/// The policy that a configuration says.
pub(super) fn of(config: &Config) -> Policy {
    let roles = config.role.iter().map(|(name, role)| Role {
        table: Table::Role,
        name: name.clone(),
        servers: role.servers.clone(),
        tools: role.tools.clone(),
        resources: role.resources.clone(),
        prompts: role.prompts.clone(),
        deny: role.deny.clone(),
        limits: limits(name, role),
    });
    let of_tokens: HashMap<_, _> = config.auth.tokens.iter().map(|(name, token)| (name.to_owned(), names(token.roles()))).collect();
    Policy::new(roles.collect(), names(&config.auth.default_roles), of_tokens).with_policies(config.policy.loaded.clone())
}

/// The guards and flows that a configuration says.
pub(super) fn safeguards(config: &Config) -> Safeguards {
    let mut guards: Vec<_> = config.guard.iter().collect();
    guards.sort_by_key(|(_, guard)| guard.place);
    let guards = guards.into_iter().map(|(name, guard)| GuardRule {
        name: name.as_str().into(),
        label: format!("guard.{name}").into(),
        plugin: guard.plugin.clone(),
        tools: guard.tools.clone(),
        passes: guard.on_failure == OnFailure::Pass,
        settings: serde_json::Value::Object(guard.settings.clone()).to_string().into(),
    });
    let flows = config.flow.values().map(|flow| FlowRule {
        tools: flow.tools.clone(),
        labels: Labels {
            private: flow.reads.contains(&Reads::Private),
            untrusted: flow.reads.contains(&Reads::Untrusted),
            outside: flow.sends == Some(Sends::Outside),
        },
    });
    Safeguards::new(guards.collect(), flows.collect())
}

fn limits(name: &str, role: &RoleConfig) -> Vec<Limit> {
    let limit = |pattern: Option<&String>, limit: &LimitConfig| Limit {
        role: name.to_owned(),
        pattern: pattern.cloned(),
        rate: limit.rate.map(|rate| RateOf { calls: rate.calls, per: rate.per, burst: limit.burst.unwrap_or(rate.calls) }),
        concurrency: limit.concurrency.and_then(|calls| usize::try_from(calls).ok()),
        daily: limit.daily,
    };
    let own = role.limit();
    let of_tools = role.limits.iter().filter(|(_, one)| !one.is_empty()).map(|(pattern, one)| limit(Some(pattern), one));
    (!own.is_empty()).then(|| limit(None, &own)).into_iter().chain(of_tools).collect()
}

fn names(names: &[String]) -> Roles {
    Roles::new(names.iter().map(String::as_str))
}

/// What the operator should know of who may do what and of what is trusted and shared, in sentences.
#[must_use]
pub fn warnings(config: &Config) -> Vec<String> {
    let roles = warning(config).into_iter();
    let shared = config.shared_warning().into_iter().chain(super::search::warning(config));
    roles.chain(config.policy_warnings()).chain(config.trust_warnings()).chain(shared).collect()
}

/// What the operator should know of the roles, if anything.
fn warning(config: &Config) -> Option<String> {
    if config.role.is_empty() || !config.auth.default_roles.is_empty() {
        return None;
    }
    let without: Vec<_> = config.auth.tokens.iter().filter(|(_, token)| token.roles().is_empty()).map(|(name, _)| name).collect();
    if config.auth.is_open() {
        return Some("there are roles and nobody has one: give roles to [auth.tokens], or set default_roles in [auth]".to_owned());
    }
    let (names, may) = (without.join(", "), "may use nothing: give them roles in [auth.tokens], or set default_roles in [auth]");
    (!without.is_empty()).then(|| format!("these tokens have no role and {may}: {names}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_caller_that_has_no_role_is_told_of() {
        let config = |text: &str| Config::parse(text, Path::new("/x/toolbay.toml")).unwrap_or_else(|error| panic!("{error}"));
        assert!(of(&config("")).is_open());
        assert_eq!(warning(&config("")), None);
        let roles = "[role.r]\nservers = [\"*\"]\n";
        assert!(!of(&config(roles)).is_open());
        assert!(warning(&config(roles)).is_some_and(|warning| warning.contains("nobody has one")));
        assert_eq!(warning(&config(&format!("{roles}[auth]\ndefault_roles = [\"r\"]"))), None);
    }
}
