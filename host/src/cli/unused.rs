//! `toolbay check`: patterns of the configuration that are about nothing on offer, such as those with a typing mistake.

use crate::{
    catalog::{Confirm, Snapshot},
    config::{Config, EndpointConfig, OnFailure, RoleConfig},
    wildcard::fits,
};

/// Whether a pattern is about something on offer.
type IsAbout<'a> = &'a dyn Fn(&str) -> bool;

/// The patterns of an endpoint that are about nothing, in words.
pub(super) fn of_endpoint(endpoint: &EndpointConfig, whole: &Snapshot) -> Vec<String> {
    let EndpointConfig { servers, tools, resources, prompts, deny, .. } = endpoint;
    of_lists(servers, tools, resources, prompts, deny, whole).iter().map(|(list, pattern)| said(pattern, list)).collect()
}

/// Those of roles, and of what has to be confirmed.
pub(super) fn of_config(config: &Config, whole: &Snapshot) -> Vec<String> {
    let confirm = config.trust.confirm.iter().filter(|rule| !Confirm::is_class(rule) && !is_tool(rule, whole));
    let mut unused: Vec<String> = confirm.map(|rule| said(rule, "confirm of [trust]")).collect();
    for (name, role) in &config.role {
        let RoleConfig { servers, tools, resources, prompts, deny, limits, .. } = role;
        let lists = of_lists(servers, tools, resources, prompts, deny, whole);
        unused.extend(lists.iter().map(|(list, pattern)| said(pattern, &format!("{list} of [role.{name}]"))));
        let limits = limits.keys().filter(|pattern| !is_tool(pattern, whole));
        unused.extend(limits.map(|pattern| said(pattern, &format!("limits of [role.{name}]"))));
    }
    let guards = config.guard.iter().map(|(name, guard)| (format!("tools of [guard.{name}]"), &guard.tools));
    let flows = config.flow.iter().map(|(name, flow)| (format!("tools of [flow.{name}]"), &flow.tools));
    for (place, patterns) in guards.chain(flows) {
        let unnamed = patterns.iter().filter(|pattern| *pattern != "*" && !is_tool(pattern, whole));
        unused.extend(unnamed.map(|pattern| said(pattern, &place)));
    }
    unused.extend(config.policy.loaded.iter().flat_map(|policies| policies.named()).filter_map(|(id, kind, name)| {
        let is_there = match kind {
            "Server" => whole.providers().contains(name.as_str()),
            "Tool" => whole.callable().any(|entry| is_id(&name, entry.provider().id().as_str(), entry.own_name())),
            "Prompt" => whole.prompts().any(|entry| is_id(&name, entry.provider().id().as_str(), entry.own_name())),
            _ => true,
        };
        (!is_there).then(|| format!("policy {id:?} is about {kind}::{name:?}, and nothing of that name is on offer now"))
    }));
    let missing = config.guard.iter().filter(|(_, guard)| whole.guard(&guard.plugin).is_none());
    unused.extend(missing.map(|(name, guard)| {
        let (plugin, then) = (&guard.plugin, if guard.on_failure == OnFailure::Deny { "denied" } else { "not guarded" });
        format!("[guard.{name}] names the plugin {plugin:?}, which is not there or is no guard, so the calls that it guards are {then}")
    }));
    unused
}

/// Whether it is by what policies name something.
fn is_id(id: &str, provider: &str, own: &str) -> bool {
    id.strip_prefix(provider).and_then(|rest| rest.strip_prefix("__")) == Some(own)
}

fn said(pattern: &str, place: &str) -> String {
    format!("{pattern:?} in {place} is about nothing that is on offer now")
}

fn is_tool(pattern: &str, whole: &Snapshot) -> bool {
    whole.callable().any(|entry| entry.is_named(pattern))
}

/// The lists that endpoints and roles have, and which of their patterns are about nothing.
fn of_lists<'a>(
    servers: &'a [String],
    tools: &'a [String],
    resources: &'a [String],
    prompts: &'a [String],
    deny: &'a [String],
    whole: &Snapshot,
) -> Vec<(&'static str, &'a str)> {
    let of_tools = |pattern: &str| is_tool(pattern, whole);
    let of_prompts = |pattern: &str| whole.prompts().any(|entry| entry.is_named(pattern));
    let of_resources = |pattern: &str| whole.resources().chain(whole.templates()).any(|entry| fits(entry.uri(), pattern));
    let of_servers = |pattern: &str| {
        let tools = whole.callable().map(|entry| entry.provider());
        let others = whole.resources().chain(whole.templates()).map(|entry| entry.provider());
        tools.chain(others).chain(whole.prompts().map(|entry| entry.provider())).any(|provider| fits(provider.id().as_str(), pattern))
    };
    let lists: [(&'static str, &'a [String], IsAbout<'_>); 5] = [
        ("servers", servers, &of_servers),
        ("tools", tools, &of_tools),
        ("resources", resources, &of_resources),
        ("prompts", prompts, &of_prompts),
        ("deny", deny, &|pattern| of_servers(pattern) || of_tools(pattern) || of_resources(pattern) || of_prompts(pattern)),
    ];
    let mut unused = Vec::new();
    for (list, patterns, is_about) in lists {
        let named = patterns.iter().filter(|pattern| *pattern != "*" && !is_about(pattern));
        unused.extend(named.map(|pattern| (list, pattern.as_str())));
    }
    unused
}
